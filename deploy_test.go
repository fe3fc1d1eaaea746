package main

import (
	"os"
	"strings"
	"testing"

	"github.com/alecthomas/kong"
	"github.com/stretchr/testify/require"
)

// commandOf is the list under the first "command:" of a compose file, one entry a line.
func commandOf(t *testing.T, file string) (args []string) {
	t.Helper()
	text, err := os.ReadFile(file)
	require.NoError(t, err)
	_, rest, found := strings.Cut(string(text), "    command:\n")
	require.True(t, found)
	for line := range strings.Lines(rest) {
		arg, ok := strings.CutPrefix(strings.TrimRight(line, "\n"), "      - ")
		if !ok {
			return args
		}
		args = append(args, arg)
	}
	return args
}

// What deploy/ starts the program with are flags that it has.
func TestDeployedFlagsExist(t *testing.T) {
	unit, err := os.ReadFile("deploy/maitred.service")
	require.NoError(t, err)
	_, exec, found := strings.Cut(string(unit), "ExecStart=/usr/local/bin/maitred ")
	require.True(t, found)
	exec, _, _ = strings.Cut(exec, "\n")
	for name, args := range map[string][]string{"compose": commandOf(t, "deploy/compose.yaml"), "systemd": strings.Fields(exec)} {
		t.Run(name, func(t *testing.T) {
			require.Equal(t, "serve", args[0])
			var c ServeCmd
			parser, err := kong.New(&c)
			require.NoError(t, err)
			_, err = parser.Parse(args[1:])
			require.NoError(t, err)
			require.NoError(t, c.Validate())
		})
	}
}

// What containers and supervisors do by themselves must not lose queues, trust nobody, or give up.
func TestDeployedThingsLast(t *testing.T) {
	for file, lines := range map[string][]string{
		"deploy/Dockerfile":      {"COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/"},
		"deploy/compose.yaml":    {"    hostname: rabbitmq ", "      - rabbitmq:/var/lib/rabbitmq"},
		"deploy/maitred.service": {"StartLimitIntervalSec=0", "Restart=always"},
	} {
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		for _, line := range lines {
			require.Contains(t, string(text), "\n"+line)
		}
	}
}
