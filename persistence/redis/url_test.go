package redis

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestParseURL(t *testing.T) {
	for text, want := range map[string]Options{
		"redis://127.0.0.1:7000":                                     {Addrs: []string{"127.0.0.1:7000"}},
		"redis://cache/3":                                            {Addrs: []string{"cache:6379"}, DB: 3},
		"redis://maitred:s%20cret@cache:1/":                          {Addrs: []string{"cache:1"}, Username: "maitred", Password: "s cret"},
		"redis://a:1,b:2,c":                                          {Addrs: []string{"a:1", "b:2", "c:6379"}},
		"redis://a:1?cluster=true":                                   {Addrs: []string{"a:1"}, Cluster: true},
		"redis://u:p@a:26379,b:26379/1?master=mymain":                {Addrs: []string{"a:26379", "b:26379"}, DB: 1, Master: "mymain", Username: "u", Password: "p", SentinelUsername: "u", SentinelPassword: "p"},
		"redis://u:p@a?master=m&sentinel_user=&sentinel_password=":   {Addrs: []string{"a:6379"}, Master: "m", Username: "u", Password: "p"},
		"redis://u:p@a?sentinel_user=s&sentinel_password=q&master=m": {Addrs: []string{"a:6379"}, Master: "m", Username: "u", Password: "p", SentinelUsername: "s", SentinelPassword: "q"},
	} {
		got, err := ParseURL(text)
		require.NoError(t, err, text)
		require.Equal(t, want, got, text)
	}
	safe, err := ParseURL("rediss://cache")
	require.NoError(t, err)
	require.NotNil(t, safe.TLS)
	for _, text := range []string{
		"", "cache:6379", "http://cache", "redis://", "redis://cache/x", "redis://cache/-1", "redis://a,b/1", "redis://cache?cluster=maybe",
		"redis://cache?ttl=3", "redis://a?master=m&cluster=true", "redis://cache?master=a&master=b", "redis://u:hunter2@ca che", "redis://u:hunter2@h:port",
		"redis://:hunter2/x@cache:6379", "redis://u:hunter2#@cache:6379", "redis://u:hunter2?@cache:6379", "redis://u:x/hunter2@cache", "redis://u:%hunter2@cache",
		"redis://cache?password=hunter2", "redis://cache?hunter2", "redis://u:a/b?hunter2@cache:6379", "redis://u:1234#hunter2@cache",
	} {
		_, err := ParseURL(text)
		require.Error(t, err, text)
		require.NotContains(t, err.Error(), "hu", "no part of a password")
	}
}
