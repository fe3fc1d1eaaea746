package edge

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/stretchr/testify/require"
)

// exampleStep executes an example of an operation: that of its body with this name, or its parameters alone.
type exampleStep struct{ who, operation, example string }

// anExampleEvening is an order in which every example of the document succeeds.
var anExampleEvening = []exampleStep{
	{"", "register", "owner"}, {"", "register", "guest"}, {"", "login", "guest"}, {"", "refresh", "token"}, {"", "logout", "token"}, {"", "login", "guest"},
	{"guest", "getMe", ""}, {"guest", "patchMe", "phone"},
	{"owner", "createRestaurant", "trattoria"}, {"owner", "getRestaurant", ""}, {"owner", "patchRestaurant", "phone"}, {"owner", "patchRestaurant", "hours"},
	{"owner", "getRules", ""}, {"owner", "patchRules", "newYear"}, {"owner", "patchRules", "pause"}, {"owner", "patchRules", "resume"},
	{"owner", "createTable", "terrace"}, {"owner", "listTables", ""}, {"owner", "patchTable", "bigger"},
	{"owner", "hireStaff", "host"}, {"owner", "listStaff", ""}, {"owner", "patchStaff", "promotion"}, {"owner", "dismissStaff", ""},
	{"", "searchRestaurants", ""}, {"", "getAvailability", ""}, {"owner", "explainAvailability", ""}, {"owner", "listMyRestaurants", ""},
	{"guest", "createReservation", "local"}, {"guest", "getReservation", ""}, {"guest", "getReservationCalendar", ""}, {"guest", "patchReservation", "bigger"}, {"guest", "patchReservation", "later"},
	{"owner", "assignTables", "one"}, {"owner", "putNote", "regular"}, {"owner", "getDaySheet", ""}, {"owner", "listConflicts", ""}, {"owner", "seatWalkIn", "two"},
	{"guest", "createHold", "two"}, {"guest", "confirmHold", "quiet"}, {"guest", "createHold", "two"}, {"guest", "releaseHold", ""},
	{"", "quoteWait", ""}, {"guest", "joinWaitlist", "evening"}, {"owner", "listWaitlist", ""}, {"guest", "getWait", ""}, {"guest", "acceptOffer", "quiet"},
	{"guest", "joinWaitlist", "evening"}, {"guest", "leaveWaitlist", ""},
	{"guest", "listReservations", ""}, {"guest", "cancelReservation", "reason"},
	{"guest", "createReservation", "withContact"}, {"owner", "markNoShow", "reason"}, {"owner", "reinstateReservation", "reason"},
	{"owner", "seatReservation", "reason"}, {"owner", "completeReservation", "reason"},
	{"guest", "createReview", "five"}, {"", "listReviews", ""},
	{"owner", "deleteTable", ""},
	{"guest", "createAPIKey", "reader"}, {"guest", "listAPIKeys", ""}, {"guest", "deleteAPIKey", ""}, {"guest", "beginSecondFactor", "password"},
	{"", "getHealth", ""}, {"", "getReadiness", ""}, {"", "getKeySet", ""}, {"", "getDocument", ""},
	{"guest", "patchMe", "password"}, {"dino", "revokeAll", ""}, {"other", "deleteMe", "sure"},
}

// notInTheEvening are examples that today's engine, or a clock that does not run, cannot bring about: their requests are sent
// and have to be refused by name, not as malformed.
var notInTheEvening = []exampleStep{
	{"owner", "confirmReservation", "reason"}, {"owner", "declineReservation", "reason"},
	{"owner", "offerTable", ""},
	{"other", "confirmSecondFactor", "code"}, {"other", "removeSecondFactor", "password"},
}

// evening is the world in which the examples are executed.
type evening struct {
	*site
	c      *contract
	tokens map[string]string
	real   map[string]string // what stands for a value of the examples
	done   map[exampleStep]bool
}

func TestEveryExampleIsExecuted(t *testing.T) {
	c, err := theContract()
	require.NoError(t, err)
	s := listen(t, openHouse(t), fuzzLists)
	e := &evening{s, c, map[string]string{}, map[string]string{"2026-12-24": day(10)}, map[exampleStep]bool{}}
	dino, other := s.register("dino@example.org", "customer"), s.register("other@example.org", "customer")
	e.tokens["dino"], e.tokens["other"] = dino.token, other.token
	e.real["usr_1kq3v8x2m7c9d1fghjnprstw99"] = dino.id
	for _, step := range anExampleEvening {
		if step.operation == "seatReservation" {
			for _, refused := range notInTheEvening[:3] {
				require.Equal(t, 409, e.send(refused).StatusCode, refused)
			}
		}
		if step.operation == "deleteMe" {
			require.Equal(t, 404, e.send(notInTheEvening[3]).StatusCode)
			require.Equal(t, 404, e.send(notInTheEvening[4]).StatusCode)
		}
		a := e.send(step)
		require.Less(t, a.StatusCode, 300, "%v: %s", step, a.text)
		e.learn(step, a)
	}
	for path, item := range c.doc.Paths.Map() {
		for _, op := range item.Operations() {
			names := []string{""}
			if op.RequestBody != nil {
				names = slices.Collect(maps.Keys(op.RequestBody.Value.Content["application/json"].Examples))
			}
			for _, name := range names {
				require.True(t, e.done[exampleStep{"", op.OperationID, name}], "%s %s: the example %q is not executed", path, op.OperationID, name)
			}
		}
	}
}

// send sends the example of a step with the real values in place of the document's.
func (e *evening) send(step exampleStep) *answer {
	e.t.Helper()
	for path, item := range e.c.doc.Paths.Map() {
		for method, op := range item.Operations() {
			if op.OperationID != step.operation {
				continue
			}
			e.done[exampleStep{"", step.operation, step.example}] = true
			target, headers := e.parameters(path, op)
			body := ""
			if op.RequestBody != nil {
				example := op.RequestBody.Value.Content["application/json"].Examples[step.example]
				require.NotNil(e.t, example, step)
				b, err := json.Marshal(example.Value.Value)
				require.NoError(e.t, err)
				body = e.replace(string(b))
			}
			return e.ask(method, target, e.tokens[step.who], body, headers...)
		}
	}
	e.t.Fatalf("no operation %s", step.operation)
	return nil
}

func (e *evening) replace(s string) string {
	for from, to := range e.real {
		s = strings.ReplaceAll(s, from, to)
	}
	return s
}

func (e *evening) parameters(path string, op *openapi3.Operation) (target string, headers []string) {
	var query []string
	for _, p := range op.Parameters {
		v := p.Value
		if v.Example == nil {
			continue
		}
		text := e.replace(fmt.Sprint(v.Example))
		switch {
		case v.Name == "If-Match":
			headers = append(headers, v.Name, "*") // the versions of this evening are others
		case v.Name == "Idempotency-Key":
			headers = append(headers, v.Name, fmt.Sprintf("%s-%d", text, len(e.done)))
		case v.In == "path":
			path = strings.ReplaceAll(path, "{"+v.Name+"}", url.PathEscape(text))
		case v.In == "query":
			query = append(query, v.Name+"="+url.QueryEscape(text))
		}
	}
	if len(query) > 0 {
		path += "?" + strings.Join(query, "&")
	}
	return path, headers
}

// learn takes ids and tokens out of an answer.
func (e *evening) learn(step exampleStep, a *answer) {
	id, _ := a.doc["id"].(string)
	switch step.operation {
	case "register", "login", "refresh":
		who := map[string]string{"owner": "owner", "guest": "guest", "token": "guest"}[step.example]
		e.tokens[who] = a.doc["access_token"].(string)
		e.real["usr_5kq3v8x2m7c9d1fghjnprstw04.q1w2e3r4t5y6u7i8o9p0a1s2d3f4g5h6j7k8l9z0x1c"] = a.doc["refresh_token"].(string)
	case "createRestaurant":
		e.real["rst_0123456789abc"] = id
	case "createTable":
		e.real["tbl_0123456789abc00000000000t1"] = id
	case "createReservation":
		e.real["rsv_0123456789abc0000000000r01"] = id
	case "seatWalkIn": // and leaves: the table is needed
		require.Equal(e.t, 200, e.ask("POST", "/api/v1/reservations/"+id+"/complete", e.tokens["owner"], "").StatusCode)
	case "createHold":
		e.real["rsv_0123456789abc0000000000h01"] = id
	case "joinWaitlist":
		e.real["rsv_0123456789abc0000000000w01"] = id
	case "confirmHold", "acceptOffer": // and lets it be
		require.Equal(e.t, 200, e.ask("POST", "/api/v1/reservations/"+id+"/cancel", e.tokens["guest"], "").StatusCode)
	case "createAPIKey":
		e.real["key_1"] = id
	}
}
