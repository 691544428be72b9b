package slot_test

import (
	"encoding/binary"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/plinksim/plinksim/pkg/flowcache/slot"
	"github.com/plinksim/plinksim/pkg/packet"
)

// A slot changes checksums as packet.Rewrite does.
func TestASlotTranslatesAsTheSessionTable(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		word, half := rapid.Uint32(), rapid.Uint16()
		f := slot.Flow{
			Src: word.Draw(t, "src"), Dst: word.Draw(t, "dst"), SrcPort: half.Draw(t, "sport"), DstPort: half.Draw(t, "dport"),
			NewSrc: word.Draw(t, "newSrc"), NewDst: word.Draw(t, "newDst"),
			NewSrcPort: half.Draw(t, "newSport"), NewDstPort: half.Draw(t, "newDport"),
		}
		var s slot.Slot
		f.Translate(&s)
		sum := half.Draw(t, "checksum")
		all := packet.Difference(f.Src, f.NewSrc) + packet.Difference(f.Dst, f.NewDst)
		ports := packet.Difference(uint32(f.SrcPort)<<16|uint32(f.DstPort), uint32(f.NewSrcPort)<<16|uint32(f.NewDstPort))
		const oneHop = 0xffff - 0x0100
		require.True(t, same(packet.Update(sum, all), update(sum, packet.Fold(s.Addrs))))
		require.True(t, same(packet.Update(sum, ports), update(sum, packet.Fold(s.Ports))))
		require.True(t, same(packet.Update(sum, all+oneHop), update(sum, s.Header)))
	})
}

// update is packet.Update with a difference of native words.
func update(sum, difference uint16) uint16 {
	var b [2]byte
	binary.NativeEndian.PutUint16(b[:], difference)
	return packet.Update(sum, uint32(binary.BigEndian.Uint16(b[:])))
}

// same says whether two checksums stand for the same sum: zero has two forms.
func same(a, b uint16) bool { return a == b || a == 0 && b == 0xffff || a == 0xffff && b == 0 }
