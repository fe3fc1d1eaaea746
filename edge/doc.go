// Package edge is how the outside speaks to a node: the HTTP API of v1 on fasthttp, accounts and tokens, health and metrics.
//
// It decodes a request once and strictly, turns it into a command for an aggregate, and turns the outcome (decided, also a
// refusal) or the fault into an answer; status.go is the only place that knows which status belongs to which. It decides
// nothing about tables and keeps no state but caches and keys: whatever an answer promises was durable before the house
// returned it.
//
// Rules of this package:
//
//   - Nothing of fasthttp's buffers outlives the handler: strings that enter a command are copies.
//   - The two hot routes (availability, create a reservation) allocate only what the command keeps. They are dispatched
//     before the router, decode with the fast decoder (which leaves everything unusual to the strict one) and write their
//     answers by hand.
//   - Everything is bounded in limits.go; full means 429 or 503 with Retry-After, early.
//   - A secret (password, token, key) is never part of a log line, a metric or a problem.
package edge
