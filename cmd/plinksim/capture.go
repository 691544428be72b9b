package main

import (
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/plinksim/plinksim/internal/spell"
	"github.com/plinksim/plinksim/pkg/packet"
	"github.com/plinksim/plinksim/pkg/pcap"
	"github.com/plinksim/plinksim/pkg/status"
)

func newCapture() *cobra.Command {
	var labName, file, host string
	var opts status.CaptureOptions
	cmd := &cobra.Command{
		Use:   "capture [ENI...]",
		Short: "Show or record the packets that come and go at ENIs",
		Long: `Show the packets that come (<) and go (>) at ENIs, or record them with -w in a
file for Wireshark. An ENI is called NAME@ZONE, NAME being an endpoint or a
load balancer, or NAME alone where it is in one zone; without any, all ENIs of
the lab are captured.

Each packet comes with a note: what it becomes on the other side of the
translation, what it was there, or why it was dropped. In a file the note is the
packet's comment. A fragment and an ICMP error have the ports of their session:
--port chooses by them.

Of a lab over several hosts (docs/hosts.md) the packets of all are shown in the
order of their times, by the clock of this host. A host that does not answer is
named, and the rest goes on.

It ends at ctrl-C or after --count packets. If it cannot keep up, packets are
left out and counted; the lab never waits.`,
		Example: "  sudo plinksim capture ep1\n" +
			"  sudo plinksim capture ep1 clb1 --port 80 -w both.pcapng\n" +
			"  sudo plinksim capture -w - | wireshark -k -i -",
		RunE: func(cmd *cobra.Command, args []string) error {
			opts.ENIs = args
			if err := readFilters(host, &opts); err != nil {
				return &usageError{err}
			}
			on := target{lab: labName, output: "table"}
			client, err := on.client(cmd.Context(), "")
			if err != nil {
				return err
			}
			waitFor("packets")
			err = client.Capture(cmd.Context(), opts, func(stream io.Reader) error {
				out := cmd.OutOrStdout()
				var f *os.File
				if file != "" && file != "-" {
					var err error
					if f, err = os.Create(file); err != nil {
						return err
					}
				}
				fmt.Fprintln(cmd.ErrOrStderr(), "plinksim: capturing; ctrl-C ends it")
				switch file {
				case "":
					return printPackets(out, stream, cmd.ErrOrStderr())
				case "-":
					return recordPackets(out, stream, cmd.ErrOrStderr())
				}
				return errors.Join(recordPackets(f, stream, cmd.ErrOrStderr()), f.Close())
			})
			if err == nil && opts.Count > 0 && gaveUp(cmd.Context()) {
				return errGaveUp // fewer came
			}
			return err
		},
	}
	cmd.Flags().StringVarP(&file, "write", "w", "", "write pcapng to this file, - is standard output")
	cmd.Flags().IntVarP(&opts.Count, "count", "c", 0, "end after so many packets")
	cmd.Flags().StringVar(&host, "host", "", "only packets from or to this address, on either side of the translation")
	cmd.Flags().Uint16Var(&opts.Port, "port", 0, "only packets from or to this port, on either side of the translation")
	addLab(cmd, &labName)
	return cmd
}

func readFilters(host string, opts *status.CaptureOptions) (err error) {
	if opts.Count < 0 {
		return fmt.Errorf("--count %d: want 1 or more", opts.Count)
	}
	if host != "" {
		if opts.Host, err = netip.ParseAddr(host); err != nil {
			return fmt.Errorf("--host %q: want an IP address", host)
		}
	}
	return nil
}

func recordPackets(w io.Writer, stream io.Reader, stderr io.Writer) error {
	packets, dropped, err := pcap.CopyBlocks(w, stream, noteTo(stderr))
	fmt.Fprintf(stderr, "plinksim: recorded %s\n", spell.Count(packets, "packet"))
	if dropped > 0 {
		fmt.Fprintf(stderr, "plinksim: missing, as they came faster than they could be written: %s\n",
			spell.Count(dropped, "packet"))
	}
	return err
}

// noteTo prints what a capture says of itself: which hosts are missing.
func noteTo(stderr io.Writer) func(string) {
	return func(text string) { fmt.Fprintln(stderr, "plinksim:", text) }
}

// eachPacket reads a capture to its end.
func eachPacket(stream io.Reader, stderr io.Writer, do func(*pcap.Reader, *pcap.Packet) error) error {
	r, err := pcap.NewReader(stream)
	if err != nil {
		return err
	}
	r.Note = noteTo(stderr)
	for {
		var p pcap.Packet
		if err := r.Next(&p); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		if err := do(r, &p); err != nil {
			return err
		}
	}
}

func printPackets(w io.Writer, stream io.Reader, stderr io.Writer) error {
	return eachPacket(stream, stderr, func(_ *pcap.Reader, p *pcap.Packet) error {
		arrow := "<"
		if p.Direction == pcap.Sent {
			arrow = ">"
		}
		text := fmt.Sprintf("%s  %s %s %s", time.Unix(0, p.Time).Local().Format("15:04:05.000000"), p.Interface, arrow,
			packet.Text(p.Data))
		if p.Comment != "" {
			text += "   " + p.Comment
		}
		_, err := fmt.Fprintln(w, text)
		return err
	})
}
