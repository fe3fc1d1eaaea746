//go:build race

package edge

import "time"

// hostileJSONWithin is ten times S17's bound: the race detector slows the decoder by that.
const hostileJSONWithin = 50 * time.Millisecond
