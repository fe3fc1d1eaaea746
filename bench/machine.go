package main

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/valyala/fasthttp"
)

// ticks of /proc are hundredths of a second on every Linux that Go runs on.
const ticksPerSecond = 100

// machine describes where figures come from.
type machine struct {
	CPU        string `json:"cpu"`
	Cores      int    `json:"cores"`
	Kernel     string `json:"kernel"`
	Go         string `json:"go"`
	FileSystem string `json:"file_system"` // type of the folder with journal and database, hexadecimal magic
	Memory     bool   `json:"memory_disk"` // fsync costs nothing there: durable figures mean nothing
	FsyncMicro int64  `json:"fsync_us"`    // median of 200 writes of 4 KiB with fsync
	Autogroup  bool   `json:"autogroup"`   // the kernel shares the cores between sessions: each connection of PostgreSQL is one
	Commit     string `json:"commit"`
	Date       string `json:"date"`
}

func describeMachine(dir string) (*machine, error) {
	m := &machine{Cores: runtime.NumCPU(), Go: runtime.Version(), Date: time.Now().UTC().Format(time.RFC3339)}
	if text, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		if _, rest, ok := strings.Cut(string(text), "model name"); ok {
			line, _, _ := strings.Cut(rest, "\n")
			m.CPU = strings.Trim(line, "\t: ")
		}
	}
	if text, err := os.ReadFile("/proc/sys/kernel/osrelease"); err == nil {
		m.Kernel = strings.TrimSpace(string(text))
	}
	if out, err := exec.Command("git", "describe", "--always", "--dirty").Output(); err == nil {
		m.Commit = strings.TrimSpace(string(out))
	}
	var fs syscall.Statfs_t
	if err := syscall.Statfs(dir, &fs); err != nil {
		return nil, fmt.Errorf("describe %s: %w", dir, err)
	}
	autogroup, _ := os.ReadFile("/proc/sys/kernel/sched_autogroup_enabled") // not there: not built in
	m.Autogroup = strings.TrimSpace(string(autogroup)) == "1"
	m.FileSystem = fmt.Sprintf("%#x", fs.Type)
	m.Memory = fs.Type == 0x01021994 || fs.Type == 0x858458f6 // tmpfs, ramfs
	var err error
	m.FsyncMicro, err = measureFsync(dir)
	return m, err
}

func measureFsync(dir string) (int64, error) {
	file, err := os.CreateTemp(dir, "fsync-")
	if err != nil {
		return 0, fmt.Errorf("measure fsync: %w", err)
	}
	defer func() { _ = file.Close(); _ = os.Remove(file.Name()) }()
	var times []float64
	for range 200 {
		if _, err := file.Write(make([]byte, 4096)); err != nil {
			return 0, fmt.Errorf("measure fsync: %w", err)
		}
		begin := time.Now()
		if err := file.Sync(); err != nil {
			return 0, fmt.Errorf("measure fsync: %w", err)
		}
		times = append(times, float64(time.Since(begin).Microseconds()))
	}
	return int64(median(times)), nil
}

// machineCPU is the busy time of all cores since boot, seconds.
func machineCPU() float64 {
	text, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0
	}
	line, _, _ := bytes.Cut(text, []byte("\n"))
	busy := 0.0
	for i, field := range strings.Fields(string(line))[1:] {
		n, _ := strconv.ParseFloat(field, 64)
		if i != 3 && i != 4 && i < 7 { // without idle, iowait, and time stolen or given to guests
			busy += n
		}
	}
	return busy / ticksPerSecond
}

// processCPU is the CPU time of a process, seconds.
func processCPU(pid int) float64 {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0
	}
	_, rest, _ := strings.Cut(string(text), ") ")
	fields := strings.Fields(rest)
	if len(fields) < 13 {
		return 0
	}
	user, _ := strconv.ParseFloat(fields[11], 64)
	system, _ := strconv.ParseFloat(fields[12], 64)
	return (user + system) / ticksPerSecond
}

// residentMiB is the resident memory of a process.
func residentMiB(pid int) float64 {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
	if err != nil {
		return 0
	}
	fields := strings.Fields(string(text))
	if len(fields) < 2 {
		return 0
	}
	pages, _ := strconv.ParseFloat(fields[1], 64)
	return pages * float64(os.Getpagesize()) / (1 << 20)
}

// metrics are the series of a Prometheus text page, by name with labels.
type metrics map[string]float64

func scrape(addr string) metrics {
	status, body, err := fasthttp.GetTimeout(nil, "http://"+addr+"/metrics", 5*time.Second)
	if err != nil || status != fasthttp.StatusOK {
		return nil
	}
	m := metrics{}
	lines := bufio.NewScanner(bytes.NewReader(body))
	for lines.Scan() {
		line := lines.Text()
		at := strings.LastIndexByte(line, ' ')
		if line == "" || line[0] == '#' || at < 0 {
			continue
		}
		if v, err := strconv.ParseFloat(line[at+1:], 64); err == nil {
			m[line[:at]] = v
		}
	}
	return m
}

// sum adds the series of a name over all labels; ok is false when there is none.
func (m metrics) sum(name string) (total float64, ok bool) {
	for series, v := range m {
		if base, _, _ := strings.Cut(series, "{"); base == name {
			total, ok = total+v, true
		}
	}
	return total, ok
}

// highest is the largest series of a name; ok is false when there is none.
func (m metrics) highest(name string) (top float64, ok bool) {
	for series, v := range m {
		if base, _, _ := strings.Cut(series, "{"); base == name && (!ok || v > top) {
			top, ok = v, true
		}
	}
	return top, ok
}

// add adds the series of another process to those of the same name and labels.
func (m metrics) add(other metrics) {
	for series, v := range other {
		m[series] += v
	}
}

// by is the series of a name by the value of a label.
func (m metrics) by(name, label string) map[string]float64 {
	out := map[string]float64{}
	for series, v := range m {
		base, labels, _ := strings.Cut(series, "{")
		if _, rest, found := strings.Cut(labels, label+`="`); found && base == name {
			value, _, _ := strings.Cut(rest, `"`)
			out[value] = v
		}
	}
	return out
}

// sample is what the machine and a server had used up at one moment.
type sample struct {
	at      time.Time
	machine float64
	server  float64
	metrics metrics
}

func takeSample(pid int, metricsAddr string) sample {
	s := sample{at: time.Now(), machine: machineCPU(), server: processCPU(pid)}
	if metricsAddr != "" {
		s.metrics = scrape(metricsAddr)
	}
	return s
}

// backlog is what the sink that is furthest behind has not written yet.
func (m metrics) backlog() (records float64, ok bool) {
	if v, ok := m.highest("maitred_sink_lag_records"); ok {
		return v, true
	}
	return m.highest("maitred_sink_lag_events")
}
