package main

import (
	"context"
	"fmt"
	"math"
	"sort"
)

// row is one measurement. A nil figure was not to be had and prints as n/a.
type row struct {
	Name      string      `json:"name"`
	Round     int         `json:"round"`
	PerSecond float64     `json:"per_second"` // bookings with 201, or reads with 200
	Share     float64     `json:"share"`      // of 201 among bookings; of 200 among reads when there are no bookings
	ServerCPU float64     `json:"server_cpu_us"`
	OtherCPU  float64     `json:"machine_minus_generator_cpu_us"` // per booking or read
	OwnCPU    float64     `json:"generator_cpu_us"`
	Frames    *float64    `json:"frames_per_second"`
	Batch     *float64    `json:"mean_batch"`
	Fsyncs    *float64    `json:"fsyncs_per_second"`
	LagEvents *float64    `json:"lag_events_at_end"`
	LagSecond *float64    `json:"lag_seconds"`
	Drain     *float64    `json:"drain_seconds"`
	Heap      *float64    `json:"heap_mib"`
	Resident  float64     `json:"resident_mib"`
	Load      *loadResult `json:"load"`
}

// target is a server to be measured.
type target struct {
	name     string
	addr     string
	pid      int
	metrics  string // address of its /metrics; empty = it has none
	siteFile string
	others   []*house // of the same cluster: what they use and count is added
}

// sample is what the target and the machine have used up by now.
func (t target) sample() sample {
	s := takeSample(t.pid, t.metrics)
	for _, h := range t.others {
		s.server += processCPU(h.pid)
		if s.metrics != nil {
			s.metrics.add(scrape(h.metrics))
		}
	}
	return s
}

func (t target) residentMiB() float64 {
	all := residentMiB(t.pid)
	for _, h := range t.others {
		all += residentMiB(h.pid)
	}
	return all
}

// measure runs one load against a target and turns it into figures.
func measure(ctx context.Context, dir string, t target, j job) (*row, error) {
	j.Addr, j.SiteFile = t.addr, t.siteFile
	var begin, end sample
	result, err := load(ctx, dir, &j, func() { begin = t.sample() }, func() { end = t.sample() })
	if err != nil {
		return nil, err
	}
	r := &row{Name: t.name, Load: result, Resident: t.residentMiB()}
	done, asked := result.Created, result.Bookings
	if j.Kind == kindReads || j.Kind == kindUniform {
		done, asked = result.Status["200"]+result.Created, result.Requests
	}
	if done == 0 || result.Seconds == 0 {
		return nil, fmt.Errorf("%s: nothing succeeded: %v %v", t.name, result.Status, result.Faults)
	}
	per := 1e6 / float64(done)
	r.PerSecond, r.Share = float64(done)/result.Seconds, float64(done)/float64(asked)
	r.ServerCPU, r.OwnCPU = (end.server-begin.server)*per, result.CPU*per
	r.OtherCPU = (end.machine - begin.machine - result.CPU) * per
	if t.metrics != "" {
		r.fromMetrics(begin.metrics, end.metrics, end.at.Sub(begin.at).Seconds())
	}
	return r, nil
}

func (r *row) fromMetrics(begin, end metrics, seconds float64) {
	rate := func(name string) *float64 {
		a, ok1 := begin.sum(name)
		b, ok2 := end.sum(name)
		if !ok1 || !ok2 {
			return nil
		}
		v := (b - a) / seconds
		return &v
	}
	r.Frames = rate("maitred_journal_frame_events_count")
	// Each durable frame, a heartbeat too, is one message to a stream that syncs always: one fsync.
	r.Fsyncs = rate("maitred_journal_frames_total")
	events := rate("maitred_journal_frame_events_sum")
	if frames := r.Frames; events != nil && frames != nil && *frames > 0 {
		v := *events / *frames
		r.Batch = &v
	}
	if v, ok := end.backlog(); ok {
		r.LagEvents = &v
	}
	if v, ok := end.highest("maitred_sink_lag_seconds"); ok {
		r.LagSecond = &v
	}
	if v, ok := end.sum("go_memstats_heap_inuse_bytes"); ok {
		v /= 1 << 20
		r.Heap = &v
	}
}

func median(values []float64) float64 {
	if len(values) == 0 {
		return 0
	}
	sorted := append([]float64(nil), values...)
	sort.Float64s(sorted)
	return (sorted[(len(sorted)-1)/2] + sorted[len(sorted)/2]) / 2
}

// medianInterval holds the median that is behind sorted values with 95 %, whatever their distribution: a value lies on each side of it like
// the coin of a sign test. 0 and 0 for fewer than six values, which cannot say so much.
func medianInterval(sorted []float64) (low, high float64) {
	n := len(sorted)
	k, tail, next := 0, 0.0, math.Pow(0.5, float64(n)) // next is the chance that exactly k values lie below
	for ; k < n/2 && 2*(tail+next) <= 0.05; k++ {
		tail += next
		next *= float64(n-k) / float64(k+1)
	}
	if k == 0 {
		return 0, 0
	}
	return sorted[k-1], sorted[n-k]
}

// interval is the mean of values, and the half of its 95 % interval; not a number for fewer than two.
func interval(values []float64) (mean, half float64) {
	n, squares := float64(len(values)), 0.0
	for _, v := range values {
		mean += v / n
	}
	for _, v := range values {
		squares += (v - mean) * (v - mean)
	}
	return mean, student(n-1) * math.Sqrt(squares/(n-1)/n)
}

// student is how many standard errors a 95 % interval reaches to each side: the first terms of Student's quantile, 0.3 % short at 9
// degrees of freedom and exact in four digits from 30 on.
func student(freedom float64) float64 { return 1.95996 + 2.37227/freedom + 2.8225/freedom/freedom }
