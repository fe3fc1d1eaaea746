package engine

import "maitred/engine/enginepb"

func (c *Register) proto() *enginepb.Register {
	p := &c.Profile
	return &enginepb.Register{Id: string(p.ID), Email: p.Email, FirstName: p.FirstName, LastName: p.LastName, Phone: p.Phone,
		Role: p.Role, PasswordHash: p.PasswordHash, Session: c.Session.proto()}
}

func registerFrom(p *enginepb.Register) *Register {
	return &Register{Session: openSessionFrom(p.Session), Profile: Profile{ID: AccountID(p.Id), Email: p.Email,
		FirstName: p.FirstName, LastName: p.LastName, Phone: p.Phone, Role: p.Role, PasswordHash: p.PasswordHash}}
}

func (c *ChangeProfile) proto() *enginepb.ChangeProfile {
	d := &c.Change
	return &enginepb.ChangeProfile{FirstName: d.FirstName, LastName: d.LastName, Phone: d.Phone, PasswordHash: d.PasswordHash}
}

func changeProfileFrom(p *enginepb.ChangeProfile) *ChangeProfile {
	return &ChangeProfile{ProfileChange{FirstName: p.FirstName, LastName: p.LastName, Phone: p.Phone, PasswordHash: p.PasswordHash}}
}

func (c *OpenSession) proto() *enginepb.OpenSession {
	if c == nil {
		return nil
	}
	return &enginepb.OpenSession{Password: c.Password, Family: c.Family, Refresh: hash32Bytes(&c.Refresh),
		ExpiresMs: int64(c.Expires), Step: c.Step, Recovery: hash32Bytes(&c.Recovery)}
}

func openSessionFrom(p *enginepb.OpenSession) *OpenSession {
	if p == nil {
		return nil
	}
	return &OpenSession{Password: p.Password, Family: p.Family, Refresh: hash32(p.Refresh), Expires: Instant(p.ExpiresMs),
		Step: p.Step, Recovery: hash32(p.Recovery)}
}

func (c *ConfirmSecondFactor) proto() *enginepb.ConfirmSecondFactor {
	p := &enginepb.ConfirmSecondFactor{Secret: []byte(c.Secret), Step: c.Step}
	for i := range c.Recovery {
		p.Recovery = append(p.Recovery, c.Recovery[i][:]...)
	}
	return p
}

// confirmSecondFactorFrom leaves out the rest of a broken hash, by which DecodeCommand knows it.
func confirmSecondFactorFrom(p *enginepb.ConfirmSecondFactor) *ConfirmSecondFactor {
	c := &ConfirmSecondFactor{Secret: string(p.Secret), Step: p.Step}
	for left := p.Recovery; len(left) >= len(Hash32{}); left = left[len(Hash32{}):] {
		c.Recovery = append(c.Recovery, hash32(left))
	}
	return c
}

func (c *AddAPIKey) proto() *enginepb.AddApiKey {
	k := &c.Key
	return &enginepb.AddApiKey{Id: k.ID, Name: k.Name, Hash: hash32Bytes(&k.Hash), QuotaPerMinute: int64(k.Quota),
		ReadOnly: k.ReadOnly, CreatedMs: int64(k.Created)}
}

func addAPIKeyFrom(p *enginepb.AddApiKey) *AddAPIKey {
	return &AddAPIKey{APIKey{ID: p.Id, Name: p.Name, Hash: hash32(p.Hash), Quota: int(p.QuotaPerMinute),
		ReadOnly: p.ReadOnly, Created: Instant(p.CreatedMs)}}
}
