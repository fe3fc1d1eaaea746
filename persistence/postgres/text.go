package postgres

import (
	"fmt"
	"strings"

	"maitred/engine/enginepb"
)

// Statuses and roles stand in the tables as the API writes them.

func statusText(s enginepb.Status) string {
	return strings.ToLower(strings.TrimPrefix(s.String(), "STATUS_"))
}

func parseStatus(s string) (enginepb.Status, error) {
	v, ok := enginepb.Status_value["STATUS_"+strings.ToUpper(s)]
	if !ok {
		return 0, fmt.Errorf("unknown status %q", s)
	}
	return enginepb.Status(v), nil
}

func roleText(r enginepb.Role) string {
	return strings.ToLower(strings.TrimPrefix(r.String(), "ROLE_"))
}

func parseRole(s string) (enginepb.Role, error) {
	v, ok := enginepb.Role_value["ROLE_"+strings.ToUpper(s)]
	if !ok {
		return 0, fmt.Errorf("unknown role %q", s)
	}
	return enginepb.Role(v), nil
}
