// Package enginepb holds the generated protobuf types of the engine's events and bases, and of the commands between nodes.
// engine.proto and command.proto are the contract; the Go files beside them are generated and committed.
package enginepb

//go:generate protoc -I . --go_out=. --go_opt=paths=source_relative --go-vtproto_out=. --go-vtproto_opt=paths=source_relative,features=marshal+unmarshal+size+clone engine.proto command.proto
