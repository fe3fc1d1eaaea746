package main

import (
	"bytes"
	"fmt"
	"net"

	"github.com/valyala/fasthttp"
)

// echoCmd is the peer that does nothing: bare fasthttp that reads the request and returns an answer of the same size as
// maitred's. It is the limit of the edge on this machine. Frozen: a change is its own commit with both figures.
type echoCmd struct {
	Post int `default:"330" help:"Bytes of the answer to a POST."`
	Get  int `default:"900" help:"Bytes of the answer to a GET."`
}

// Run implements the command: it prints its address and serves until its standard input ends.
func (c *echoCmd) Run() error {
	created, found := echoBody(c.Post), echoBody(c.Get)
	return servePeer(func(ctx *fasthttp.RequestCtx) {
		ctx.SetContentType("application/json")
		if ctx.IsPost() {
			if len(ctx.PostBody()) == 0 {
				ctx.SetStatusCode(fasthttp.StatusBadRequest)
				return
			}
			ctx.Response.Header.Set("Location", "/api/v1/reservations/rsv_00000000000000000000000000")
			ctx.Response.Header.Set("ETag", `"1"`)
			ctx.SetStatusCode(fasthttp.StatusCreated)
			ctx.Response.SetBodyRaw(created)
			return
		}
		ctx.Response.SetBodyRaw(found)
	})
}

// echoBody is a JSON object of about n bytes.
func echoBody(n int) []byte {
	const frame = `{"id":"rsv_00000000000000000000000000","pad":""}`
	return fmt.Appendf(nil, `{"id":"rsv_00000000000000000000000000","pad":"%s"}`, bytes.Repeat([]byte("x"), max(0, n-len(frame))))
}

// servePeer serves on a free port, prints it, and ends when the parent does: its end of the pipe closes.
func servePeer(handle fasthttp.RequestHandler) error {
	listener, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	server := &fasthttp.Server{Handler: handle, Name: "peer", NoDefaultDate: false}
	fmt.Println(listener.Addr())
	go func() {
		awaitParent()
		_ = listener.Close()
	}()
	return server.Serve(listener)
}
