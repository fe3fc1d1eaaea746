package dev

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
)

// rabbitServer is Debian's; the one in the path is a wrapper that changes its account and its folders by itself.
const rabbitServer = "/usr/lib/rabbitmq/bin/rabbitmq-server"

// RabbitMQ is a private broker without plugins. One start takes about 10 s: a test run shares it and makes a virtual host or
// an exchange for each test.
type RabbitMQ struct {
	*Service
	URL string // amqp://…, on 127.0.0.1

	names *Service // Erlang's own directory of nodes (epmd)
}

// StartRabbitMQ installs RabbitMQ when it is missing and starts a broker. When the caller is root it runs as user rabbitmq. The
// caller closes it.
func StartRabbitMQ(ctx context.Context) (*RabbitMQ, error) {
	if _, err := ensure(ctx, "rabbitmq-server", "rabbitmq-server"); err != nil {
		return nil, err
	}
	who, err := account("rabbitmq")
	if err != nil {
		return nil, err
	}
	namesPort, err := FreePort()
	if err != nil {
		return nil, err
	}
	r := &RabbitMQ{}
	if r.names, err = startNames(ctx, namesPort); err != nil {
		return nil, err
	}
	if err := r.start(ctx, namesPort, who); err != nil {
		return nil, errors.Join(err, r.names.Close())
	}
	return r, nil
}

// startNames starts a directory of nodes: left to itself a broker starts one for the whole machine and leaves it behind.
func startNames(ctx context.Context, port int) (*Service, error) {
	epmd, err := ensure(ctx, "epmd", "erlang-base")
	if err != nil {
		return nil, err
	}
	dir, err := serviceDir("", "epmd-", nil)
	if err != nil {
		return nil, err
	}
	return startService(ctx, serviceOptions{
		name: "epmd", dir: dir, argv: []string{epmd, "-port", strconv.Itoa(port), "-address", "127.0.0.1"}, stop: syscall.SIGTERM,
		ready: func(ctx context.Context) error { return accepts(ctx, port) },
	})
}

func accepts(ctx context.Context, port int) error {
	c, err := (&net.Dialer{}).DialContext(ctx, "tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
	if err != nil {
		return err
	}
	return c.Close()
}

func (r *RabbitMQ) start(ctx context.Context, namesPort int, who *syscall.Credential) error {
	dir, err := serviceDir("", "rabbit-", who)
	if err != nil {
		return err
	}
	port, err1 := FreePort()
	nodePort, err2 := FreePort()
	config := filepath.Join(dir, "rabbitmq.conf")
	err3 := os.WriteFile(config, fmt.Appendf(nil, "listeners.tcp.1 = 127.0.0.1:%d\nlog.console = true\nlog.console.level = warning\nlog.file = false\n", port), 0o644)
	plugins := filepath.Join(dir, "enabled_plugins")
	err4 := os.WriteFile(plugins, []byte("[].\n"), 0o644)
	if err := errors.Join(err1, err2, err3, err4); err != nil {
		return errors.Join(fmt.Errorf("configure rabbitmq: %w", err), os.RemoveAll(dir))
	}
	r.URL = fmt.Sprintf("amqp://guest:guest@127.0.0.1:%d/", port)
	r.Service, err = startService(ctx, serviceOptions{
		name: "rabbitmq", dir: dir, argv: []string{rabbitServer}, who: who, stop: syscall.SIGTERM,
		ready: func(ctx context.Context) error { return speaksAMQP(ctx, port) },
		env: []string{
			"HOME=" + dir, // of the cookie
			// Erlang's schedulers wait for work by spinning, which takes the cores from everybody else
			// (https://www.rabbitmq.com/docs/runtime#busy-waiting).
			"RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS=+sbwt none +sbwtdcpu none +sbwtdio none",
			"RUNNING_UNDER_SYSTEMD=true", // the process that we know is the broker, not a shell around it
			"RABBITMQ_NODENAME=maitred" + strconv.Itoa(port) + "@localhost", "RABBITMQ_DIST_PORT=" + strconv.Itoa(nodePort),
			"ERL_EPMD_ADDRESS=127.0.0.1", "ERL_EPMD_PORT=" + strconv.Itoa(namesPort),
			"RABBITMQ_MNESIA_BASE=" + filepath.Join(dir, "mnesia"), "RABBITMQ_LOG_BASE=" + filepath.Join(dir, "log"),
			"RABBITMQ_CONFIG_FILE=" + config, "RABBITMQ_ENABLED_PLUGINS_FILE=" + plugins, "RABBITMQ_PID_FILE=" + filepath.Join(dir, "pid"),
		},
	})
	return err
}

// speaksAMQP asks for AMQP 0-9-1 and waits for the first frame, a method of connection.
func speaksAMQP(ctx context.Context, port int) error {
	c, err := (&net.Dialer{}).DialContext(ctx, "tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
	if err != nil {
		return err
	}
	defer c.Close()
	if at, ok := ctx.Deadline(); ok {
		_ = c.SetDeadline(at)
	}
	if _, err := c.Write([]byte("AMQP\x00\x00\x09\x01")); err != nil {
		return err
	}
	first := make([]byte, 1)
	if _, err := io.ReadFull(c, first); err != nil {
		return err
	}
	if first[0] != 1 {
		return fmt.Errorf("rabbitmq answers with frame type %d", first[0])
	}
	return nil
}

// Close stops the broker and then its directory of nodes.
func (r *RabbitMQ) Close() error { return errors.Join(r.Service.Close(), r.names.Close()) }
