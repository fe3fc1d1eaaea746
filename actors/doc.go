// Package actors says when and by whom: one writer per restaurant or account, admission, group commit, the order of
// replies, passivation and timers.
package actors
