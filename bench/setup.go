package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"sync/atomic"
	"time"

	"github.com/jedib0t/go-pretty/v6/progress"
	"github.com/valyala/fasthttp"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"
)

const (
	setupWorkers = 128
	setupTries   = 10
)

// floorPlan says how many restaurants of each use to make, and with which tables.
type floorPlan struct {
	name     string
	count    int
	capacity []int // of each table
}

func sameTables(n int) []int {
	plan := make([]int, n)
	for i := range plan {
		plan[i] = tableCapacity
	}
	return plan
}

// realTables is the floor of the realistic workload: 20 tables, 90 seats.
func realTables() []int {
	return []int{2, 2, 2, 2, 2, 2, 4, 4, 4, 4, 4, 4, 4, 4, 6, 6, 6, 6, 10, 20}
}

// founder makes restaurants and tables over the API.
type founder struct {
	client *fasthttp.HostClient
	token  string
}

func newFounder(addr, token string) *founder {
	return &founder{token: token, client: &fasthttp.HostClient{Addr: addr, MaxConns: setupWorkers, MaxConnWaitTimeout: 60 * time.Second, ReadTimeout: 60 * time.Second, WriteTimeout: 60 * time.Second}}
}

// found makes count restaurants and returns their ids in order.
func (f *founder) found(ctx context.Context, plan floorPlan) ([]string, error) {
	ids := make([]string, plan.count)
	bar := newBar(plan.name, plan.count*(1+len(plan.capacity)))
	defer bar.stop()
	var next atomic.Int64
	group, inner := errgroup.WithContext(ctx)
	for range min(setupWorkers, plan.count) {
		group.Go(func() error {
			for i := int(next.Add(1)) - 1; i < plan.count; i = int(next.Add(1)) - 1 {
				if err := inner.Err(); err != nil {
					return err
				}
				id, err := f.restaurant(fmt.Sprintf("%s %d", plan.name, i))
				if err != nil {
					return err
				}
				ids[i] = id
				bar.add(1)
				if plan.count == 1 {
					continue
				}
				if err := f.tables(inner, id, plan.capacity, 1, bar); err != nil {
					return err
				}
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	if plan.count == 1 { // one restaurant with many tables: concurrent requests for it
		return ids, f.tables(ctx, ids[0], plan.capacity, setupWorkers, bar)
	}
	return ids, nil
}

func (f *founder) restaurant(name string) (string, error) {
	body, err := f.post("/api/v1/restaurants", map[string]any{
		"name": name, "address": "Via del Banco 1", "city": "Roma", "country": "IT", "cuisine_type": "italian", "description": "",
		"phone": "+390600000000", "email": "bench@maitred.example", "time_zone": "Europe/Rome", "latitude": 41.9, "longitude": 12.5,
		"opening_hours": []any{map[string]any{"days": []string{"mon", "tue", "wed", "thu", "fri", "sat", "sun"}, "open": "10:00", "close": "23:45", "last_seating": "21:45"}},
	})
	if err != nil {
		return "", err
	}
	id := member(body, idMember)
	if id == nil {
		return "", fmt.Errorf("create a restaurant: no id in %.300s", body)
	}
	return string(id), nil
}

func (f *founder) tables(ctx context.Context, restaurant string, capacity []int, workers int, bar *bar) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(workers)
	for i, seats := range capacity {
		group.Go(func() error {
			if err := ctx.Err(); err != nil {
				return err
			}
			_, err := f.post("/api/v1/restaurants/"+restaurant+"/tables", map[string]any{
				"table_number": fmt.Sprint(i + 1), "capacity": seats, "min_capacity": 1, "location": "room", "is_available": true,
			})
			bar.add(1)
			return err
		})
	}
	return group.Wait()
}

func (f *founder) post(path string, body any) ([]byte, error) {
	text, err := json.Marshal(body)
	if err != nil {
		return nil, fmt.Errorf("POST %s: %w", path, err)
	}
	request, response := fasthttp.AcquireRequest(), fasthttp.AcquireResponse()
	defer fasthttp.ReleaseRequest(request)
	defer fasthttp.ReleaseResponse(response)
	request.Header.SetMethod(fasthttp.MethodPost)
	request.Header.SetContentType("application/json")
	request.Header.Set("Authorization", "Bearer "+f.token)
	request.SetRequestURI("http://" + f.client.Addr + path)
	request.SetBodyRaw(text)
	for try := range setupTries { // 503 = surely not done: a cluster may say so for a moment
		if err := f.client.Do(request, response); err != nil {
			return nil, fmt.Errorf("POST %s: %w", path, err)
		}
		if response.StatusCode() != fasthttp.StatusServiceUnavailable {
			break
		}
		time.Sleep(time.Duration(try) * 100 * time.Millisecond)
	}
	if response.StatusCode() != fasthttp.StatusCreated {
		return nil, fmt.Errorf("POST %s: status %d: %.300s", path, response.StatusCode(), response.Body())
	}
	return append([]byte(nil), response.Body()...), nil
}

// writeJSON writes v to a file.
func writeJSON(file string, v any) error {
	text, err := json.MarshalIndent(v, "", " ")
	if err == nil {
		err = os.WriteFile(file, append(text, '\n'), 0o644)
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", file, err)
	}
	return nil
}

// bar shows progress on standard error when that is a terminal.
type bar struct {
	tracker *progress.Tracker
	writer  progress.Writer
}

func newBar(name string, total int) *bar {
	b := &bar{tracker: &progress.Tracker{Message: "set up " + name, Total: int64(total)}}
	if _, err := unix.IoctlGetTermios(int(os.Stderr.Fd()), unix.TCGETS); err != nil || total < 1000 {
		return b
	}
	b.writer = progress.NewWriter()
	b.writer.SetOutputWriter(os.Stderr)
	b.writer.SetUpdateFrequency(500 * time.Millisecond)
	b.writer.SetAutoStop(true)
	b.writer.AppendTracker(b.tracker)
	go b.writer.Render()
	return b
}

func (b *bar) add(n int64) { b.tracker.Increment(n) }

func (b *bar) stop() {
	if b.writer != nil {
		b.writer.Stop()
	}
}
