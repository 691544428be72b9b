package lab

import (
	"errors"
	"net"
	"syscall"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"
)

// scarce is a listener whose process has no descriptor at first.
type scarce struct {
	net.Listener
	fails int
	err   error
}

func (s *scarce) Accept() (net.Conn, error) {
	if s.fails > 0 {
		s.fails--
		return nil, &net.OpError{Op: "accept", Err: s.err}
	}
	_, conn := net.Pipe()
	return conn, nil
}

func TestAListenerOutlivesAMomentWithoutDescriptors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var told []bool
		l := &patientListener{
			Listener: &scarce{fails: 200, err: syscall.EMFILE}, ctx: t.Context(),
			lacks: func(lacks bool) { told = append(told, lacks) },
		}
		_, err := l.Accept()
		require.NoError(t, err)
		require.Equal(t, []bool{true, false}, told)

		l.Listener = &scarce{fails: 1, err: net.ErrClosed}
		_, err = l.Accept()
		require.ErrorIs(t, err, net.ErrClosed)
	})
}

func TestConnectionsWaitForRoomAndListenersTakeNone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		shared := make(room, 2)
		listener := func() *patientListener {
			return &patientListener{Listener: &scarce{}, ctx: t.Context(), room: shared, lacks: func(bool) {}}
		}
		a, b := listener(), listener()
		first, err := a.Accept()
		require.NoError(t, err)
		_, err = b.Accept()
		require.NoError(t, err)

		third := make(chan error)
		go func() {
			_, err := a.Accept()
			third <- err
		}()
		synctest.Wait()
		select {
		case <-third:
			require.Fail(t, "there was no room")
		default:
		}
		require.NoError(t, errors.Join(first.Close(), first.Close()), "room is left once")
		require.NoError(t, <-third)
		require.Len(t, shared, 2)
	})
}
