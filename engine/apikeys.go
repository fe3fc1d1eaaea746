package engine

import (
	"slices"
	"strings"

	"maitred/engine/enginepb"
)

// APIKey is a key of a machine client of an account. Immutable; the key itself is nowhere, only its hash.
type APIKey struct {
	ID       string // key_<13>
	Name     string
	Hash     Hash32 // SHA-256 of the key
	Quota    int    // requests a minute; 0 = the default
	ReadOnly bool
	Created  Instant
}

// Commands about API keys.
type (
	// AddAPIKey adds a key that was made at the edge; Created is ignored.
	AddAPIKey struct{ Key APIKey }
	// RevokeAPIKey takes a key away for good.
	RevokeAPIKey struct{ ID string }
)

func (*AddAPIKey) isBody()    {}
func (*RevokeAPIKey) isBody() {}

const keyPrefix = "key_"

// MakeAPIKeyID makes the id of an API key out of 64 random bits.
func MakeAPIKeyID(r uint64) string { return string(appendPart([]byte(keyPrefix), r)) }

// IsAPIKeyID reports whether id fits the grammar of ids of API keys.
func IsAPIKeyID(id string) bool {
	return strings.HasPrefix(id, keyPrefix) && isPart(id[len(keyPrefix):])
}

// APIKeys are the account's keys, oldest first. Not to be changed.
func (v *AccountView) APIKeys() []APIKey { return v.keys }

func (s *ident) addKey(k APIKey) {
	assert(s.info != nil && s.keyAt(k.ID) < 0, "I5: a key of no account, or one that is there")
	assert(len(s.keys) < MaxAPIKeys, "I9: too many keys")
	s.keys = append(slices.Clip(s.keys), k)
}

func (s *ident) dropKey(id string) {
	i := s.keyAt(id)
	assert(i >= 0, "I5: an unknown key is revoked")
	s.keys = slices.Delete(slices.Clone(s.keys), i, i+1)
}

func (s *ident) keyAt(id string) int {
	return slices.IndexFunc(s.keys, func(k APIKey) bool { return k.ID == id })
}

func keyFrom(p *enginepb.ApiKey) APIKey {
	assert(p != nil && len(p.Hash) == 32, "I5: a key without content")
	return APIKey{ID: p.Id, Name: p.Name, Hash: hash32(p.Hash), Quota: int(p.QuotaPerMinute), ReadOnly: p.ReadOnly, Created: Instant(p.CreatedMs)}
}

func (k *APIKey) proto() *enginepb.ApiKey {
	return &enginepb.ApiKey{Id: k.ID, Name: k.Name, Hash: k.Hash[:], QuotaPerMinute: int32(k.Quota), ReadOnly: k.ReadOnly, CreatedMs: int64(k.Created)}
}

func (d *accountDecision) addAPIKey(c *AddAPIKey) Outcome {
	k := c.Key
	k.Created = d.now
	switch {
	case d.mine() != CodeOK:
		return refuse(CodeNotFound)
	case d.keyAt(k.ID) >= 0:
		return refuse(CodeExists)
	case !IsAPIKeyID(k.ID):
		return invalid("id")
	case k.Name == "" || !text(k.Name, MaxName):
		return invalid("name")
	case k.Quota < 0 || k.Quota > MaxQuota:
		return invalid("quota_per_minute")
	case k.Hash == (Hash32{}):
		return invalid("key")
	case len(d.keys) >= MaxAPIKeys:
		return Outcome{Code: CodeLimit, Field: "api_keys"}
	}
	d.emit(&enginepb.Event_ApiKeyAdded{ApiKeyAdded: &enginepb.ApiKeyAdded{Key: k.proto()}})
	out := d.done(CodeCreated, d.info, "")
	out.APIKey = &k
	return out
}

func (d *accountDecision) revokeAPIKey(c *RevokeAPIKey) Outcome {
	if d.mine() != CodeOK || d.keyAt(c.ID) < 0 {
		return refuse(CodeNotFound)
	}
	d.emit(&enginepb.Event_ApiKeyRevoked{ApiKeyRevoked: &enginepb.ApiKeyRevoked{Id: c.ID}})
	return d.done(CodeOK, d.info, "")
}
