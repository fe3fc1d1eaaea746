// Package recordpb holds the generated protobuf types of the journal's records.
// record.proto is the contract; the Go files beside it are generated and committed.
package recordpb

//go:generate protoc -I . --go_out=. --go_opt=paths=source_relative --go-vtproto_out=. --go-vtproto_opt=paths=source_relative,features=marshal+unmarshal_unsafe+size record.proto
