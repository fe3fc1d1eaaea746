package persistence_test

import (
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"maitred/persistence"
	"maitred/persistence/recordpb"
)

// A field that a newer build adds to a record, wherever it stands, is passed over: the fold is the same. What an older build must not
// overlook gets a new version of the format, which it refuses (TestDecodeRefusesNonsenseWithARightChecksum).
func TestRecordsOfNewerBuilds(t *testing.T) {
	bodies := map[string]proto.Message{
		"frame": new(recordpb.Frame), "heartbeat": new(recordpb.Frame), "claim": new(recordpb.Claim), "restart": new(recordpb.Claim),
		"genesis": new(recordpb.Genesis), "checkpoint": new(recordpb.Checkpoint),
	}
	for name, want := range samples() {
		data := persistence.Encode(nil, want)
		const header, trailer = 6, 4
		body := bodies[name]
		require.NoError(t, proto.Unmarshal(data[header:len(data)-trailer], body))
		overload(body.ProtoReflect())
		more, err := proto.Marshal(body)
		require.NoError(t, err)
		got, err := persistence.Decode(seal(data[4], data[5], more))
		require.NoError(t, err, name)
		if cp, ok := got.(*persistence.Checkpoint); ok {
			require.Equal(t, cp.Digest, cp.StateDigest(), "compared by what is understood")
		}
		require.Equal(t, want, got, name)
		require.NotEqual(t, persistence.HashOf(data), persistence.HashOf(seal(data[4], data[5], more)), "the chain is over bytes, not meanings")
	}
}

// overload adds a field that nobody knows to every message within m.
func overload(m protoreflect.Message) {
	m.Range(func(f protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		for i := 0; f.IsList() && f.Message() != nil && i < v.List().Len(); i++ {
			overload(v.List().Get(i).Message())
		}
		return true
	})
	m.SetUnknown(protowire.AppendString(protowire.AppendTag(nil, 1000, protowire.BytesType), "of a later build"))
}
