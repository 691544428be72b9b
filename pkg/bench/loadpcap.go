package bench

import (
	"errors"
	"io"
	"time"

	"github.com/plinksim/plinksim/pkg/pcap"
)

// maxPcapFrames limits the file of a load.
const maxPcapFrames = 1_000_000

// WritePcap writes the frames that the senders of a load send to the provider, as they are
// in the topologies of a benchmark, with the times at which they are due from 1970 on: those of
// the time that it is given, or, where it has no rate, all sizes on all flows once, a
// microsecond apart. There are at most a million frames. Only the times and the
// number of the measurement within the payload are others when it is measured.
func (l Load) WritePcap(w io.Writer, during time.Duration) error {
	if err := l.check(); err != nil {
		return err
	}
	if l.Direction == ToConsumer {
		return errors.New("what frames to the consumer look like is known only while sessions are open: " +
			"write those to the provider")
	}
	plan, err := topologyOf("bench", l.Senders, l.Flows)
	if err != nil {
		return err
	}
	all, interval := l.Flows*len(l.Frames.Sizes), float64(time.Microsecond)
	if l.Rate > 0 {
		all, interval = int(float64(l.Rate)*during.Seconds()), 1e9/float64(l.Rate)
	}
	file, err := pcap.NewWriter(w)
	if err != nil {
		return err
	}
	endpoint, clients := plan.Endpoints[0].Zones[0].ENI, plan.MustVPC("consumer").Instances
	flows := l.Flows / l.Senders
	buffer := make([]byte, maxFrame)
	for i := range min(all, maxPcapFrames) {
		sender, number := i%l.Senders, uint64(i/l.Senders)
		from := clients[sender]
		f := clientFlow(from.IP, endpoint.IP, endpoint.MAC, int(number%uint64(flows)))
		due := int64(float64(i) * interval)
		m := mark{due: due, number: number, sender: byte(sender), flags: counted}
		frame := (&maker{mac: from.MAC}).udp(buffer, &f, l.Frames.of(number, flows), &m)
		if err := file.Write(due, frame); err != nil {
			return err
		}
	}
	return file.Flush()
}
