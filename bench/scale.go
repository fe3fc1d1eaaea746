package main

type scaleCmd struct{}

func (c *scaleCmd) Run() error { return nil }
type recoveryCmd struct{}

func (c *recoveryCmd) Run() error { return nil }
