package main

import (
	"net/http"
	"sync/atomic"
	"time"

	"maitred/persistence/jetstream"
)

// backupPath of the admin listener gives journal and bases to maitred backup. What is personal in them is sealed, and the keys are not told.
const backupPath = "/backup"

// serveBackup lets one backup at a time be made of a running node.
func (n *Node) serveBackup(mux *http.ServeMux) {
	var busy atomic.Bool
	mux.HandleFunc("GET "+backupPath, func(w http.ResponseWriter, r *http.Request) {
		if !busy.CompareAndSwap(false, true) {
			http.Error(w, "another backup is being made", http.StatusConflict)
			return
		}
		defer busy.Store(false)
		w.Header().Set("Content-Type", "application/x-tar")
		begun := time.Now()
		told := begun
		progress := jetstream.Progress(func(what string, done, all uint64) {
			if time.Since(told) > backupTell {
				told = time.Now()
				n.Log.Info("a backup is being made", "of", what, "done", done, "all", all)
			}
		})
		err := streamBackup(r.Context(), n.embedded, &patient{w, http.NewResponseController(w)}, progress)
		n.Log.Info("a backup was made", "after", time.Since(begun).Round(time.Millisecond).String(), "error", err)
	})
}

const backupTell = 10 * time.Second

// patient gives each write the time that the listener gives a whole answer.
type patient struct {
	to      http.ResponseWriter
	control *http.ResponseController
}

func (p *patient) Write(b []byte) (int, error) {
	if err := p.control.SetWriteDeadline(time.Now().Add(adminWrite)); err != nil {
		return 0, err
	}
	return p.to.Write(b)
}
