package cluster

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/valyala/fasthttp"
)

// Why a probe found nobody whom it may believe. Everything else means that nobody listens, or answers in time.
var (
	ErrForeign = errors.New("cluster: another cluster's node")
	ErrClock   = errors.New("cluster: the other end's certificate is not good at this time")
)

// Found is who answered a probe.
type Found struct {
	Node   string // as its certificate says
	Answer        // Status 404 or 400 = an earlier build, which does not know the question
	Sent   time.Time
	Took   time.Duration
}

// Probe asks whoever listens at the address of an internal listener, before this node is part of anything: the name of the other end is not
// known yet, so any node of the cluster may answer. It asks once, until ctx ends.
func Probe(ctx context.Context, s Secret, node, addr, path string) (Found, error) {
	raw, err := new(net.Dialer).DialContext(ctx, "tcp", addr)
	if err != nil {
		return Found{}, err
	}
	defer raw.Close()
	if deadline, ok := ctx.Deadline(); ok {
		if err := raw.SetDeadline(deadline); err != nil {
			return Found{}, err
		}
	}
	credential := newCredential(s, node, time.Now)
	config := credential.config(x509.ExtKeyUsageServerAuth, func(string) error { return nil })
	config.InsecureSkipVerify = true // of host names: see credential.client
	c := tls.Client(raw, config)
	if err := c.HandshakeContext(ctx); err != nil {
		return Found{}, probeFault(err)
	}
	f := Found{Sent: time.Now()}
	f.Node, _ = credential.authority.nodeOf(c.ConnectionState().PeerCertificates[0]) // VerifyConnection has seen it
	f.Answer, err = askOnce(c, path)
	f.Took = time.Since(f.Sent)
	return f, err
}

func probeFault(err error) error {
	var refused *refusal
	if errors.As(err, &refused) {
		switch refused.reason {
		case refusedForeign, refusedName:
			return fmt.Errorf("%w: %w", ErrForeign, err)
		case refusedExpired:
			return fmt.Errorf("%w: %w", ErrClock, err)
		}
	}
	return err
}

func askOnce(c net.Conn, path string) (Answer, error) {
	var req fasthttp.Request
	req.Header.SetMethod(fasthttp.MethodPost)
	req.SetRequestURI(path)
	req.Header.SetHost("hop")
	req.SetConnectionClose()
	out := bufio.NewWriter(c)
	if err := errors.Join(req.Write(out), out.Flush()); err != nil {
		return Answer{}, err
	}
	var res fasthttp.Response
	if err := res.ReadLimitBody(bufio.NewReader(c), maxHopBody); err != nil {
		return Answer{}, err
	}
	return Answer{res.StatusCode(), res.Body()}, nil
}
