package pcap_test

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"github.com/google/gopacket/pcapgo"
	"github.com/plinksim/plinksim/internal/testenv"
	"github.com/plinksim/plinksim/pkg/pcap"
	"github.com/stretchr/testify/require"
)

var (
	noon   = time.Date(2026, 11, 20, 12, 0, 0, 123456789, time.UTC).UnixNano()
	frames = [][]byte{make([]byte, 14), bytes.Repeat([]byte{0xab}, 61), bytes.Repeat([]byte{0xcd}, 65549)}
)

// classic is a file as anybody may have written it.
func classic(order binary.ByteOrder, magic uint32, unit int64) []byte {
	var b bytes.Buffer
	write := func(v ...any) {
		for _, v := range v {
			binary.Write(&b, order, v)
		}
	}
	write(magic, uint16(2), uint16(4), uint32(0), uint32(0), uint32(65535), uint32(1))
	for i, f := range frames {
		at := noon + int64(i)*1e9
		write(uint32(at/1e9), uint32(at%1e9/unit), uint32(len(f)), uint32(len(f)))
		b.Write(f)
	}
	return b.Bytes()
}

// classicOf and ngOf are files of a link type with a packet twice.
func classicOf(link uint16, data []byte) []byte {
	file := classic(binary.LittleEndian, 0xa1b2c3d4, 1000)[:24]
	binary.LittleEndian.PutUint32(file[20:], uint32(link))
	for range 2 {
		file = binary.LittleEndian.AppendUint64(file, 0)
		file = binary.LittleEndian.AppendUint32(file, uint32(len(data)))
		file = binary.LittleEndian.AppendUint32(file, uint32(len(data)))
		file = append(file, data...)
	}
	return file
}

func ngOf(link uint16, data []byte) []byte {
	words := func(b []byte, all ...uint32) []byte {
		for _, v := range all {
			b = binary.LittleEndian.AppendUint32(b, v)
		}
		return b
	}
	file := words(nil, 0x0a0d0d0a, 28, 0x1a2b3c4d, 1, 0xffffffff, 0xffffffff, 28)
	file = words(file, 1, 20, uint32(link), 0, 20)
	padded := append(bytes.Clone(data), make([]byte, 3-(len(data)+3)%4)...)
	for range 2 {
		size := uint32(32 + len(padded))
		file = words(file, 6, size, 0, 0, 0, uint32(len(data)), uint32(len(data)))
		file = words(append(file, padded...), size)
	}
	return file
}

func readAll(t *testing.T, file []byte) (packets []pcap.Packet, end error) {
	t.Helper()
	r, err := pcap.NewReader(bytes.NewReader(file))
	if err != nil {
		return nil, err
	}
	for {
		var p pcap.Packet
		if err := r.Next(&p); err != nil {
			if errors.Is(err, io.EOF) {
				err = nil
			}
			return packets, err
		}
		p.Data = bytes.Clone(p.Data)
		packets = append(packets, p)
	}
}

func TestReaderReadsEveryKindOfClassicFile(t *testing.T) {
	for _, tt := range []struct {
		name  string
		order binary.ByteOrder
		magic uint32
		unit  int64
	}{
		{"microseconds, little endian", binary.LittleEndian, 0xa1b2c3d4, 1000},
		{"microseconds, big endian", binary.BigEndian, 0xa1b2c3d4, 1000},
		{"nanoseconds, little endian", binary.LittleEndian, 0xa1b23c4d, 1},
		{"nanoseconds, big endian", binary.BigEndian, 0xa1b23c4d, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			packets, err := readAll(t, classic(tt.order, tt.magic, tt.unit))
			require.NoError(t, err)
			require.Len(t, packets, len(frames))
			for i, p := range packets {
				require.Equal(t, frames[i], p.Data)
				require.Equal(t, (noon+int64(i)*1e9)/tt.unit*tt.unit, p.Time)
			}
		})
	}
}

func TestWhatIsWrittenIsRead(t *testing.T) {
	t.Run("classic", func(t *testing.T) {
		var b bytes.Buffer
		w, err := pcap.NewWriter(&b)
		require.NoError(t, err)
		for _, f := range frames {
			require.NoError(t, w.Write(noon, f))
		}
		require.Error(t, w.Write(-1, nil))
		require.NoError(t, w.Flush())
		packets, err := readAll(t, b.Bytes())
		require.NoError(t, err)
		require.Len(t, packets, len(frames))
		for i, p := range packets {
			require.Equal(t, pcap.Packet{Time: noon, Data: frames[i]}, p)
		}
	})
	t.Run("pcapng", func(t *testing.T) {
		want := ngPackets()
		packets, err := readAll(t, ngFile(t))
		require.NoError(t, err)
		require.Equal(t, want, packets)
	})
}

func ngPackets() []pcap.Packet {
	return []pcap.Packet{
		{Time: noon, Data: frames[0], Interface: "ep1@zone", Direction: pcap.Received, Comment: "forwarded"},
		{Time: noon + 1, Data: frames[1], Interface: "clb1@zone", Direction: pcap.Sent},
		{Time: noon + 2, Data: frames[2], Interface: "ep1@zone", Comment: "Überlang"},
	}
}

func ngFile(t *testing.T) []byte {
	t.Helper()
	var b bytes.Buffer
	w, err := pcap.NewNgWriter(&b, "plinksim")
	require.NoError(t, err)
	numbers := map[string]int{}
	for _, name := range []string{"ep1@zone", "clb1@zone"} {
		numbers[name], err = w.AddInterface(name, "what it is")
		require.NoError(t, err)
	}
	for _, p := range ngPackets() {
		require.NoError(t, w.Write(numbers[p.Interface], &p))
	}
	require.NoError(t, w.WriteStatistics(0, noon, 10, 3))
	return b.Bytes()
}

// Another library reads what we write.
func TestGopacketReadsOurPcapng(t *testing.T) {
	r, err := pcapgo.NewNgReader(bytes.NewReader(ngFile(t)), pcapgo.DefaultNgReaderOptions)
	require.NoError(t, err)
	for _, want := range ngPackets() {
		data, info, err := r.ReadPacketData()
		require.NoError(t, err)
		require.Equal(t, want.Data, data)
		require.Equal(t, want.Time, info.Timestamp.UnixNano())
		i, err := r.Interface(info.InterfaceIndex)
		require.NoError(t, err)
		require.Equal(t, want.Interface, i.Name)
	}
	_, _, err = r.ReadPacketData()
	require.ErrorIs(t, err, io.EOF)
}

// We read what another library writes.
func TestWeReadTheFilesOfGopacket(t *testing.T) {
	var b bytes.Buffer
	w, err := pcapgo.NewNgWriter(&b, layers.LinkTypeEthernet)
	require.NoError(t, err)
	for _, f := range frames {
		require.NoError(t, w.WritePacket(gopacket.CaptureInfo{Timestamp: time.Unix(0, noon), CaptureLength: len(f),
			Length: len(f)}, f))
	}
	require.NoError(t, w.Flush())
	packets, err := readAll(t, b.Bytes())
	require.NoError(t, err)
	require.Len(t, packets, len(frames))
	for i, p := range packets {
		require.Equal(t, frames[i], p.Data)
		require.Equal(t, noon, p.Time)
	}
}

func TestReaderReadsTimesOfEveryResolution(t *testing.T) {
	for _, tt := range []struct {
		name       string
		resolution byte
		offset     int64
		stamp      uint64
		want       int64
	}{
		{"seconds", 0, 0, 7, 7e9},
		{"milliseconds", 3, 0, 7001, 7_001_000_000},
		{"picoseconds", 12, 0, 7_000_000_000_123, 7e9},
		{"powers of two", 0x80 | 10, 0, 7*1024 + 512, 7_500_000_000},
		{"an offset of whole seconds", 9, 1000, 7e9 + 5, 1007*1e9 + 5},
	} {
		t.Run(tt.name, func(t *testing.T) {
			packets, err := readAll(t, ngWith(tt.resolution, tt.offset, tt.stamp))
			require.NoError(t, err)
			require.Len(t, packets, 1)
			require.Equal(t, tt.want, packets[0].Time)
		})
	}
}

// ngWith is a big endian file with one packet.
func ngWith(resolution byte, offset int64, stamp uint64) []byte {
	var b bytes.Buffer
	blockOf := func(kind uint32, body []byte) {
		length := uint32(len(body) + 12)
		binary.Write(&b, binary.BigEndian, []uint32{kind, length})
		b.Write(body)
		binary.Write(&b, binary.BigEndian, length)
	}
	blockOf(0x0a0d0d0a, []byte{0x1a, 0x2b, 0x3c, 0x4d, 0, 1, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff})
	blockOf(0xbad, make([]byte, 400<<10)) // of a kind that nobody knows
	iface := []byte{0, 1, 0, 0, 0, 0, 0, 0, 0, 9, 0, 1, resolution, 0, 0, 0, 0, 14, 0, 8}
	iface = binary.BigEndian.AppendUint64(iface, uint64(offset))
	blockOf(1, append(iface, 0, 0, 0, 0))
	p := binary.BigEndian.AppendUint32(nil, 0)
	p = binary.BigEndian.AppendUint64(p, stamp)
	p = append(p, 0, 0, 0, 14, 0, 0, 0, 14)
	blockOf(6, append(p, make([]byte, 16)...))
	return b.Bytes()
}

func zipped(t *testing.T, file []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, err := w.Write(file)
	require.NoError(t, err)
	require.NoError(t, w.Close())
	return b.Bytes()
}

func TestReaderTakesGzip(t *testing.T) {
	for _, file := range [][]byte{classic(binary.LittleEndian, 0xa1b2c3d4, 1000), ngFile(t)} {
		want, err := readAll(t, file)
		require.NoError(t, err)
		got, err := readAll(t, zipped(t, file))
		require.NoError(t, err)
		require.Equal(t, want, got)
	}
}

// Packets without an Ethernet header get one, in both formats: the IP packet is the
// same, and what is known of the sender is in it.
func TestReaderMakesEthernetHeaders(t *testing.T) {
	ip := append([]byte{0x45, 0, 0, 21}, make([]byte, 17)...)
	ip6 := append([]byte{0x60}, make([]byte, 40)...)
	cooked := []byte{0, 0, 0, 1, 0, 6, 2, 0, 10, 0, 1, 10, 0, 0, 8, 0}
	cooked2 := []byte{8, 0, 0, 0, 0, 0, 0, 7, 0, 1, 0, 6, 2, 0, 10, 0, 1, 10, 0, 0}
	header := func(src []byte, kind ...byte) []byte {
		return append(append(make([]byte, 6), src...), kind...)
	}
	nobody, host := make([]byte, 6), []byte{2, 0, 10, 0, 1, 10}
	for _, tt := range []struct {
		name   string
		link   uint16
		packet []byte
		want   []byte
	}{
		{"Linux cooked", 113, append(cooked, ip...), append(header(host, 8, 0), ip...)},
		{"Linux cooked v2", 276, append(cooked2, ip...), append(header(host, 8, 0), ip...)},
		{"raw IPv4", 101, ip, append(header(nobody, 8, 0), ip...)},
		{"raw IPv6", 229, ip6, append(header(nobody, 0x86, 0xdd), ip6...)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for _, file := range [][]byte{classicOf(tt.link, tt.packet), ngOf(tt.link, tt.packet)} {
				got, err := readAll(t, file)
				require.NoError(t, err)
				require.Len(t, got, 2)
				for _, p := range got {
					require.Equal(t, tt.want, p.Data)
					require.True(t, p.NoMAC)
				}
			}
		})
	}
}

func TestReaderSaysWhatIsWrong(t *testing.T) {
	good := classic(binary.LittleEndian, 0xa1b2c3d4, 1000)
	changed := func(at int, b ...byte) []byte {
		c := bytes.Clone(good)
		copy(c[at:], b)
		return c
	}
	ng := ngFile(t)
	for _, tt := range []struct {
		name string
		file []byte
		want string
	}{
		{"an empty file", nil, "is no packet file: it is shorter than any"},
		{"a text", []byte("hello, world"), "is no packet file: it starts with 68 65 6c 6c, and not as pcap or pcapng"},
		{"a header that is cut off", good[:20], "ends within its header"},
		{"a version that nobody wrote", changed(4, 9), "is pcap version 9.4: want 2.4"},
		{"another link type", changed(20, 105), "has packets of link type 105: want Ethernet, or Linux cooked or " +
			"raw IP packets: capture at one interface (tcpdump -i eth0 -w FILE)"},
		{"a file of zstd", []byte("\x28\xb5\x2f\xfd...."),
			"is no packet file: it is compressed by zstd: type zstd -d FILE"},
		{"a gzip that is cut off", zipped(t, good)[:60], "packet 1 is cut off: the file ends within it"},
		{"a cooked packet that is too short", changed(20, 113), "packet 1 is too short for a header: 14 bytes"},
		{"a record header that is cut off", good[:24+10], "packet 1 is cut off: the file ends within it"},
		{"a packet that is cut off", good[:len(good)-1], "packet 3 is cut off: the file ends within it"},
		{"a packet that was not captured whole", changed(24+12, 15),
			"packet 1 was not captured whole (14 of 15 bytes): capture with a longer snapshot length"},
		{"a length out of bounds", changed(24+8, 0xff, 0xff, 0xff, 0x7f),
			"packet 1 claims to be 2147483647 bytes long: want at most 262144"},
		{"a time that is none", changed(24+4, 0xff, 0xff, 0xff, 0x7f),
			"packet 1 has an invalid time: 2147483647 of 1000000 parts of a second"},
		{"a pcapng that is cut off", ng[:len(ng)-40],
			"packet 4 or the block before it is cut off: the file ends within it"},
		{"a pcapng header that is cut off", ng[:14], "ends within the header of a section"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := readAll(t, tt.file)
			var wrong *pcap.Error
			require.ErrorAs(t, err, &wrong)
			require.EqualError(t, err, tt.want)
		})
	}
}

func TestReaderDoesNotAllocatePerPacket(t *testing.T) {
	var b bytes.Buffer
	w, err := pcap.NewWriter(&b)
	require.NoError(t, err)
	for range 2000 {
		require.NoError(t, w.Write(noon, frames[1]))
	}
	require.NoError(t, w.Flush())
	r, err := pcap.NewReader(&b)
	require.NoError(t, err)
	var p pcap.Packet
	require.Zero(t, testing.AllocsPerRun(1000, func() {
		if err := r.Next(&p); err != nil {
			t.Fatal(err)
		}
	}))
}

// Wireshark's own programs find nothing to complain about.
func TestWiresharkReadsOurFiles(t *testing.T) {
	testenv.NeedPrograms(t, "capinfos", "tshark")
	var b bytes.Buffer
	w, err := pcap.NewWriter(&b)
	require.NoError(t, err)
	require.NoError(t, w.Write(noon, frames[1]))
	require.NoError(t, w.Flush())
	for name, file := range map[string][]byte{"ours.pcap": b.Bytes(), "ours.pcapng": ngFile(t)} {
		path := filepath.Join(t.TempDir(), name)
		require.NoError(t, os.WriteFile(path, file, 0o600))
		for _, args := range [][]string{{"capinfos", path}, {"tshark", "-r", path, "-T", "fields", "-e",
			"frame.interface_name", "-e", "frame.comment"}} {
			var stderr bytes.Buffer
			cmd := exec.Command(args[0], args[1:]...)
			cmd.Stderr = &stderr
			out, err := cmd.Output()
			require.NoError(t, err, "%s", stderr.String())
			require.NotContains(t, stderr.String(), path, "%v complains", args)
			if args[0] == "tshark" && name == "ours.pcapng" {
				require.Contains(t, string(out), "ep1@zone\tforwarded\n")
			}
		}
	}
}

// A file of anybody's may be anything.
func FuzzReader(f *testing.F) {
	f.Add(classic(binary.LittleEndian, 0xa1b2c3d4, 1000)[:200])
	f.Add(classic(binary.BigEndian, 0xa1b23c4d, 1)[:200])
	f.Add(ngWith(9, 0, 7)[:100])
	f.Add(classicOf(113, make([]byte, 40)))
	f.Add(classicOf(276, make([]byte, 40)))
	f.Add(ngOf(101, make([]byte, 41)))
	f.Add(ngOf(229, []byte{0x60}))
	f.Fuzz(func(t *testing.T, file []byte) {
		r, err := pcap.NewReader(bytes.NewReader(file))
		if err != nil {
			return
		}
		for count := 0; ; count++ {
			var p pcap.Packet
			if err := r.Next(&p); err != nil {
				return
			}
			if len(p.Data) > pcap.MaxFrame+14 || p.Time < 0 || count > len(file) {
				t.Fatalf("packet %d has %d bytes and time %d", count, len(p.Data), p.Time)
			}
		}
	})
}

func TestACommentSaysByWhatAPacketWasDropped(t *testing.T) {
	verdict, ok := pcap.DroppedBy(pcap.Dropped("Denied"))
	require.True(t, ok)
	require.Equal(t, "Denied", verdict)
	for _, other := range []string{"", "Denied", "held until its first fragment comes"} {
		verdict, ok := pcap.DroppedBy(other)
		require.False(t, ok, other)
		require.Empty(t, verdict)
	}
}
