package main

import (
	"bytes"
	"encoding/json"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"maitred/edge"
	"maitred/engine"
)

// createUser runs the command and returns what it printed.
func createUser(data, email, role, password string) (string, error) {
	c := UserCreateCmd{Data: data, Node: "n1", Email: email, Role: role, PasswordStdin: password != "", TestAnyFS: true}
	var out bytes.Buffer
	err := c.run(strings.NewReader(password+"\n"), &out)
	return out.String(), err
}

func (s *site) login(email, password string) (status int, role, token string) {
	s.t.Helper()
	got, err := s.do(request{method: "POST", path: "/auth/login", body: map[string]any{"email": email, "password": password}})
	require.NoError(s.t, err)
	var body struct {
		Token string `json:"access_token"`
		User  struct {
			Role string `json:"role"`
		} `json:"user"`
	}
	if got.status == 200 {
		require.NoError(s.t, json.Unmarshal(got.body, &body))
	}
	return got.status, body.User.Role, body.Token
}

func audit(t *testing.T, data, id string) string {
	t.Helper()
	var out bytes.Buffer
	require.NoError(t, (&AuditCmd{Data: data, ID: id, Limit: 100}).run(t.Context(), &out))
	return out.String()
}

// An admin is made on the command line, on a stopped directory, and then logs in; the audit tells who did what, from where,
// without anything personal.
func TestUserCreateAndAudit(t *testing.T) {
	noLeaks(t)
	data := t.TempDir()
	out, err := createUser(data, " Boss@Example.org", "admin", "")
	require.NoError(t, err)
	lines := strings.Split(strings.TrimSpace(out), "\n")
	require.Len(t, lines, 2)
	admin, password := strings.TrimPrefix(lines[0], "id: "), strings.TrimPrefix(lines[1], "password: ")
	require.True(t, engine.IsAccountID(admin))
	out, err = createUser(data, "host@example.org", "owner", "a long password")
	require.NoError(t, err)
	require.NotContains(t, out, "a long password")
	_, err = createUser(data, "boss@example.org", "customer", "")
	require.ErrorContains(t, err, "already")
	for email, password := range map[string]string{"nobody": "a long password", "x@example.org": "short"} {
		_, err = createUser(data, email, "owner", password)
		require.Error(t, err)
		require.NotContains(t, err.Error(), password)
	}

	s := openSite(t, data)
	_, err = createUser(data, "late@example.org", "admin", "")
	require.ErrorContains(t, err, "stop it first")
	status, role, token := s.login("boss@example.org", password)
	require.Equal(t, 200, status)
	require.Equal(t, "admin", role)
	status, role, owner := s.login("host@example.org", "a long password")
	require.Equal(t, 200, status)
	require.Equal(t, "owner", role)
	restaurant := makeRestaurant(t, s.api, owner, 1)
	create(t, s.api, owner, "/restaurants/"+restaurant+"/tables", "k", map[string]any{"table_number": "1", "capacity": 4, "min_capacity": 1})
	got, reservation := s.reserve(s.token(7, engine.RoleCustomer), restaurant, "r", "20:00")
	require.Equal(t, 201, got.status, "%s", got.body)
	got, err = s.do(request{method: "POST", path: "/reservations/" + reservation.ID + "/seat", token: token})
	requireStatus(t, 200, got, err)
	s.requireMine(s.token(7, engine.RoleCustomer), mustSeated(s, token, reservation.ID))

	got, err = s.do(request{method: "POST", path: "/reservations", token: owner, key: "o", body: map[string]any{"restaurant_id": restaurant,
		"date": day(3), "time_slot": "04:05", "guests_count": 2, "override": "Ada sails at five"}})
	requireStatus(t, 201, got, err)
	var early kept
	require.NoError(t, json.Unmarshal(got.body, &early))
	require.Eventually(t, func() bool { return strings.Contains(audit(t, data, restaurant), early.ID) }, 10*time.Second, 20*time.Millisecond)

	all := audit(t, data, "") // beside the running server
	require.Regexp(t, " owner 127.0.0.1 "+restaurant+` v5 reservation_created `+early.ID+" lifted:", all)
	require.NotContains(t, all, "sails", "why is the guest's business: staff see it with the reservation")
	require.Contains(t, all, admin+" admin 127.0.0.1 "+restaurant+" v4 reservation_status_changed "+reservation.ID+" seated")
	require.Contains(t, all, admin+" admin 127.0.0.1 "+admin+" v2 session_opened")
	require.Contains(t, all, "- system - "+admin+" v1 account_registered")
	require.NotContains(t, all, "reservation_created "+reservation.ID, "a guest's own reservation is no privileged act")
	require.Contains(t, audit(t, data, restaurant), "reservation_created "+reservation.ID)
	require.Equal(t, 5, strings.Count(audit(t, data, restaurant), "\n"))
	newest, _, _ := strings.Cut(all, "\n")
	require.Contains(t, newest, early.ID, "newest first")
	var one bytes.Buffer
	require.NoError(t, (&AuditCmd{Data: data, Limit: 1}).run(t.Context(), &one))
	require.Equal(t, newest+"\n", one.String())
	for _, personal := range []string{"@", "boss", "argon2"} {
		require.NotContains(t, strings.ToLower(all), personal)
	}
	require.Error(t, (&AuditCmd{Data: data, ID: "x", Limit: 1}).run(t.Context(), &bytes.Buffer{}))
	require.Error(t, (&AuditCmd{Data: t.TempDir(), Limit: 1}).run(t.Context(), &bytes.Buffer{}), "nothing is made where no store is")
}

func mustSeated(s *site, token, id string) (k kept) {
	s.get(token, "/reservations/"+id, &k)
	return k
}

// keys rotate works beside the server: SIGHUP lets it read them at once, and what the dropped keys signed is void.
func TestKeysRotateBesideTheServer(t *testing.T) {
	noLeaks(t)
	data := t.TempDir()
	s := openSite(t, data)
	stop := reloadOnHangup(s.Node)
	defer stop()
	token := s.token(7, engine.RoleCustomer)
	status := func() int {
		got, err := s.do(request{method: "GET", path: "/reservations", token: token})
		require.NoError(t, err)
		return got.status
	}
	require.Equal(t, 200, status())
	_, err := edge.RotateKeys(data, false, time.Now())
	require.NoError(t, err)
	require.NoError(t, s.edge.ReloadKeys())
	require.Equal(t, 200, status())
	require.NoError(t, (&KeysRotateCmd{Data: data, Compromised: true}).Run())
	require.Equal(t, 200, status(), "until the server reads them")
	require.NoError(t, syscall.Kill(syscall.Getpid(), syscall.SIGHUP))
	require.Eventually(t, func() bool { return status() == 401 }, 5*time.Second, time.Millisecond)
	require.Error(t, (&KeysRotateCmd{Data: t.TempDir()}).Run())
	require.Error(t, (&KeysListCmd{Data: t.TempDir()}).Run())
}
