package cluster

// Member is what a node says about itself by gossip: a hint for placement and addresses. It gives no right to write.
type Member struct {
	Name string
	Meta
}

// Meta is what a node says beside its name.
type Meta struct {
	Incarnation uint64
	Weight      uint16
	Version     string
	API, Hop    string
	Draining    bool
}
