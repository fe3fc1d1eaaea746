package edge

import (
	"fmt"

	"maitred/engine"
)

// NewUser is what an operator says of an account.
type NewUser struct {
	Email, Password, FirstName, LastName string
	Role                                 string // customer, owner or admin
}

// NewProfile makes the profile of an account that an operator creates: checked, hashed and named as by POST /auth/register.
func NewProfile(keys *Keys, u NewUser) (engine.Profile, error) {
	role, ok := roleOf(u.Role)
	w := registerRequest{Email: u.Email, Password: u.Password, FirstName: u.FirstName, LastName: u.LastName}
	email, _, t := checkRegister(&w)
	switch {
	case t != nil:
		return engine.Profile{}, fmt.Errorf("edge: %s: %s", t.field, t.detail)
	case !ok:
		return engine.Profile{}, fmt.Errorf("edge: no role is called %q", u.Role)
	}
	p, err := newPasswords(0)
	if err != nil {
		return engine.Profile{}, err
	}
	phc, err := p.hash(u.Password)
	if err != nil {
		return engine.Profile{}, err
	}
	return engine.Profile{
		ID: accountID(keys.account, email), Email: email, FirstName: u.FirstName, LastName: u.LastName, Role: role, PasswordHash: phc,
	}, nil
}
