// Package cluster says where: who the members are, which partition each of them should hold, and when one may be moved or claimed.
// All of it is a wish. Who may write is a fold of the journal (persistence.Custody), and nothing that this package believes can
// make two nodes write for one restaurant.
package cluster
