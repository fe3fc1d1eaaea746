package memory_test

import (
	"testing"

	"maitred/persistence"
	"maitred/persistence/memory"
	"maitred/persistence/persistencetest"
)

func TestJournalConformance(t *testing.T) {
	persistencetest.ExerciseJournal(t, func(t *testing.T, maxBytes uint64) persistencetest.Harness {
		j := memory.NewJournal(memory.Options{MaxBytes: maxBytes})
		return persistencetest.Harness{
			Journal: j,
			Reopen:  func(*testing.T) persistence.Journal { return j.Reopen(memory.Options{}) },
		}
	})
}

func TestBasesConformance(t *testing.T) {
	persistencetest.ExerciseBases(t, func(t *testing.T) persistencetest.BasesHarness {
		b := memory.NewBases(memory.BasesOptions{})
		return persistencetest.BasesHarness{
			Bases:  b,
			Reopen: func(*testing.T) persistence.Bases { return b.Snapshot(memory.BasesOptions{}) },
		}
	})
}

func TestCursorsConformance(t *testing.T) {
	c := &memory.Cursors{}
	persistencetest.ExerciseCursors(t, c, func(*testing.T) persistence.Cursors { return c })
}
