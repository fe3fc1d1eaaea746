package engine

// assert stops the aggregate: the caller of Apply and Decide quarantines it. The checks are cheap and stay on.
func assert(holds bool, invariant string) {
	if !holds {
		panic("engine: " + invariant)
	}
}
