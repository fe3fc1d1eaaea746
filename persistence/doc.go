// Package persistence says what survives: the contracts of journal, bases, sinks and store.
package persistence
