package edge

import (
	"strconv"
	"strings"
	"time"

	"maitred/engine"
)

type tableJSON struct {
	ID           string `json:"id"`
	RestaurantID string `json:"restaurant_id"`
	TableNumber  string `json:"table_number"`
	Capacity     int    `json:"capacity"`
	MinCapacity  int    `json:"min_capacity"`
	Location     string `json:"location"`
	IsAvailable  bool   `json:"is_available"` // in service
	Channel      string `json:"channel"`

	Blocks  []blockJSON `json:"blocks"`
	Version uint64      `json:"version"`
}

type tablesJSON struct {
	Items []tableJSON `json:"items"`
}

func tableOfView(t *engine.Table) tableJSON {
	instant := func(at int64) string { return time.Unix(at, 0).UTC().Format(time.RFC3339) }
	blocks := []blockJSON{}
	for _, b := range t.Blocks {
		blocks = append(blocks, blockJSON{instant(b.From), instant(b.Until)})
	}
	return tableJSON{
		ID: string(t.ID), RestaurantID: "rst_" + string(t.ID[4:17]), TableNumber: t.Number, Capacity: t.Capacity,
		MinCapacity: t.MinCapacity, Location: t.Location, IsAvailable: t.InService, Version: uint64(t.Version),
		Channel: engine.ChannelName(t.Channel), Blocks: blocks,
	}
}

func checkTable(w *tableRequest) *trouble {
	if t := checkText("table_number", text(w.TableNumber), 64, false); t != nil {
		return t
	}
	if w.TableNumber != nil && strings.TrimSpace(*w.TableNumber) == "" {
		return wrong("table_number", "needed")
	}
	if t := checkText("location", text(w.Location), maxName, false); t != nil {
		return t
	}
	if w.Capacity != nil && (*w.Capacity < 1 || *w.Capacity > 100) {
		return wrong("capacity", "1 to 100")
	}
	if w.MinCapacity != nil && (*w.MinCapacity < 1 || *w.MinCapacity > 100) {
		return wrong("min_capacity", "1 to capacity")
	}
	if w.Channel != nil {
		if _, ok := engine.ParseChannel(*w.Channel); !ok {
			return wrong("channel", "online, in_house or walk_in")
		}
	}
	_, t := w.blocks()
	return t
}

// blocks are the times in which the table is out of service; nil when the request does not name them.
func (w *tableRequest) blocks() (*[]engine.Block, *trouble) {
	if w.Blocks == nil {
		return nil, nil
	}
	if len(*w.Blocks) > engine.MaxBlocks {
		return nil, wrong("blocks", "at most "+strconv.Itoa(engine.MaxBlocks))
	}
	out := make([]engine.Block, 0, len(*w.Blocks))
	for _, b := range *w.Blocks {
		from, t := when("", "", b.From)
		if t != nil || b.From == "" {
			return nil, wrong("blocks.from", "RFC 3339 in whole seconds, 2000 to 2100")
		}
		until, t := when("", "", b.Until)
		if t != nil || b.Until == "" {
			return nil, wrong("blocks.until", "RFC 3339 in whole seconds, 2000 to 2100")
		}
		if until.StartsAt <= from.StartsAt {
			return nil, wrong("blocks.until", "after from")
		}
		out = append(out, engine.Block{From: from.StartsAt, Until: until.StartsAt})
	}
	return &out, nil
}

// channel is the one that a checked request names; nil when it names none.
func (w *tableRequest) channel() *engine.Channel {
	if w.Channel == nil {
		return nil
	}
	c, _ := engine.ParseChannel(*w.Channel)
	return &c
}

// tableSpec fills in what a new table may leave out: min_capacity 1, in service.
func tableSpec(w *tableRequest) (engine.TableSpec, *trouble) {
	s := engine.TableSpec{Number: text(w.TableNumber), MinCapacity: 1, Location: text(w.Location), InService: true}
	if w.TableNumber == nil {
		return s, wrong("table_number", "needed")
	}
	if w.Capacity == nil {
		return s, wrong("capacity", "needed")
	}
	s.Capacity = *w.Capacity
	if w.MinCapacity != nil {
		s.MinCapacity = *w.MinCapacity
	}
	if s.MinCapacity > s.Capacity {
		return s, wrong("min_capacity", "1 to capacity")
	}
	if w.IsAvailable != nil {
		s.InService = *w.IsAvailable
	}
	if c := w.channel(); c != nil {
		s.Channel = *c
	}
	if b, _ := w.blocks(); b != nil {
		s.Blocks = *b
	}
	return s, nil
}

func (s *Server) postTable(x *exchange) {
	restaurant, ok := x.pathRestaurant()
	if !ok {
		return
	}
	var w tableRequest
	t := decode(x.body(), &w)
	if t == nil {
		t = checkTable(&w)
	}
	var spec engine.TableSpec
	if t == nil {
		spec, t = tableSpec(&w)
	}
	cmd := x.command(t, string(restaurant), string(restaurant), &w, false)
	if cmd == nil {
		return
	}
	cmd.Body = &engine.AddTable{ID: engine.MakeTableID(restaurant, s.mint.uint64()), Table: spec}
	if out := x.do(engine.AggregateID(restaurant), cmd); out != nil {
		x.location(api+"/tables/", string(out.Table.ID))
		x.answerTable(201, out.Table)
	}
}

func (x *exchange) answerTable(status int, t *engine.Table) {
	x.etag(t.Version)
	x.send(status, tableOfView(t))
}

// getTables lists the tables, at most 500: the engine's limit.
func (s *Server) getTables(x *exchange) {
	restaurant, ok := x.pathRestaurant()
	if !ok {
		return
	}
	v := x.restaurant(restaurant)
	if v == nil {
		return
	}
	list := tablesJSON{Items: []tableJSON{}}
	for _, t := range v.Tables() {
		list.Items = append(list.Items, tableOfView(t))
	}
	x.send(200, list)
}

func (s *Server) patchTable(x *exchange) {
	restaurant, ok := innerID(x.param, "tbl_")
	if !ok {
		x.fail(kindNotFound)
		return
	}
	id := engine.TableID(strings.Clone(x.param))
	var w tableRequest
	t := decode(x.body(), &w)
	if t == nil {
		t = checkTable(&w)
	}
	cmd := x.command(t, string(restaurant), string(id), &w, true)
	if cmd == nil {
		return
	}
	blocks, _ := w.blocks() // checked above
	cmd.Body = &engine.ChangeTable{ID: id, Change: engine.TableChange{
		Number: w.TableNumber, Capacity: w.Capacity, MinCapacity: w.MinCapacity, Location: w.Location, InService: w.IsAvailable, Channel: w.channel(), Blocks: blocks,
	}}
	if out := x.do(engine.AggregateID(restaurant), cmd); out != nil {
		x.answerTable(200, out.Table)
	}
}

func (s *Server) deleteTable(x *exchange) {
	restaurant, ok := innerID(x.param, "tbl_")
	if !ok {
		x.fail(kindNotFound)
		return
	}
	id := engine.TableID(strings.Clone(x.param))
	cmd := x.command(nil, string(restaurant), string(id), struct{}{}, false)
	if cmd == nil {
		return
	}
	cmd.Body = &engine.RemoveTable{ID: id}
	if x.do(engine.AggregateID(restaurant), cmd) != nil {
		x.empty()
	}
}
