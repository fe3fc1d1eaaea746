// Command bench says how fast maitred is, against what: bare fasthttp, and the row-lock way on PostgreSQL, interleaved in
// one run on one machine. It builds and drives the real binary over HTTP, with a load generator in a process of its own.
//
//	go run ./bench compare --seconds 10 --json compare.json
//	go run ./bench tune       settings of the row-lock peer, side by side
//	go run ./bench scale      many restaurants against few, bytes per idle restaurant
//	go run ./bench recovery   restart with a long journal
//	go run ./bench mix        three reads and one booking with every sink beside
//	go run ./bench search     searches over 100,000 restaurants
//	go run ./bench cluster    three nodes: replicated, forwarded, drained, killed
//	go run ./bench evening    how well the engine fills a room, against first fit and the optimum
//
// README.md beside it explains the method and how to read the figures.
package main

import (
	"fmt"
	"os"

	"github.com/alecthomas/kong"
)

type cli struct {
	Compare  compareCmd  `cmd:"" help:"maitred against echo and the row-lock way."`
	Pair     pairCmd     `cmd:"" help:"Two builds of maitred side by side, or one, beside echo."`
	Tune     tuneCmd     `cmd:"" help:"Variants and settings of the row-lock peer, side by side."`
	Scale    scaleCmd    `cmd:"" help:"Many restaurants against few."`
	Recovery recoveryCmd `cmd:"" help:"Time from start to the first booking after a crash with a long journal."`
	Mix      mixCmd      `cmd:"" help:"Three reads and one booking at a constant rate, with PostgreSQL and RabbitMQ on the same machine."`
	Search   searchCmd   `cmd:"" help:"Searches at a constant rate over many restaurants."`
	Cluster  clusterCmd  `cmd:"" help:"Three nodes as one: beside the row-lock way, what a hop costs, a drain, kill -9."`
	Evening  eveningCmd  `cmd:"" help:"An evening's requests to the engine, to first fit and to an optimum: who seats more."`

	Echo    echoCmd    `cmd:"" hidden:""`
	Rowlock rowlockCmd `cmd:"" hidden:""`
	Load    loadCmd    `cmd:"" hidden:""`
}

func main() {
	var c cli
	ctx := kong.Parse(&c, kong.Name("bench"), kong.Description("How fast maitred is, against what."), kong.UsageOnError())
	if err := ctx.Run(); err != nil {
		fmt.Fprintln(os.Stderr, "bench: "+err.Error())
		os.Exit(1)
	}
}
