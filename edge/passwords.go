package edge

import (
	"errors"
	"fmt"
	"sync/atomic"
	"unicode/utf8"

	"github.com/alexedwards/argon2id"
)

// errPasswordsBusy says that too many passwords wait to be hashed.
var errPasswordsBusy = errors.New("edge: too many passwords wait")

// passwords hashes and compares with argon2id, passwordSlots at once; beyond passwordQueue waiting it refuses, so that a
// flood of logins takes bounded memory and leaves the cores to the reservations.
type passwords struct {
	params  *argon2id.Params
	slots   chan struct{}
	waiting atomic.Int32
	dummy   string // compared when the account is unknown, so that it takes as long
}

func newPasswords(memory uint32) (*passwords, error) {
	if memory == 0 {
		memory = 19_456
	}
	p := &passwords{
		params: &argon2id.Params{Memory: memory, Iterations: 2, Parallelism: 1, SaltLength: 16, KeyLength: 32},
		slots:  make(chan struct{}, passwordSlots),
	}
	var err error
	if p.dummy, err = argon2id.CreateHash("nobody has this password", p.params); err != nil {
		return nil, fmt.Errorf("edge: hash a password: %w", err)
	}
	return p, nil
}

func (p *passwords) enter() error {
	if p.waiting.Add(1) > passwordSlots+passwordQueue {
		p.waiting.Add(-1)
		return errPasswordsBusy
	}
	p.slots <- struct{}{}
	return nil
}

func (p *passwords) leave() {
	<-p.slots
	p.waiting.Add(-1)
}

// hash makes the PHC string of a password.
func (p *passwords) hash(password string) (string, error) {
	if err := p.enter(); err != nil {
		return "", err
	}
	defer p.leave()
	phc, err := argon2id.CreateHash(password, p.params)
	if err != nil {
		return "", fmt.Errorf("edge: hash a password: %w", err)
	}
	return phc, nil
}

// matches compares a password with a PHC string; an empty one matches nothing and takes as long.
func (p *passwords) matches(password, phc string) (bool, error) {
	if err := p.enter(); err != nil {
		return false, err
	}
	defer p.leave()
	known := phc != ""
	if !known {
		phc = p.dummy
	}
	ok, err := argon2id.ComparePasswordAndHash(password, phc)
	if err != nil {
		return false, fmt.Errorf("edge: compare a password: %w", err)
	}
	return ok && known, nil
}

// checkPassword bounds a new password.
func checkPassword(password string) *trouble {
	if n := utf8.RuneCountInString(password); n < minPassword || n > maxPassword {
		return wrong("password", "8 to 128 characters")
	}
	return nil
}
