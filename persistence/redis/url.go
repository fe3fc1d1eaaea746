package redis

import (
	"crypto/tls"
	"fmt"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
)

// ParseURL reads where Redis is: redis://user:password@host:port,host:port/database, rediss:// for TLS. ?master=NAME says that the hosts
// are Sentinels, ?cluster=true that they belong to a cluster, which several hosts do anyhow. The port is 6379 unless it is given.
func ParseURL(text string) (o Options, err error) {
	text, hosts := cutHosts(text)
	u, err := url.Parse(text)
	if err != nil {
		return o, fmt.Errorf("redis: the URL cannot be read: %w", hidden(err))
	}
	switch u.Scheme {
	case "redis":
	case "rediss":
		o.TLS = &tls.Config{MinVersion: tls.VersionTLS12}
	default:
		return o, fmt.Errorf("redis: a URL begins with redis:// or rediss://, not %q", u.Scheme)
	}
	for host := range strings.SplitSeq(hosts, ",") {
		if !strings.Contains(host, ":") {
			host += ":6379"
		}
		if _, err := netip.ParseAddrPort("[::1]" + host[strings.LastIndexByte(host, ':'):]); err != nil || strings.ContainsAny(host, " \t\"") {
			return o, fmt.Errorf("redis: %q is not host:port", host)
		}
		o.Addrs = append(o.Addrs, host)
	}
	if u.User != nil {
		o.Username = u.User.Username()
		o.Password, _ = u.User.Password()
	}
	if path := strings.Trim(u.Path, "/"); path != "" {
		if o.DB, err = strconv.Atoi(path); err != nil {
			return o, fmt.Errorf("redis: %q is no number of a database", path)
		}
	}
	for name, values := range u.Query() {
		switch {
		case name == "master" && len(values) == 1:
			o.Master = values[0]
			o.SentinelUsername, o.SentinelPassword = o.Username, o.Password
		case name == "cluster" && len(values) == 1 && values[0] == "true":
			o.Cluster = true
		default:
			return o, fmt.Errorf("redis: the URL says %s=%s, which is not known", name, strings.Join(values, ","))
		}
	}
	_, err = o.universal()
	return o, err
}

// hidden is an error of url.Parse without the URL, which has a password in it.
func hidden(err error) error {
	if e, ok := err.(*url.Error); ok {
		return e.Err
	}
	return err
}

// cutHosts takes the hosts out of a URL, which may be several; net/url knows one.
func cutHosts(text string) (rest, hosts string) {
	scheme, rest, _ := strings.Cut(text, "://")
	tail := ""
	if at := strings.IndexAny(rest, "/?#"); at >= 0 {
		rest, tail = rest[:at], rest[at:]
	}
	user := ""
	if at := strings.LastIndexByte(rest, '@'); at >= 0 {
		user, rest = rest[:at+1], rest[at+1:]
	}
	return scheme + "://" + user + "hosts" + tail, rest
}
