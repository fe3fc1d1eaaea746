// Package cluster says where: who the members are, which partition each of them should hold, and when one may be moved or claimed.
// All of it is a wish. Who may write is a fold of the journal (persistence.Custody), and nothing that this package believes can
// make two nodes write for one restaurant.
//
// Members tells who is there, Ring where each partition should be, Controller moves and claims, and Hop carries requests over mutual TLS
// between holders of one Secret.
package cluster
