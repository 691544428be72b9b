package server

import (
	"errors"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"

	"github.com/plinksim/plinksim/pkg/status"
	"github.com/plinksim/plinksim/pkg/topology"
)

// capture streams pcapng until either side goes.
func (s *Server) capture(w http.ResponseWriter, r *http.Request) {
	opts, err := captureOptions(r.URL.Query())
	if err != nil {
		refuse(w, http.StatusBadRequest, err)
		return
	}
	stream, err := s.Lab.Capture(opts)
	if err != nil {
		status := http.StatusBadRequest
		if known := (*topology.NotFoundError)(nil); errors.As(err, &known) {
			status = http.StatusNotFound
		}
		refuse(w, status, err)
		return
	}
	defer stream.Close()
	// The media type is the one that Wireshark registers with the desktop.
	w.Header().Set("Content-Type", "application/x-pcapng")
	flush := http.NewResponseController(w).Flush
	// An error is a client that is gone: nobody is left to tell.
	stream.Write(r.Context(), w, func() { flush() })
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
