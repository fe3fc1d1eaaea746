package edge

import "sync"

// background runs what no request waits for, until end.
type background struct {
	mu    sync.Mutex
	ended bool
	wg    sync.WaitGroup
}

// run starts f; false when it is too late.
func (b *background) run(f func()) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.ended {
		return false
	}
	b.wg.Go(f)
	return true
}

// end lets nothing more start and waits for the rest.
func (b *background) end() {
	b.mu.Lock()
	b.ended = true
	b.mu.Unlock()
	b.wg.Wait()
}
