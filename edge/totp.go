package edge

import (
	"crypto/hmac"
	"crypto/sha1" // #nosec G505 -- RFC 6238's default, and the only one every authenticator knows; as HMAC it is sound
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base32"
	"encoding/binary"
	"fmt"
	"net/url"
	"strings"
	"time"

	"maitred/engine"
)

// The second factor: time-based one-time passwords of RFC 6238 with what every authenticator knows: SHA-1, six digits, thirty
// seconds. One step of clock skew each way is accepted. That a code is good once is the account's decision.

const (
	totpPeriod = 30 // seconds
	totpDigits = 6
	totpSkew   = 1 // steps each way
)

var totpEncoding = base32.StdEncoding.WithPadding(base32.NoPadding)

// totpCode is the code of a time step.
func totpCode(secret string, step int64) string {
	mac := hmac.New(sha1.New, []byte(secret))     // #nosec G401 -- see the import
	_ = binary.Write(mac, binary.BigEndian, step) // a hash never fails
	sum := mac.Sum(nil)
	at := sum[len(sum)-1] & 0xf
	n := binary.BigEndian.Uint32(sum[at:]) & 0x7fffffff
	return fmt.Sprintf("%0*d", totpDigits, n%1_000_000)
}

// totpStep is the newest time step near now whose code that is.
func totpStep(secret, code string, now time.Time) (int64, bool) {
	for step := now.Unix()/totpPeriod + totpSkew; step >= now.Unix()/totpPeriod-totpSkew; step-- {
		if subtle.ConstantTimeCompare([]byte(totpCode(secret, step)), []byte(code)) == 1 {
			return step, true
		}
	}
	return 0, false
}

type totpJSON struct {
	Secret string `json:"secret"` // base 32
	URL    string `json:"otpauth_url"`
}

// postTotp begins a second factor: it counts from its confirmation on.
func (s *Server) postTotp(x *exchange) {
	var w passwordRequest
	t := decode(x.body(), &w)
	if t == nil && len(w.Password) > 4*maxPassword {
		t = wrong("password", "too long")
	}
	if t != nil {
		x.trouble(t)
		return
	}
	v := x.confirmPassword(w.Password) // a stolen access token must not lock its owner out
	if v == nil {
		return
	}
	info := v.Info()
	var secret [engine.SecretBytes]byte
	s.mint.read(secret[:])
	out := x.do(engine.AggregateID(info.ID), &engine.Command{Caller: x.who(), Body: &engine.BeginSecondFactor{Secret: string(secret[:])}})
	if out == nil {
		return
	}
	text := totpEncoding.EncodeToString(secret[:])
	q := url.Values{"secret": {text}, "issuer": {issuer}, "algorithm": {"SHA1"}, "digits": {"6"}, "period": {"30"}}
	link := url.URL{Scheme: "otpauth", Host: "totp", Path: "/" + issuer + ":" + info.Email, RawQuery: q.Encode()}
	x.send(201, totpJSON{Secret: text, URL: link.String()})
}

type recoveryJSON struct {
	Codes []string `json:"recovery_codes"`
}

// confirmTotp makes the second factor active when its holder shows a code, and gives the recovery codes, once.
func (s *Server) confirmTotp(x *exchange) {
	var w codeRequest
	if t := decode(x.body(), &w); t != nil {
		x.trouble(t)
		return
	}
	id := x.caller.account
	v, err := x.accountView(id)
	if err != nil {
		x.fault(err)
		return
	}
	f := v.SecondFactor()
	if v.Info() == nil || f == nil {
		x.fail(kindNotFound)
		return
	}
	x.guarded(id, func() verdict {
		step, ok := totpStep(f.Secret, w.Code, x.now)
		if !ok {
			x.trouble(wrong("code", "not the code of now"))
			return failed
		}
		codes, hashes := s.recoveryCodes()
		if x.do(engine.AggregateID(id), &engine.Command{
			Caller: x.who(), Body: &engine.ConfirmSecondFactor{Secret: f.Secret, Step: step, Recovery: hashes},
		}) != nil {
			x.send(200, recoveryJSON{codes})
		}
		return unjudged
	})
}

// recoveryCodes are 80 random bits each, so that their plain SHA-256 can be kept.
func (s *Server) recoveryCodes() (codes []string, hashes []engine.Hash32) {
	for range engine.MaxRecoveryCodes {
		var r [10]byte
		s.mint.read(r[:])
		text := totpEncoding.EncodeToString(r[:])
		codes = append(codes, text[:4]+"-"+text[4:8]+"-"+text[8:12]+"-"+text[12:])
		hashes = append(hashes, sha256.Sum256([]byte(text)))
	}
	return codes, hashes
}

// normalRecovery is a recovery code as it was hashed.
func normalRecovery(code string) string {
	return strings.ToUpper(strings.NewReplacer("-", "", " ", "").Replace(code))
}

// deleteTotp takes the second factor away from who knows the password.
func (s *Server) deleteTotp(x *exchange) {
	var w passwordRequest
	if t := decode(x.body(), &w); t != nil {
		x.trouble(t)
		return
	}
	if len(w.Password) > 4*maxPassword {
		x.fail(kindForbidden)
		return
	}
	if x.confirmPassword(w.Password) == nil {
		return
	}
	if x.do(engine.AggregateID(x.caller.account), &engine.Command{Caller: x.who(), Body: &engine.RemoveSecondFactor{}}) != nil {
		x.empty()
	}
}
