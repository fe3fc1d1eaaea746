// Package engine decides. Contract in doc.go (being written).
package engine
