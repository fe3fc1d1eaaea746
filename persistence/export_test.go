package persistence

// MemoryBytes is how much the feed holds.
func (f *Feed) MemoryBytes() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.bytes
}
