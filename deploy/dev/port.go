package dev

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"sync/atomic"
)

// Ports that the kernel does not give away by itself (Linux: 32768 and above): what is free there stays free until it is asked for.
const (
	firstPort = 10_000
	ports     = 2_000
)

var nextPort atomic.Uint32

func init() { nextPort.Store(rand.Uint32N(ports)) }

// FreePort finds a port of 127.0.0.1 that nobody listens on now, by TCP or UDP. Of one process each call has another one, until all
// have been given.
func FreePort() (int, error) {
	for range ports {
		port := firstPort + int(nextPort.Add(1)%ports)
		if isFree(port) {
			return port, nil
		}
	}
	return 0, fmt.Errorf("no port from %d to %d is free", firstPort, firstPort+ports-1)
}

func isFree(port int) bool {
	addr := net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: port}
	l, err := net.ListenTCP("tcp4", &addr)
	if err != nil {
		return false
	}
	u, err := net.ListenUDP("udp4", &net.UDPAddr{IP: addr.IP, Port: port})
	if err == nil {
		err = u.Close()
	}
	return errors.Join(err, l.Close()) == nil
}
