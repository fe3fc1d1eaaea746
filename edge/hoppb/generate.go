// Package hoppb holds the generated protobuf types of what the edges of two nodes say to each other.
// hop.proto is the contract; the Go files beside it are generated and committed.
package hoppb

//go:generate protoc -I . --go_out=. --go_opt=paths=source_relative --go-vtproto_out=. --go-vtproto_opt=paths=source_relative,features=marshal+unmarshal+size hop.proto
