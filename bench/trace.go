package main

import (
	"encoding/gob"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// traced is one answer of a load, with Unix times in microseconds: when its request should have been sent, and when it came.
type traced struct {
	Due, Done int64
	Status    int16
	Room      int32
}

func (a traced) ok() bool { return a.Status < 300 }

func (g *generator) note(c *conn, status int, now int64) {
	if g.trace != nil {
		at := g.start.UnixMicro()
		g.trace = append(g.trace, traced{Due: at + c.sent/1000, Done: at + now/1000, Status: int16(status), Room: c.req.restaurant})
	}
}

func (g *generator) writeTrace() error {
	if g.trace == nil {
		return nil
	}
	file, err := os.Create(g.job.TraceFile)
	if err == nil {
		err = errors.Join(gob.NewEncoder(file).Encode(g.trace), file.Close())
	}
	if err != nil {
		return fmt.Errorf("write the trace: %w", err)
	}
	return nil
}

func readTrace(path string) (trace []traced, err error) {
	file, err := os.Open(path)
	if err == nil {
		err = errors.Join(gob.NewDecoder(file).Decode(&trace), file.Close())
	}
	if err != nil {
		return nil, fmt.Errorf("read the trace: %w", err)
	}
	return trace, nil
}

// span is a part of a trace, by when requests were due.
type span struct {
	Requests int     `json:"requests"`
	Failed   int     `json:"failed"` // any answer but success
	P50      float64 `json:"p50_ms"`
	P99      float64 `json:"p99_ms"`
	Max      float64 `json:"max_ms"`
}

func spanOf(trace []traced, from, to time.Time) span {
	s, h := span{}, hdrhistogram.New(1, 120_000_000, 3)
	for _, a := range trace {
		if a.Due < from.UnixMicro() || a.Due >= to.UnixMicro() {
			continue
		}
		s.Requests++
		if !a.ok() {
			s.Failed++
		}
		_ = h.RecordValue(max(1, a.Done-a.Due))
	}
	s.P50, s.P99, s.Max = float64(h.ValueAtQuantile(50))/1000, float64(h.ValueAtQuantile(99))/1000, float64(h.Max())/1000
	return s
}

// servedAgain is how long after a moment the last of the restaurants had given its first success to a request that was due after it.
// ok is false when one of them gave none.
func servedAgain(trace []traced, rooms int, moment time.Time) (after time.Duration, ok bool) {
	first := make([]int64, rooms)
	for _, a := range trace {
		if at := &first[a.Room]; a.ok() && a.Due >= moment.UnixMicro() && (*at == 0 || a.Done < *at) {
			*at = a.Done
		}
	}
	return time.Duration(slices.Max(first)-moment.UnixMicro()) * time.Microsecond, slices.Min(first) > 0
}

// longestSilence is the longest time after a moment without any success.
func longestSilence(trace []traced, moment time.Time) time.Duration {
	times := []int64{moment.UnixMicro()}
	for _, a := range trace {
		if a.ok() && a.Done >= moment.UnixMicro() {
			times = append(times, a.Done)
		}
	}
	slices.Sort(times)
	longest := int64(0)
	for i := range times[1:] {
		longest = max(longest, times[i+1]-times[i])
	}
	return time.Duration(longest) * time.Microsecond
}
