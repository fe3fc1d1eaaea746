package sqlite

import "testing"

// A place that is read says the same when it is written again.
func FuzzPlace(f *testing.F) {
	f.Add(place{set: true, startsAt: 1_800_000_000, n: 7}.String())
	f.Add("")
	f.Add("AA")
	f.Fuzz(func(t *testing.T, s string) {
		p, err := parsePlace(s)
		if err != nil || !p.set {
			return
		}
		if again, err := parsePlace(p.String()); err != nil || again != p {
			t.Fatalf("%q: %+v, again %+v %v", s, p, again, err)
		}
	})
}
