package lab

import (
	"encoding/binary"
	"fmt"
	"time"

	"github.com/plinksim/plinksim/pkg/status"
	"github.com/plinksim/plinksim/pkg/topology"
)

// The routers of one VPC ask each other over the VXLAN whether they are there, each second
// with a small datagram, and each few seconds with one that is as long as the packets of
// the VPC: on the way there, and on the way back.
const (
	pathPause   = time.Second
	pathHurry   = 300 * time.Millisecond // until a host was judged for the first time
	fullSizes   = 3                      // each so many rounds
	pathMissing = 3                      // answers in a row until a way is judged not to pass
	pathLate    = 4 * time.Second        // after which no answer counts any more
)

// aDatagram is what hosts send each other. It has a number that nobody can guess, so that
// who cannot see the questions cannot answer them. In bytes: 0-3 pathMagic, 4 the kind,
// 6-7 how long the answer should be, 8-15 the number, then zeros.
type aDatagram struct {
	kind   datagramKind
	answer uint16 // bytes of the answer to a question
	number uint64
}

type datagramKind byte

const (
	aQuestion datagramKind = 1
	anAnswer  datagramKind = 2
	aGoodbye  datagramKind = 3 // an answer of a host that is taken down
)

const (
	pathMagic   = 0x706c7031 // "plp1"
	smallest    = 16         // bytes of a datagram
	udpOverhead = 20 + 8     // of a datagram, in the IPv4 of a VPC
)

// append is the datagram in so many bytes, at least smallest.
func (d aDatagram) append(b []byte, size int) []byte {
	b = binary.BigEndian.AppendUint32(b, pathMagic)
	b = append(b, byte(d.kind), 0)
	b = binary.BigEndian.AppendUint16(b, d.answer)
	b = binary.BigEndian.AppendUint64(b, d.number)
	return append(b, make([]byte, max(size, smallest)-smallest)...)
}

// parseDatagram reads what came, whoever sent it.
func parseDatagram(b []byte) (d aDatagram, ok bool) {
	if len(b) < smallest || binary.BigEndian.Uint32(b) != pathMagic || b[5] != 0 {
		return d, false
	}
	d = aDatagram{datagramKind(b[4]), binary.BigEndian.Uint16(b[6:]), binary.BigEndian.Uint64(b[8:])}
	return d, d.kind >= aQuestion && d.kind <= aGoodbye
}

// hostPath judges the way to one host and back. It has no clock and no socket.
type hostPath struct {
	host  topology.TransitPeer
	full  int // bytes of the longest datagrams
	round int
	small way
	there way // long datagrams to the host
	back  way // and from there
	gone  bool
	since time.Time // of the verdict

	theirs uint64 // the number of the host's last question

	answered      int       // questions of the host since answersSince
	answersSince  time.Time // see mayAnswer
	sent, missing uint64    // questions, ever
	roundTrip     time.Duration
}

// way is one kind of question, and whether answers come.
type way struct {
	last   [4]sentQuestion // the newest first
	missed int             // answers in a row, as of the last question
	state  wayState
}

type sentQuestion struct {
	number   uint64
	at       time.Time
	answered bool
}

type wayState byte

const (
	notTried wayState = iota
	doesPass
	isSilent
)

func newPath(host topology.TransitPeer, mtu int) *hostPath {
	return &hostPath{host: host, full: mtu - udpOverhead}
}

// verdict is what is so of the way to the host: "" before that is known.
func (p *hostPath) verdict() string {
	switch {
	case p.gone, p.small.state == isSilent:
		return status.PathLost
	case p.small.state == notTried:
		return ""
	case p.there.state == isSilent, p.back.state == isSilent:
		return status.PathTooSmall
	}
	return status.PathOK
}

// settled says whether all that is asked was judged.
func (p *hostPath) settled() bool {
	return p.verdict() == status.PathLost || p.small.state != notTried && p.there.state != notTried && p.back.state != notTried
}

// text says the verdict for people. overhead is what VXLAN adds to a packet.
func (p *hostPath) text(overhead int) string {
	switch p.verdict() {
	case "":
		return "not asked yet"
	case status.PathOK:
		if !p.settled() {
			return "answers"
		}
		return fmt.Sprintf("answers, and packets of %d bytes pass in both directions", p.full+udpOverhead)
	case status.PathLost:
		return p.lostText()
	}
	direction := ", in both directions"
	switch {
	case p.there.state != isSilent:
		direction = " from there"
	case p.back.state != isSilent:
		direction = " to there"
	}
	return fmt.Sprintf("packets of %d bytes pass, those of %d do not%s: the underlay carries less than %d bytes",
		smallest+udpOverhead, p.full+udpOverhead, direction, p.full+udpOverhead+overhead)
}

// eventText says for people what has become of the way.
func (p *hostPath) eventText(before string, overhead int) string {
	switch {
	case p.verdict() == status.PathLost:
		return p.lostText() + ": its zones are left out of the names here"
	case before == status.PathLost:
		return fmt.Sprintf("host %s answers again", p.host.Host)
	}
	return fmt.Sprintf("host %s: %s", p.host.Host, p.text(overhead))
}

// lostText is why the zones of a host that is lost are left out.
func (p *hostPath) lostText() string {
	if p.gone {
		return fmt.Sprintf("host %s was taken down", p.host.Host)
	}
	return fmt.Sprintf("host %s does not answer", p.host.Host)
}

// outgoing is a question with the bytes that it should have.
type outgoing struct {
	aDatagram
	size int
}

// ask is the next round of questions. Those before that have no answer yet are missing.
func (p *hostPath) ask(now time.Time, number func() uint64) (out []outgoing) {
	add := func(w *way, size, answer int) {
		if w.asked() && !w.last[0].answered {
			p.missing++
		}
		n := number()
		w.ask(n, now)
		p.sent++
		out = append(out, outgoing{aDatagram{aQuestion, uint16(answer), n}, size})
	}
	add(&p.small, smallest, smallest)
	if p.verdict() != status.PathLost && (!p.settled() || p.round%fullSizes == 0) {
		add(&p.there, p.full, smallest)
		add(&p.back, smallest, p.full)
	}
	p.round++
	return out
}

func (w *way) asked() bool { return !w.last[0].at.IsZero() }

func (w *way) ask(number uint64, now time.Time) {
	if w.asked() && !w.last[0].answered {
		w.missed++
	}
	if w.missed >= pathMissing {
		w.state = isSilent
	}
	copy(w.last[1:], w.last[:])
	w.last[0] = sentQuestion{number: number, at: now}
}

// heard takes an answer of so many bytes into account. It says whether that was one to
// a question of the last seconds.
func (p *hostPath) heard(d aDatagram, size int, now time.Time) bool {
	for _, w := range []*way{&p.small, &p.there, &p.back} {
		want := smallest
		if w == &p.back {
			want = max(p.full, smallest)
		}
		q := w.question(d.number)
		if q == nil || now.Sub(q.at) > pathLate || d.kind == anAnswer && (q.answered || size != want) {
			continue
		}
		if d.kind == aGoodbye {
			p.gone = true
			return true
		}
		if p.verdict() == status.PathLost {
			p.there, p.back, p.gone = way{}, way{}, false // what was before says nothing
		}
		q.answered = true
		w.state, w.missed = doesPass, 0
		p.roundTrip = now.Sub(q.at)
		return true
	}
	return false
}

func (w *way) question(number uint64) *sentQuestion {
	for i := range w.last {
		if q := &w.last[i]; q.number == number && !q.at.IsZero() {
			return q
		}
	}
	return nil
}

// pause is how long after a round the next one comes.
func (p *hostPath) pause() time.Duration {
	if !p.settled() && p.round <= pathMissing {
		return pathHurry
	}
	return pathPause
}

// answersASecond are more than a host asks, even as it begins to.
const answersASecond = 20

// mayAnswer says whether a question of the host is answered: more than a host asks are not.
func (p *hostPath) mayAnswer(now time.Time) bool {
	if now.Sub(p.answersSince) >= time.Second {
		p.answersSince, p.answered = now, 0
	}
	p.answered++
	return p.answered <= answersASecond
}
