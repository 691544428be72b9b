package control

import (
	"reflect"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// A connection is written again whatever of it has changed.
func TestSavedConnectionsDifferInEveryField(t *testing.T) {
	mbit := 100
	was := savedConnection{
		Service: "s", Endpoint: "e", Account: "a", VPC: "v", State: Wait, Since: time.Unix(1, 0), Modified: time.Unix(2, 0),
		Zones: []savedZone{{Zone: "z", State: Wait, LoadBalancer: "l", Replaced: "r"}},
	}
	same := was
	same.Zones = []savedZone{was.Zones[0]}
	require.True(t, was.Same(&same))
	typ := reflect.TypeFor[savedConnection]()
	for i := range typ.NumField() {
		now := was
		switch field := reflect.ValueOf(&now).Elem().Field(i).Addr().Interface().(type) {
		case *string:
			*field = "other"
		case *State:
			*field = Connected
		case *time.Time:
			*field = time.Unix(3, 0)
		case **int:
			*field = &mbit
		case *[]savedZone:
			*field = []savedZone{{Zone: "z", State: Connected, LoadBalancer: "l", Replaced: "r"}}
		default:
			t.Fatalf("give %s another value here", typ.Field(i).Name)
		}
		require.False(t, was.Same(&now), typ.Field(i).Name)
	}
}
