package bench

import (
	"fmt"
	"strconv"
	"strings"
)

// Frames says how long the frames of a load are. The sizes are those of Ethernet
// frames with their frame check sequence of four bytes (RFC 2544, 9.1), and a
// sender goes through them in their order, again and again.
type Frames struct {
	Name  string // "64-byte frames"
	Sizes []int
}

// FrameSizes are the sizes of Ethernet frames that RFC 2544, 9.1 wants to be measured.
var FrameSizes = []int{64, 128, 256, 512, 1024, 1280, 1518}

const (
	minFrame, maxFrame = 64, 1518
	frameCheck         = 4 // bytes that no network device of Linux shows
	headers            = 14 + 20 + 8
	maxGenome          = 256
)

// simpleIMIX is seven frames of 64 bytes, four of 570 and one of 1518.
const simpleIMIX = "aaaaaaaAAAAg:A=570"

// genome are the letters of RFC 6985, 3. 2112 and more do not fit into the MTU here, of
// which z is the frame.
var genome = map[byte]int{
	'a': 64, 'b': 128, 'c': 256, 'd': 512, 'e': 1024, 'f': 1280, 'g': 1518, 'h': 2112, 'i': 9000, 'j': 16000,
	'z': maxFrame,
}

// ParseFrames reads a size ("512"), "imix", or a sequence of sizes as RFC 6985 writes
// it: a letter for each frame, with sizes of one's own as capital letters that are
// explained behind it ("aaaaaaaAAAAg:A=570").
func ParseFrames(text string) (Frames, error) {
	if size, err := strconv.Atoi(text); err == nil {
		return Frames{fmt.Sprintf("%d-byte frames", size), []int{size}}, checkFrame(size)
	}
	if strings.EqualFold(text, "imix") {
		f, err := ParseFrames(simpleIMIX)
		f.Name = "IMIX"
		return f, err
	}
	letters, explained, _ := strings.Cut(text, ":")
	own := map[byte]int{}
	for word := range strings.SplitSeq(explained, ":") {
		letter, size, found := strings.Cut(word, "=")
		n, err := strconv.Atoi(size)
		if word == "" {
			continue
		}
		if !found || len(letter) != 1 || letter[0] < 'A' || letter[0] > 'Z' || err != nil {
			return Frames{}, fmt.Errorf("frames %q: want sizes of one's own as A=570, separated by colons, and not %q", text, word)
		}
		own[letter[0]] = n
	}
	if letters == "" || len(letters) > maxGenome {
		return Frames{}, fmt.Errorf("frames %q: want a size, imix, or 1 to %d letters of RFC 6985", text, maxGenome)
	}
	f := Frames{Name: "IMIX " + text}
	for i := range len(letters) {
		size, known := genome[letters[i]]
		if !known {
			if size, known = own[letters[i]]; !known {
				return Frames{}, fmt.Errorf("frames %q: RFC 6985 has no letter %q; explain a capital one as A=570", text, letters[i])
			}
		}
		if err := checkFrame(size); err != nil {
			return Frames{}, fmt.Errorf("frames %q: %w", text, err)
		}
		f.Sizes = append(f.Sizes, size)
	}
	return f, nil
}

func checkFrame(size int) error {
	if size < minFrame || size > maxFrame {
		return fmt.Errorf("a frame of %d bytes: want %d to %d, with the four bytes of its check sequence", size, minFrame,
			maxFrame)
	}
	return nil
}

// mean is the average size in bytes.
func (f Frames) mean() float64 {
	sum := 0
	for _, s := range f.Sizes {
		sum += s
	}
	return float64(sum) / float64(max(len(f.Sizes), 1))
}

// of is the size of a sender's frame. Each flow gets all sizes, whatever the number of
// flows.
func (f Frames) of(number uint64, flows int) int {
	if len(f.Sizes) == 1 {
		return f.Sizes[0]
	}
	n := uint64(flows)
	return f.Sizes[(number%n+number/n)%uint64(len(f.Sizes))]
}
