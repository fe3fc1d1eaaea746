// Package cluster will say where: membership, the ring, moves, failover and forwarding. One node needs none of it yet.
package cluster
