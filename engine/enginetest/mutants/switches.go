package main

// switches is added to the engine. Nothing of it allocates: the tests count allocations too.
const switches = `package engine

import (
	"os"
	"strconv"
)

var (
	mutantID, _ = strconv.Atoi(os.Getenv(%[2]q))
	mutantSeen  [%[1]d]bool
	mutantList  = os.Getenv(%[3]q)
)

// MutantSeen writes down which changes were come by.
func MutantSeen() {
	if mutantList == "" {
		return
	}
	text := []byte("[0")
	for id, seen := range mutantSeen {
		if seen {
			text = strconv.AppendInt(append(text, ','), int64(id), 10)
		}
	}
	_ = os.WriteFile(mutantList, append(text, ']'), 0o600)
}

func mutantOn(id int) bool {
	if mutantList != "" {
		mutantSeen[id] = true
	}
	return mutantID == id
}

type mutantWhole interface {
	~int | ~int8 | ~int16 | ~int32 | ~int64 | ~uint | ~uint8 | ~uint16 | ~uint32 | ~uint64
}

type mutantNumber interface{ mutantWhole | ~float32 | ~float64 }

type mutantOrdered interface{ mutantNumber | ~string }

func mutantTurned[B ~bool](id int, v B) B { return v != B(mutantOn(id)) }
func mutantNot[B ~bool](id int, v B) B    { return v == B(mutantOn(id)) }

func mutantNegative[T mutantNumber](id int, v T) T {
	if mutantOn(id) {
		return v
	}
	return -v
}

func mutantLess[T mutantOrdered](id int, a, b T) bool    { return a < b || a == b && mutantOn(id) }
func mutantAtMost[T mutantOrdered](id int, a, b T) bool  { return a < b || a == b && !mutantOn(id) }
func mutantMore[T mutantOrdered](id int, a, b T) bool    { return a > b || a == b && mutantOn(id) }
func mutantAtLeast[T mutantOrdered](id int, a, b T) bool { return a > b || a == b && !mutantOn(id) }

func mutantPlus[T mutantNumber](id int, a, b T) T {
	if mutantOn(id) {
		return a - b
	}
	return a + b
}

func mutantMinus[T mutantNumber](id int, a, b T) T {
	if mutantOn(id) {
		return a + b
	}
	return a - b
}

func mutantTimes[T mutantNumber](id int, a, b T) T {
	if mutantOn(id) {
		return a / b
	}
	return a * b
}

func mutantOver[T mutantNumber](id int, a, b T) T {
	if mutantOn(id) {
		return a * b
	}
	return a / b
}

func mutantRest[T mutantWhole](id int, a, b T) T {
	if mutantOn(id) {
		return a * b
	}
	return a %% b
}

func mutantAnd[T mutantWhole](id int, a, b T) T {
	if mutantOn(id) {
		return a | b
	}
	return a & b
}

func mutantOr[T mutantWhole](id int, a, b T) T {
	if mutantOn(id) {
		return a & b
	}
	return a | b
}

func mutantAndNot[T mutantWhole](id int, a, b T) T {
	if mutantOn(id) {
		return a & b
	}
	return a &^ b
}
`

// seenTest is added to the tests of a package; %s is its name, an import and a qualifier.
const seenTest = `package %s

import (
	"os"
	"testing"
	%s
)

func TestMain(m *testing.M) {
	code := m.Run()
	%sMutantSeen()
	os.Exit(code)
}
`
