package persistence

import (
	"encoding/json"
	"fmt"

	"maitred/engine/enginepb"
)

// Blocks is how the stores keep the times in which a table is out of service: JSON, a pair of Unix seconds each.
func Blocks(list []*enginepb.Block) (string, error) {
	rows := make([][2]int64, len(list))
	for i, b := range list {
		rows[i] = [2]int64{b.GetFrom(), b.GetUntil()}
	}
	text, err := json.Marshal(rows)
	return string(text), err
}

// ParseBlocks reads what Blocks wrote.
func ParseBlocks(text string) (list []*enginepb.Block, err error) {
	var rows [][2]int64
	if err := json.Unmarshal([]byte(text), &rows); err != nil {
		return nil, fmt.Errorf("blocks: %w", err)
	}
	for _, b := range rows {
		list = append(list, &enginepb.Block{From: b[0], Until: b[1]})
	}
	return list, nil
}
