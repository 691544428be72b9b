package dataplane

import (
	"testing"

	"github.com/plinksim/plinksim/pkg/packet"
	"github.com/stretchr/testify/require"
)

func TestEngineCountsForEachENI(t *testing.T) {
	e, m := start(t, EngineConfig{})
	require.NoError(t, e.Configure(oneEndpoint()))
	frame := tcpFrame(consumer, endpoint, syn, nil)
	m.Inject(packet.Frame{ENI: endpointENI, Data: frame}, packet.Frame{ENI: endpointENI, Data: []byte("junk")})
	receive(t, m)
	require.Equal(t, []ENIStats{
		{ENI: endpointENI, FramesReceived: 2, BytesReceived: uint64(len(frame) + 4)},
		{ENI: nodeENI, FramesSent: 1, BytesSent: uint64(len(frame))},
	}, e.Stats().ENIs)
}
