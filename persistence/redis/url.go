package redis

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
)

// errEscape is all that is told of a URL that is wrong: a password may be in any part of it, as one with a / that is not escaped ends the
// hosts early.
var errEscape = errors.New("characters of a name or password that are not letters or digits are written as %2F is for /")

// ParseURL reads where Redis is: redis://user:password@host:port,host:port/database, rediss:// for TLS. ?master=NAME says that the hosts
// are Sentinels, which have the same user unless sentinel_user and sentinel_password say otherwise (empty = none), ?cluster=true that they belong to a cluster, which several hosts do anyhow. The port is 6379 unless it is given.
func ParseURL(text string) (o Options, err error) {
	text, hosts := cutHosts(text)
	u, err := url.Parse(text)
	if err != nil || u.Fragment != "" {
		return o, fmt.Errorf("redis: the URL cannot be read: %w", errEscape)
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
		if _, err := netip.ParseAddrPort("[::1]" + host[strings.LastIndexByte(host, ':'):]); err != nil || host[0] == ':' || strings.ContainsAny(host, " \t\"") {
			return o, fmt.Errorf("redis: one of the hosts is not host:port; %w", errEscape)
		}
		o.Addrs = append(o.Addrs, host)
	}
	if u.User != nil {
		o.Username = u.User.Username()
		o.Password, _ = u.User.Password()
	}
	if path := strings.Trim(u.Path, "/"); path != "" {
		if o.DB, err = strconv.Atoi(path); err != nil {
			return o, fmt.Errorf("redis: what follows the hosts is no number of a database; %w", errEscape)
		}
	}
	query := u.Query()
	if query.Has("master") {
		o.SentinelUsername, o.SentinelPassword = o.Username, o.Password
	}
	for name, values := range query {
		switch {
		case name == "master" && len(values) == 1:
			o.Master = values[0]
		case name == "sentinel_user" && len(values) == 1:
			o.SentinelUsername = values[0]
		case name == "sentinel_password" && len(values) == 1:
			o.SentinelPassword = values[0]
		case name == "cluster" && len(values) == 1 && values[0] == "true":
			o.Cluster = true
		default:
			return o, fmt.Errorf("redis: behind the ? there is something else than master, sentinel_user, sentinel_password or cluster=true, or one of them twice; %w", errEscape)
		}
	}
	_, err = o.universal()
	return o, err
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
