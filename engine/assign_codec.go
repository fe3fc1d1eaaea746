package engine

import "maitred/engine/enginepb"

// staffWorkProto is bodyProto of what staff do with a party that is in the book.
func staffWorkProto(b Body) enginepb.CommandBody {
	if b, notes := b.(*Annotate); notes {
		return &enginepb.Command_Annotate{Annotate: &enginepb.Annotate{Id: string(b.ID), Note: b.Note}}
	}
	a := b.(*AssignTables)
	return &enginepb.Command_AssignTables{AssignTables: &enginepb.AssignTables{Id: string(a.ID), TableIds: tableStrings(a.Tables), Override: a.Override}}
}

func staffWorkFrom(p enginepb.CommandBody) Body {
	if p, notes := p.(*enginepb.Command_Annotate); notes {
		return &Annotate{ReservationID(p.Annotate.Id), p.Annotate.Note}
	}
	c := p.(*enginepb.Command_AssignTables).AssignTables
	a := &AssignTables{ID: ReservationID(c.Id), Override: c.Override}
	if len(c.TableIds) > 0 {
		a.Tables = tableIDs(c.TableIds)
	}
	return a
}
