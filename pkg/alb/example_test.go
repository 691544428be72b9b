package alb_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"github.com/plinksim/plinksim/pkg/alb"
	"github.com/plinksim/plinksim/pkg/topology"
)

// A listener answers by itself what a rule has an answer for, and has no server
// for the rest.
func ExampleListener() {
	listener := alb.New(new(net.Dialer).DialContext, nil)
	defer listener.Close()
	listener.Configure(alb.Config{
		Profile: topology.AWS.Profile().HTTP,
		Listener: topology.Listener{
			Protocol: topology.HTTP, Port: 80, IdleTimeout: time.Minute, ServerGroup: "shop",
			HTTP: &topology.HTTPListener{RequestTimeout: time.Minute, Rules: []topology.ListenerRule{{
				Priority: 1, Paths: []string{"/closed/*"},
				Action: topology.Action{FixedResponse: &topology.FixedResponse{Status: 403, ContentType: "text/plain", Body: "closed"}},
			}}},
		},
	})
	socket, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		fmt.Println(err)
		return
	}
	served := make(chan error)
	go func() { served <- listener.Serve(context.Background(), socket) }()
	for _, path := range []string{"/closed/today", "/"} {
		resp, err := http.Get("http://" + socket.Addr().String() + path)
		if err != nil {
			fmt.Println(err)
			return
		}
		text, _ := io.ReadAll(io.LimitReader(resp.Body, 6))
		resp.Body.Close()
		fmt.Printf("%s: %s, %s\n", path, resp.Status, text)
	}
	http.DefaultClient.CloseIdleConnections()
	listener.Close()
	fmt.Println(<-served)
	// Output:
	// /closed/today: 403 Forbidden, closed
	// /: 503 Service Unavailable, <html>
	// <nil>
}
