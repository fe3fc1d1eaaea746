package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/pprof"
	"strings"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// adminWrite is how long an answer may take: a CPU profile of a minute, and room.
const adminWrite = 90 * time.Second

// openAdmin serves what only operators may see, apart from the API: metrics and the profiler.
func (n *Node) openAdmin(context.Context) error {
	if n.Config.AdminListen == "" {
		return nil
	}
	ln, err := net.Listen("tcp", n.Config.AdminListen)
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return fmt.Errorf("the admin address %s is taken, perhaps by another maitred on this machine: choose another with --admin-listen ADDR, "+
			"or none with --admin-listen ''", n.Config.AdminListen)
	case err != nil:
		return fmt.Errorf("--admin-listen: %w", err)
	}
	n.admin = ln
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(n.Registry, promhttp.HandlerOpts{}))
	n.serveCell(mux)
	n.serveBackup(mux)
	mux.HandleFunc("GET /debug/pprof/", pprof.Index)
	mux.HandleFunc("GET /debug/pprof/cmdline", pprof.Cmdline)
	mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("GET /debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
	server := &http.Server{
		Handler: n.adminGuard(mux), ReadTimeout: 5 * time.Second, WriteTimeout: adminWrite, IdleTimeout: 30 * time.Second, MaxHeaderBytes: 8 << 10,
	}
	served := make(chan struct{})
	go func() {
		defer close(served)
		_ = server.Serve(ln)
	}()
	n.opened("admin listener", func() error {
		err := server.Close()
		<-served
		return err
	})
	return nil
}

// adminGuard refuses requests for a name: a page in a browser on this machine could have its own name lead to loopback and
// read the answers. An address cannot be borrowed so.
func (n *Node) adminGuard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host := r.Host
		if h, _, err := net.SplitHostPort(host); err == nil {
			host = h
		}
		if !n.Config.AdminOpen && host != "localhost" && net.ParseIP(strings.Trim(host, "[]")) == nil {
			http.Error(w, "ask by address", http.StatusMisdirectedRequest)
			return
		}
		w.Header().Set("Cache-Control", "no-store")
		w.Header().Set("X-Content-Type-Options", "nosniff")
		next.ServeHTTP(w, r)
	})
}

// AdminAddr is where metrics and profiler listen; empty = nowhere.
func (n *Node) AdminAddr() string {
	if n.admin == nil {
		return ""
	}
	return n.admin.Addr().String()
}
