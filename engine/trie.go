package engine

import (
	"math/bits"
	"slices"
)

// edit is the right to change nodes in place: a node may be changed by the holder of the edit that made it, everybody else
// copies it first. Its identity is its address, so it must not be of size zero.
type edit struct{ _ byte }

// trie is a persistent map from uint64 with 32-way nodes. A copy of the value is a snapshot, provided that both copies go
// on with edits of their own.
type trie[V any] struct {
	root *node[V]
	n    int
}

type item[V any] struct {
	key uint64
	v   V
}

// node keeps, per 5 bits of the key, an item or a child; the bit maps say which, the slices are packed.
type node[V any] struct {
	own   *edit
	items uint32
	kids  uint32
	item  []item[V]
	kid   []*node[V]
}

func (t *trie[V]) len() int { return t.n }

func (t *trie[V]) get(key uint64) (v V, ok bool) {
	for n, rest := t.root, key; n != nil; rest >>= 5 {
		bit := uint32(1) << (rest & 31)
		if n.items&bit != 0 {
			if it := &n.item[rank(n.items, bit)]; it.key == key {
				return it.v, true
			}
			return v, false
		}
		if n.kids&bit == 0 {
			return v, false
		}
		n = n.kid[rank(n.kids, bit)]
	}
	return v, false
}

// set puts v under key, with own's right.
func (t *trie[V]) set(own *edit, key uint64, v V) {
	assert(own != nil, "a frozen trie is changed")
	if t.root == nil {
		t.root = &node[V]{own: own}
	}
	var added bool
	t.root, added = t.root.set(own, key, 0, v)
	if added {
		t.n++
	}
}

// remove takes key away; it must be there.
func (t *trie[V]) remove(own *edit, key uint64) {
	assert(own != nil, "a frozen trie is changed")
	assert(t.root != nil, "removal from an empty trie")
	t.root = t.root.remove(own, key, 0)
	t.n--
}

// walk calls fn for each value, in an order that depends on the history: never let it reach an outcome.
func (t *trie[V]) walk(fn func(key uint64, v V)) {
	if t.root != nil {
		t.root.walk(fn)
	}
}

func rank(m, bit uint32) int { return bits.OnesCount32(m & (bit - 1)) }

func (n *node[V]) mine(own *edit) *node[V] {
	if n.own == own {
		return n
	}
	return &node[V]{own: own, items: n.items, kids: n.kids, item: slices.Clone(n.item), kid: slices.Clone(n.kid)}
}

func (n *node[V]) set(own *edit, key uint64, shift uint, v V) (*node[V], bool) {
	n = n.mine(own)
	bit := uint32(1) << (key >> shift & 31)
	switch {
	case n.items&bit != 0:
		i := rank(n.items, bit)
		old := n.item[i]
		if old.key == key {
			n.item[i].v = v
			return n, false
		}
		kid := &node[V]{own: own}
		kid, _ = kid.set(own, old.key, shift+5, old.v)
		kid, _ = kid.set(own, key, shift+5, v)
		n.item, n.items = slices.Delete(n.item, i, i+1), n.items&^bit
		n.kid, n.kids = slices.Insert(n.kid, rank(n.kids, bit), kid), n.kids|bit
		return n, true
	case n.kids&bit != 0:
		i := rank(n.kids, bit)
		var added bool
		n.kid[i], added = n.kid[i].set(own, key, shift+5, v)
		return n, added
	}
	n.item, n.items = slices.Insert(n.item, rank(n.items, bit), item[V]{key, v}), n.items|bit
	return n, true
}

func (n *node[V]) remove(own *edit, key uint64, shift uint) *node[V] {
	n = n.mine(own)
	bit := uint32(1) << (key >> shift & 31)
	if n.items&bit != 0 {
		i := rank(n.items, bit)
		assert(n.item[i].key == key, "removal of what is not in the trie")
		n.item, n.items = slices.Delete(n.item, i, i+1), n.items&^bit
	} else {
		assert(n.kids&bit != 0, "removal of what is not in the trie")
		i := rank(n.kids, bit)
		if kid := n.kid[i].remove(own, key, shift+5); kid != nil {
			n.kid[i] = kid
		} else {
			n.kid, n.kids = slices.Delete(n.kid, i, i+1), n.kids&^bit
		}
	}
	if n.items|n.kids == 0 {
		return nil
	}
	return n
}

func (n *node[V]) walk(fn func(key uint64, v V)) {
	for i := range n.item {
		fn(n.item[i].key, n.item[i].v)
	}
	for _, k := range n.kid {
		k.walk(fn)
	}
}
