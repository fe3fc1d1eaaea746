package edge

import (
	"bufio"
	"fmt"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"
	"github.com/valyala/fasthttp"
	"github.com/valyala/fasthttp/fasthttputil"

	"maitred/engine"
)

// The hot routes within the process, over a pipe: compare with BenchmarkEcho, which is what fasthttp itself costs here.

func benchmarkServer(b *testing.B, handler fasthttp.RequestHandler, request []byte, status int) {
	ln := fasthttputil.NewInmemoryListener()
	server := &fasthttp.Server{Handler: handler, NoDefaultServerHeader: true, ReadTimeout: readTimeout, WriteTimeout: writeTimeout, IdleTimeout: idleTimeout}
	go server.Serve(ln)
	defer func() {
		require.NoError(b, ln.Close())
	}()
	conn, err := ln.Dial()
	require.NoError(b, err)
	defer conn.Close()
	r := bufio.NewReader(conn)
	var res fasthttp.Response
	b.ReportAllocs()
	for b.Loop() {
		if _, err := conn.Write(request); err != nil {
			b.Fatal(err)
		}
		res.Reset()
		if err := res.Read(r); err != nil {
			b.Fatal(err)
		}
		if res.StatusCode() != status {
			b.Fatalf("%d %s", res.StatusCode(), res.Body())
		}
	}
}

func hotServer(b *testing.B, house House) (*Server, string) {
	keys, err := OpenKeys(b.TempDir())
	require.NoError(b, err)
	s, err := New(Config{House: house, Keys: keys, Registry: prometheus.NewRegistry(), PasswordMemory: 64})
	require.NoError(b, err)
	token, err := s.tokens.Issue(guestID, engine.RoleCustomer, time.Now())
	require.NoError(b, err)
	return s, token
}

func postRequest(token string) []byte {
	return fmt.Appendf(nil, "POST /api/v1/reservations HTTP/1.1\r\nHost: 127.0.0.1:8080\r\nAuthorization: Bearer %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s",
		token, len(reservationBody), reservationBody)
}

func BenchmarkEcho(b *testing.B) {
	benchmarkServer(b, func(ctx *fasthttp.RequestCtx) {
		ctx.SetStatusCode(201)
		ctx.SetContentType("application/json")
		ctx.SetBody(ctx.PostBody())
	}, postRequest("0123456789"), 201)
}

func BenchmarkPostReservation(b *testing.B) {
	s, token := hotServer(b, &script{do: created})
	benchmarkServer(b, s.serve, postRequest(token), 201)
}

func BenchmarkPostReservationWithKey(b *testing.B) {
	s, token := hotServer(b, &script{do: created})
	r := string(postRequest(token))
	benchmarkServer(b, s.serve, []byte(r[:len(r)-len(reservationBody)-2]+"Idempotency-Key: 0123456789abcdef\r\n\r\n"+reservationBody), 201)
}

func BenchmarkAvailability(b *testing.B) {
	house := openHouse(b)
	s := listen(b, house)
	owner := s.register("owner@example.org", "owner")
	id, _ := owner.trattoria()
	request := fmt.Appendf(nil, "GET /api/v1/restaurants/%s/availability?date=%s&guests_count=2 HTTP/1.1\r\nHost: 127.0.0.1:8080\r\n\r\n", id, day(2))
	benchmarkServer(b, s.serve, request, 200)
}

func BenchmarkDecodeFast(b *testing.B) {
	var w reservationRequest
	b.ReportAllocs()
	body := []byte(plainBody)
	for b.Loop() {
		decodeFast(body, &w)
	}
}

func BenchmarkDecodeStrict(b *testing.B) {
	b.ReportAllocs()
	body := []byte(plainBody)
	for b.Loop() {
		var w reservationRequest
		decode(body, &w)
	}
}
