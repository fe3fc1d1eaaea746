package edge

import (
	"errors"
	"fmt"
	"sync/atomic"
	"time"
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
	dummy   string       // compared when the account is unknown, so that it takes as long
	done    atomic.Int64 // hashes made and compared
	running atomic.Int32 // now
	most    atomic.Int32 // that ran at once so far
}

// newPasswords calibrates the cost: argon2id with 19 MiB, two passes and one lane, which is the least that OWASP's Password
// Storage Cheat Sheet allows, and more passes where those two take less than passwordTarget. memory in KiB is for tests
// and is not calibrated; 0 = the default.
func newPasswords(memory uint32) (*passwords, error) {
	p := &passwords{
		params: &argon2id.Params{Memory: memory, Iterations: passwordPasses, Parallelism: 1, SaltLength: 16, KeyLength: 32},
		slots:  make(chan struct{}, passwordSlots),
	}
	if memory == 0 {
		p.params.Memory = passwordMemory
	}
	var err error
	began := time.Now()
	if p.dummy, err = argon2id.CreateHash("nobody has this password", p.params); err != nil {
		return nil, fmt.Errorf("edge: hash a password: %w", err)
	}
	if memory == 0 {
		err = p.raise(passesFor(time.Since(began)))
	}
	return p, err
}

// passesFor is how many passes take passwordTarget when passwordPasses of them took took.
func passesFor(took time.Duration) uint32 {
	each := max(took/passwordPasses, time.Microsecond)
	return uint32(min(max(passwordTarget/each, passwordPasses), passwordMostPasses))
}

func (p *passwords) raise(passes uint32) error {
	if passes == p.params.Iterations {
		return nil
	}
	p.params.Iterations = passes
	var err error
	if p.dummy, err = argon2id.CreateHash("nobody has this password", p.params); err != nil {
		return fmt.Errorf("edge: hash a password: %w", err)
	}
	return nil
}

// weak says whether a PHC string was made at a lower cost than a new one would be.
func (p *passwords) weak(phc string) bool {
	params, _, _, err := argon2id.DecodeHash(phc)
	return err == nil && (params.Memory < p.params.Memory || params.Memory == p.params.Memory && params.Iterations < p.params.Iterations)
}

func (p *passwords) enter() error {
	if p.waiting.Add(1) > passwordSlots+passwordQueue {
		p.waiting.Add(-1)
		return errPasswordsBusy
	}
	p.slots <- struct{}{}
	running := p.running.Add(1)
	for most := p.most.Load(); running > most && !p.most.CompareAndSwap(most, running); most = p.most.Load() {
	}
	return nil
}

func (p *passwords) leave() {
	p.running.Add(-1)
	<-p.slots
	p.waiting.Add(-1)
}

// hash makes the PHC string of a password.
func (p *passwords) hash(password string) (string, error) {
	if err := p.enter(); err != nil {
		return "", err
	}
	defer p.leave()
	p.done.Add(1)
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
	p.done.Add(1)
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
	for _, r := range password {
		if r < 0x20 || r == 0x7f {
			return wrong("password", "control characters are not allowed")
		}
	}
	return nil
}
