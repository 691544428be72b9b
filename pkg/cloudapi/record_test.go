package cloudapi

import (
	"encoding/json"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/plinksim/plinksim/pkg/lab"
)

// full is a store that has no room until it is told so.
type full struct {
	lab.Store
	room bool
}

func (f *full) Save(name string, text []byte) error {
	if !f.room {
		return errors.New("no room")
	}
	return f.Store.Save(name, text)
}

func TestARecordIsReadAgainAsItWasSaved(t *testing.T) {
	store := &lab.MemoryStore{}
	r, err := readRecord(store)
	require.NoError(t, err)
	now := time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)
	for i := range 3 {
		id := fmt.Sprintf("vpce-%d", r.Count())
		r.Change(id, func(thing *Thing) {
			thing.Created, thing.Tags["Name"], thing.Notes["image"] = now, `"<é>`, fmt.Sprint(i)
		})
	}
	r.Forget("vpce-2")
	r.keepToken("consumer CreateVpcEndpoint 1", token{"hash", "request", "<answer/>", now.Add(tokenLifetime)}, now)
	require.NoError(t, r.save())

	text, err := store.Load(RecordFile)
	require.NoError(t, err)
	require.True(t, json.Valid(text), "%s", text)
	again, err := readRecord(store)
	require.NoError(t, err)
	require.Equal(t, []string{"vpce-1", "vpce-3"}, again.IDs("vpce-"))
	require.Equal(t, r.Thing("vpce-3"), again.Thing("vpce-3"))
	require.Equal(t, 4, again.Count())
	kept, there := again.token("consumer CreateVpcEndpoint 1", now)
	require.True(t, there)
	require.Equal(t, "<answer/>", kept.Answer)
	_, there = again.token("consumer CreateVpcEndpoint 1", now.Add(tokenLifetime))
	require.False(t, there, "a token is forgotten in the end")
}

func TestWhatCouldNotBeSavedIsSavedWithTheNextCall(t *testing.T) {
	store := &full{Store: &lab.MemoryStore{}}
	r, err := readRecord(store)
	require.NoError(t, err)
	require.NoError(t, r.save(), "nothing is to be saved")
	r.Change("vpc-1", func(thing *Thing) { thing.Tags["Name"] = "shop" })
	require.EqualError(t, r.save(), "no room")
	store.room = true
	require.NoError(t, r.save())
	again, err := readRecord(store)
	require.NoError(t, err)
	require.Equal(t, "shop", again.Thing("vpc-1").Tags["Name"])
}

func TestTheRecordHoldsSoManyTokensAtMost(t *testing.T) {
	r, err := readRecord(&lab.MemoryStore{})
	require.NoError(t, err)
	now := time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)
	for i := range mostTokens + 10 {
		r.keepToken(fmt.Sprint(i), token{Expires: now.Add(tokenLifetime)}, now)
	}
	require.Len(t, r.tokens, mostTokens)
	r.keepToken("late", token{Expires: now.Add(2 * tokenLifetime)}, now.Add(tokenLifetime+time.Second))
	require.Len(t, r.tokens, 1, "those of yesterday make room")
}
