package server

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/plinksim/plinksim/pkg/api"
	"github.com/plinksim/plinksim/pkg/lab"
	"github.com/plinksim/plinksim/pkg/pcap"
	"github.com/plinksim/plinksim/pkg/status"
	"github.com/plinksim/plinksim/pkg/topology"
)

// capture streams pcapng until either side goes.
func (s *Server) capture(w http.ResponseWriter, r *http.Request) {
	came := time.Now()
	opts, err := captureOptions(r.URL.Query())
	if err != nil {
		refuse(w, http.StatusBadRequest, err)
		return
	}
	var over map[string][]string
	if s.Peer != nil && r.Header.Get(api.PeerHeader) == "" {
		over, err = s.captureHosts(opts.ENIs)
	}
	if err == nil && len(over) > 0 {
		s.captureOver(w, r, opts, over)
		return
	}
	var stream *lab.CaptureStream
	if err == nil {
		stream, err = s.Lab.Capture(opts)
	}
	if err != nil {
		refuseCapture(w, err)
		return
	}
	defer stream.Close()
	w.Header().Set(api.ClockHeader, fmt.Sprint(came.UnixNano(), time.Now().UnixNano()))
	flush := beginCapture(w)
	// An error is a client that is gone: nobody is left to tell.
	stream.Write(r.Context(), w, flush)
}

func refuseCapture(w http.ResponseWriter, err error) {
	status := http.StatusBadRequest
	if known := (*topology.NotFoundError)(nil); errors.As(err, &known) {
		status = http.StatusNotFound
	}
	refuse(w, status, err)
}

func beginCapture(w http.ResponseWriter) (flush func()) {
	// The media type is the one that Wireshark registers with the desktop.
	w.Header().Set("Content-Type", "application/x-pcapng")
	w.WriteHeader(http.StatusOK)
	to := http.NewResponseController(w)
	flush = func() { _ = to.Flush() }
	flush()
	return flush
}

// captureHosts are the hosts that have ENIs, all of the lab where none is named, with those that
// are to be asked of each. There are none where this host has all of them.
func (s *Server) captureHosts(enis []string) (map[string][]string, error) {
	plan, own := s.Lab.Plan(), s.Handover.Host
	over := map[string][]string{}
	if len(enis) == 0 {
		for _, eni := range plan.ENIs() {
			over[cmp.Or(s.elsewhere(plan, eni.Zone), own)] = nil
		}
	}
	for _, ref := range enis {
		eni, err := plan.ENI(ref)
		if err != nil {
			return nil, err
		}
		host := cmp.Or(s.elsewhere(plan, eni.Zone), own)
		over[host] = append(over[host], ref)
	}
	if _, here := over[own]; here && len(over) == 1 {
		return nil, nil
	}
	return over, nil
}

// captureOver streams what hosts capture as one file.
func (s *Server) captureOver(w http.ResponseWriter, r *http.Request, opts status.CaptureOptions, over map[string][]string) {
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	hosts := slices.Sorted(maps.Keys(over))
	sources := make([]pcap.Source, len(hosts))
	var beginning sync.WaitGroup
	for i, host := range hosts {
		of := opts
		of.ENIs, of.Count = over[host], 0
		beginning.Go(func() { sources[i] = s.captureSource(ctx, r, host, of) })
	}
	beginning.Wait()
	// Where all that was asked for is on a host that does not answer, there is nothing to show.
	if first := sources[0].Err; len(sources) == 1 && first != nil {
		refuse(w, http.StatusBadGateway, first)
		return
	}
	flush := beginCapture(w)
	// An error is a client that is gone: nobody is left to tell.
	pcap.Merge(ctx, w, sources, pcap.MergeConfig{Count: opts.Count, Flush: flush})
}

// captureSource is the capture of a host, which may be this one.
func (s *Server) captureSource(ctx context.Context, r *http.Request, host string, opts status.CaptureOptions) pcap.Source {
	source := pcap.Source{Name: "host " + host}
	if host != s.Handover.Host {
		var client *api.Client
		if client, source.Err = s.peer(r, host); source.Err == nil {
			source.In, source.Ahead, source.Err = client.CaptureOfHost(ctx, opts)
		}
		return source
	}
	var stream *lab.CaptureStream
	if stream, source.Err = s.Lab.Capture(opts); source.Err != nil {
		return source
	}
	read, write := io.Pipe()
	source.In = read
	go func() {
		defer stream.Close()
		write.CloseWithError(stream.Write(ctx, write, func() {}))
	}()
	return source
}

func captureOptions(query url.Values) (opts status.CaptureOptions, err error) {
	opts.ENIs = query["eni"]
	if text := query.Get("host"); text != "" {
		if opts.Host, err = netip.ParseAddr(text); err != nil {
			return opts, err
		}
	}
	if text := query.Get("port"); text != "" {
		port, err := strconv.ParseUint(text, 10, 16)
		if err != nil {
			return opts, err
		}
		opts.Port = uint16(port)
	}
	if text := query.Get("count"); text != "" {
		opts.Count, err = strconv.Atoi(text)
		if err == nil && opts.Count < 0 {
			err = errors.New("count: want 0 or more")
		}
	}
	return opts, err
}
