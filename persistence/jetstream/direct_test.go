package jetstream

import (
	"encoding/json"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"

	"maitred/persistence"
)

// plainServer is a server without JetStream: the test answers what is asked of a journal.
func plainServer(t *testing.T) (*server.Server, *nats.Conn) {
	s, err := server.NewServer(&server.Options{DontListen: true, NoSigs: true, NoLog: true})
	require.NoError(t, err)
	s.Start()
	t.Cleanup(s.WaitForShutdown)
	t.Cleanup(s.Shutdown)
	require.True(t, s.ReadyForConnections(10*time.Second))
	nc, err := nats.Connect("", nats.InProcessServer(s))
	require.NoError(t, err)
	t.Cleanup(nc.Close)
	return s, nc
}

// muteJournal is a journal of plain subscribers: those who answer direct gets are mute, the leader has every record. (JetStream's own
// servers let nobody into their queue group.)
func muteJournal(t *testing.T) (j *Journal, direct, leader *atomic.Int64) {
	s, nc := plainServer(t)
	direct, leader = new(atomic.Int64), new(atomic.Int64)
	_, err := nc.Subscribe(directGet, func(*nats.Msg) { direct.Add(1) })
	require.NoError(t, err)
	_, err = nc.Subscribe("$JS.API.STREAM.MSG.GET."+journalStream, func(m *nats.Msg) {
		leader.Add(1)
		var asked getRequest
		_ = json.Unmarshal(m.Data, &asked)
		answer, _ := json.Marshal(getResponse{Message: &message{Subject: "j.w.n1", Seq: asked.Seq, Data: []byte("record")}})
		_ = m.Respond(answer)
	})
	require.NoError(t, err)
	l := &link{server: s, reads: nc, batchers: make(chan *batcher, 1)}
	l.batchers <- nil
	e := &Embedded{opts: Options{Cluster: &Cluster{}}}
	e.now.Store(l)
	return &Journal{home: e}, direct, leader
}

// A paused server goes on to get its share of the questions, for minutes: few may wait for it.
func TestReadsPastServersThatAreMute(t *testing.T) {
	const records = 100
	for name, read := range map[string]func(*Journal, persistence.Seq) error{
		"one by one": func(j *Journal, seq persistence.Seq) error {
			_, err := j.Get(t.Context(), seq)
			return err
		},
		"ranges": func(j *Journal, seq persistence.Seq) error {
			return j.Read(t.Context(), seq, seq, func(persistence.Entry) error { return nil })
		},
	} {
		t.Run(name, func(t *testing.T) {
			j, direct, leader := muteJournal(t)
			for seq := persistence.Seq(1); seq <= records; seq++ {
				require.NoError(t, read(j, seq))
			}
			require.LessOrEqual(t, direct.Load(), int64(3), "one, and another each 2 s")
			require.Positive(t, direct.Load())
			require.EqualValues(t, records, leader.Load())
			j.home.now.Load().direct.shyUntil.Store(0) // later
			before := direct.Load()
			require.NoError(t, read(j, 1))
			require.Eventually(t, func() bool { return direct.Load() == before+1 }, time.Second, time.Millisecond, "it is tried again")
		})
	}
}
