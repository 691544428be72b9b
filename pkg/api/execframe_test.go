package api_test

import (
	"bytes"
	"errors"
	"io"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/require"

	"github.com/plinksim/plinksim/pkg/api"
)

func TestFramesGoThereAndBack(t *testing.T) {
	var wire bytes.Buffer
	to := api.NewFrameWriter(&wire)
	long := bytes.Repeat([]byte("x"), api.MaxFrame)
	require.NoError(t, to.Write(api.FrameInput, long...))
	require.NoError(t, to.Write(api.FrameInput))
	require.NoError(t, to.Write(api.FrameSignal, 15))
	require.NoError(t, to.WriteUint32(api.FrameSize, 24<<16|80))
	require.NoError(t, to.Write(api.FrameOutput, 'o'))
	require.NoError(t, to.Write(api.FrameError, 'e'))
	require.NoError(t, to.WriteUint32(api.FrameTaken, 1<<17))
	require.NoError(t, to.Write(api.FrameExit, 137))
	var buf api.FrameBuffer
	in := iotest.OneByteReader(&wire)
	for _, want := range []api.Frame{
		{Kind: api.FrameInput, Data: long}, {Kind: api.FrameInput, Data: []byte{}}, {Kind: api.FrameSignal, Data: []byte{15}},
		{Kind: api.FrameSize, Data: []byte{0, 24, 0, 80}}, {Kind: api.FrameOutput, Data: []byte("o")},
		{Kind: api.FrameError, Data: []byte("e")}, {Kind: api.FrameTaken, Data: []byte{0, 2, 0, 0}}, {Kind: api.FrameExit, Data: []byte{137}},
	} {
		f, err := api.ReadFrame(in, &buf)
		require.NoError(t, err)
		require.Equal(t, want, f)
		switch f.Kind {
		case api.FrameSize:
			require.Equal(t, api.TerminalSize{Rows: 24, Columns: 80}, f.Size())
		case api.FrameTaken:
			require.EqualValues(t, 1<<17, f.Uint32())
		}
	}
	_, err := api.ReadFrame(in, &buf)
	require.ErrorIs(t, err, io.EOF)
}

func TestWhatIsNoFrameIsRefused(t *testing.T) {
	for _, tt := range []struct{ name, wire, want string }{
		{"an unknown kind", "\x00\x00\x00\x00", "a frame of kind 0 with 0 bytes"},
		{"a kind that does not exist yet", "\x08\x00\x00\x00", "a frame of kind 8"},
		{"longer than any", "\x01\x00\x80\x01", "a frame of kind 1 with 32769 bytes"},
		{"a signal without a number", "\x02\x00\x00\x00", "a frame of kind 2 with 0 bytes"},
		{"half a size", "\x03\x00\x00\x02ab", "a frame of kind 3 with 2 bytes"},
		{"an exit code of two bytes", "\x07\x00\x00\x02ab", "a frame of kind 7 with 2 bytes"},
		{"an answer of HTTP", "HTTP/1.1 400", "a frame of kind 72"},
		{"the end within a header", "\x01\x00", "unexpected EOF"},
		{"the end within the data", "\x01\x00\x00\x04ab", "unexpected EOF"},
		{"the end before the data", "\x01\x00\x00\x04", "unexpected EOF"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var buf api.FrameBuffer
			_, err := api.ReadFrame(bytes.NewReader([]byte(tt.wire)), &buf)
			require.ErrorContains(t, err, tt.want)
			require.NotErrorIs(t, err, io.EOF)
		})
	}
}

// What comes from another host is read in bounded memory, and written again as it was.
func FuzzReadFrame(f *testing.F) {
	f.Add([]byte("\x01\x00\x00\x02hi\x02\x00\x00\x01\x0f\x03\x00\x00\x04\x00\x18\x00\x50"))
	f.Add([]byte("\x04\x00\x80\x00"))
	f.Fuzz(func(t *testing.T, wire []byte) {
		in, again := bytes.NewReader(wire), &bytes.Buffer{}
		to := api.NewFrameWriter(again)
		var buf api.FrameBuffer
		for {
			before := len(wire) - in.Len()
			f, err := api.ReadFrame(in, &buf)
			if errors.Is(err, io.EOF) {
				require.Equal(t, wire, append([]byte{}, again.Bytes()...))
			}
			if err != nil {
				require.Equal(t, wire[:before], append([]byte{}, again.Bytes()...))
				return
			}
			require.NoError(t, to.Write(f.Kind, f.Data...))
		}
	})
}
