package engine

import (
	"slices"

	"maitred/engine/enginepb"
)

// Override is a decision of staff for one party, and of the time and the tables that it was given for: when the party is moved by the rules, it
// goes. Immutable once it is decided.
type Override struct {
	Reason string // in their words; empty = no rule was overridden
	Lifted []Code // the refusals that there would have been, in the order in which they were met
	ByHand bool   // staff chose the tables: they need not be a combination
}

// overriding is the override that a command gives; nil without a reason.
func overriding(reason string) *Override {
	if reason == "" {
		return nil
	}
	return &Override{Reason: reason}
}

// lifts reports whether a refusal is set aside, and notes it.
func (o *Override) lifts(code Code) bool {
	if o == nil || o.Reason == "" {
		return false
	}
	if !slices.Contains(o.Lifted, code) {
		o.Lifted = append(o.Lifted, code)
	}
	return true
}

// has reports whether a refusal was set aside.
func (o *Override) has(code Code) bool { return o != nil && slices.Contains(o.Lifted, code) }

// byHand is the override of tables that staff choose, for the same time: what was set aside for that stays so.
func (o *Override) byHand(reason string) *Override {
	next := &Override{Reason: reason, ByHand: true}
	if o != nil {
		next.Lifted = slices.DeleteFunc(slices.Clone(o.Lifted), func(c Code) bool { return c == CodePartyTooLarge })
	}
	return next
}

// after is the override of a reservation that an event moves: the event repeats no reason, it would not be its author's.
func (o *Override) after(given *Override, stays bool) *Override {
	switch {
	case given == nil && stays:
		return o
	case given != nil && given.Reason == "" && o != nil:
		given.Reason = o.Reason
	}
	return given
}

func (o *Override) proto() *enginepb.Override {
	if o == nil {
		return nil
	}
	p := &enginepb.Override{Reason: o.Reason, ByHand: o.ByHand}
	for _, c := range o.Lifted {
		p.Lifted = append(p.Lifted, uint32(c))
	}
	return p
}

func overrideFrom(p *enginepb.Override) *Override {
	if p == nil {
		return nil
	}
	o := &Override{Reason: p.Reason, ByHand: p.ByHand}
	for _, c := range p.Lifted {
		o.Lifted = append(o.Lifted, Code(c))
	}
	return o
}
