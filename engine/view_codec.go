package engine

import (
	"errors"
	"fmt"

	"maitred/engine/enginepb"
)

// ErrAccountView is what DecodeAccountView wraps: the bytes are no view of an account.
var ErrAccountView = errors.New("engine: not a view of an account")

// AppendAccountView appends the view's protobuf encoding, for the edge of another node. It is bounded by limits.go, and holds
// what nobody but a node may see: hash of the password, secret of the second factor.
func AppendAccountView(dst []byte, v *AccountView) []byte {
	return appendMessage(dst, &enginepb.AccountView{Id: string(v.id), Base: v.base()})
}

// DecodeAccountView reads what AppendAccountView wrote; what a newer build says beyond that is passed over. The view keeps no
// reference to b.
func DecodeAccountView(b []byte) (v *AccountView, err error) {
	defer func() {
		// Loading asserts the same invariants as Apply; here the bytes are to blame, not the code.
		if p := recover(); p != nil {
			v, err = nil, fmt.Errorf("%w: %v", ErrAccountView, p)
		}
	}()
	p := new(enginepb.AccountView)
	if err := p.UnmarshalVT(b); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrAccountView, err)
	}
	if !IsAccountID(p.Id) || p.Base == nil {
		return nil, fmt.Errorf("%w: of nobody", ErrAccountView)
	}
	v = &AccountView{ident{id: AccountID(p.Id)}}
	v.load(p.Base)
	return v, nil
}
