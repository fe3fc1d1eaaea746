//go:build race

package actors

// raceEnabled makes the load tests smaller under the race detector.
const raceEnabled = true
