package lab_test

import (
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/plinksim/plinksim/pkg/lab"
)

// Who asked for a change must know whether it may have been made.
func TestErrorsOfAnAgreementSayWhatBecameOfTheChange(t *testing.T) {
	for _, tt := range []struct {
		err        error
		text, hint string
	}{
		{&lab.NotLeadingError{Host: "a", Leader: "b"}, `host "a" cannot change this lab, as host "b" leads it`,
			`ask on host "b"`},
		{&lab.NotLeadingError{Host: "a"}, `no host leads this lab at the moment, so that host "a" cannot change it`,
			"another host leads within seconds where most members of the store are reachable; try again"},
		{&lab.ConflictError{After: 7}, "another host has changed this lab since revision 7",
			"look at what the lab is now, and try again"},
		{&lab.NoQuorumError{Revision: 7, Err: errors.New("no leader")},
			"the control plane has no quorum, and nothing was changed; packets go on with revision 7: no leader",
			"most members of the store must run and be reachable from here; then try again"},
		{&lab.UnansweredError{}, "the store did not answer in time: it is not known whether the change was made",
			`wait until the store answers, and look with "plinksim status" and "plinksim events" before you try again`},
	} {
		require.EqualError(t, tt.err, tt.text)
		require.Equal(t, tt.hint, tt.err.(interface{ Hint() string }).Hint())
	}
}
