package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/mattn/go-isatty"
	"golang.org/x/sync/errgroup"

	"maitred/deploy/demo"
	"maitred/edge"
	"maitred/engine"
)

const demoLoaders = 32 // restaurants loaded at once: enough to fill group commits

// loadDemo registers the demo's accounts, loads its restaurants where they are missing, and prints what to try. The last
// restaurant of the file is loaded last, so its presence says that all are.
func loadDemo(ctx context.Context, n *Node) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	owner, err := n.demoAccount(ctx, demo.OwnerEmail, "Ada", "Oste", "owner")
	if err != nil {
		return err
	}
	if _, err := n.demoAccount(ctx, demo.GuestEmail, "Gino", "Ospite", "customer"); err != nil {
		return err
	}
	all, err := demo.Restaurants()
	if err != nil {
		return err
	}
	loaded, err := n.hasRestaurant(all[len(all)-1].ID)
	if err != nil {
		return err
	}
	if !loaded {
		if err := n.loadRestaurants(ctx, owner, all); err != nil {
			return err
		}
	}
	text := demoText(n.URL(), all)
	if n.Config.TLSSelfSigned {
		text = strings.ReplaceAll(text, "curl ", "curl --cacert "+edge.SelfSignedFile(n.Config.Data)+" ")
	}
	fmt.Print(text)
	return nil
}

func (n *Node) hasRestaurant(id engine.RestaurantID) (bool, error) {
	view, err := n.house.View(engine.AggregateID(id), time.Now().Add(5*time.Second))
	if err != nil {
		return false, fmt.Errorf("look for restaurant %s: %w", id, err)
	}
	return view.View.(*engine.RestaurantView).Restaurant() != nil, nil
}

func (n *Node) loadRestaurants(ctx context.Context, owner engine.AccountID, all []demo.Restaurant) error {
	progress := newProgress("loading restaurants", len(all))
	defer progress.done()
	load := func(ctx context.Context, r demo.Restaurant) error {
		defer progress.step()
		return n.loadRestaurant(ctx, owner, r)
	}
	group, together := errgroup.WithContext(ctx)
	group.SetLimit(demoLoaders)
	for _, r := range all[:len(all)-1] {
		group.Go(func() error { return load(together, r) })
	}
	if err := group.Wait(); err != nil {
		return err
	}
	return load(ctx, all[len(all)-1])
}

func (n *Node) loadRestaurant(ctx context.Context, owner engine.AccountID, r demo.Restaurant) error {
	bodies := []engine.Body{&engine.CreateRestaurant{ID: r.ID, Details: r.Details}}
	for i := range r.Tables {
		bodies = append(bodies, &r.Tables[i])
	}
	for _, body := range bodies {
		if err := ctx.Err(); err != nil {
			return err
		}
		cmd := &engine.Command{Caller: engine.Caller{Account: owner, Role: engine.RoleOwner}, Body: body}
		outcome, err := n.house.Do(engine.AggregateID(r.ID), cmd, time.Now().Add(10*time.Second))
		if err != nil {
			return fmt.Errorf("load %s: %w", r.Details.Name, err)
		}
		if c := outcome.Code; c != engine.CodeCreated && c != engine.CodeOK && c != engine.CodeExists {
			return fmt.Errorf("load %s: refused: %s %s", r.Details.Name, c, outcome.Field)
		}
	}
	return nil
}

// demoAccount registers an account over the API, or logs in when a former start did, and returns its id.
func (n *Node) demoAccount(ctx context.Context, email, first, last, role string) (engine.AccountID, error) {
	profile := map[string]string{"email": email, "password": demo.Password, "first_name": first, "last_name": last, "phone": "+39 06 5550100", "role": role}
	id, err := n.postAuth(ctx, "register", profile)
	if errors.Is(err, errStatus) {
		id, err = n.postAuth(ctx, "login", map[string]string{"email": email, "password": demo.Password})
	}
	if err != nil {
		return "", fmt.Errorf("demo account %s: %w", email, err)
	}
	return engine.AccountID(id), nil
}

var errStatus = errors.New("refused")

func (n *Node) postAuth(ctx context.Context, path string, body any) (string, error) {
	data, err := json.Marshal(body)
	if err != nil {
		return "", err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, n.URL()+"/api/v1/auth/"+path, bytes.NewReader(data))
	if err != nil {
		return "", err
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := n.ownClient().Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	var answer struct {
		User struct {
			ID string `json:"id"`
		} `json:"user"`
		Detail string `json:"detail"`
	}
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil {
		return "", err
	}
	if resp.StatusCode >= 300 {
		return "", fmt.Errorf("%w: %s %s", errStatus, resp.Status, answer.Detail)
	}
	return answer.User.ID, nil
}

// demoText is what a newcomer pastes. The table is asked for in the first restaurant that is open for dinner next Saturday.
func demoText(url string, all []demo.Restaurant) string {
	day := time.Now().AddDate(0, 0, 1)
	for day.Weekday() != time.Saturday {
		day = day.AddDate(0, 0, 1)
	}
	r, slot := all[0], "20:00"
	for _, candidate := range all {
		if at, ok := demo.OpensFor(candidate, time.Saturday, 20*60); ok {
			r, slot = candidate, at
			break
		}
	}
	api, date := url+"/api/v1", day.Format(time.DateOnly)
	return fmt.Sprintf(`
%d restaurants of Rome (%s)
%q on %s, three lines to paste:

TOKEN=$(curl -s %s/auth/login -H 'Content-Type: application/json' -d '{"email":"%s","password":"%s"}' | sed -E 's/.*"access_token":"([^"]*)".*/\1/')
curl -s '%s/restaurants/%s/availability?date=%s&guests_count=2'
curl -si %s/reservations -H "Authorization: Bearer $TOKEN" -H 'Content-Type: application/json' -d '{"restaurant_id":"%s","date":"%s","time_slot":"%s","guests_count":2}'

`, len(all), demo.Attribution, r.Details.Name, date, api, demo.GuestEmail, demo.Password, api, r.ID, date, api, r.ID, date, slot)
}

// progress prints one line that changes on a terminal, and every tenth elsewhere.
type progress struct {
	what  string
	steps chan struct{}
	ended chan struct{}
}

func newProgress(what string, total int) *progress {
	p := &progress{what: what, steps: make(chan struct{}, total), ended: make(chan struct{})}
	tty := isatty.IsTerminal(os.Stderr.Fd())
	go func() {
		defer close(p.ended)
		for done := 1; done <= total; done++ {
			if _, ok := <-p.steps; !ok {
				return
			}
			switch {
			case tty:
				fmt.Fprintf(os.Stderr, "\r%s %d/%d", what, done, total)
			case done*10/total != (done-1)*10/total:
				fmt.Fprintf(os.Stderr, "%s %d/%d\n", what, done, total)
			}
		}
		if tty {
			fmt.Fprintln(os.Stderr)
		}
	}()
	return p
}

func (p *progress) step() { p.steps <- struct{}{} }

func (p *progress) done() { close(p.steps); <-p.ended }
