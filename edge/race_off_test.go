//go:build !race

package edge

import "time"

// hostileJSONWithin is S17's bound for one body.
const hostileJSONWithin = 5 * time.Millisecond
