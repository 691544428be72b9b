package topology

import (
	"time"
)

// httpProfiles is how the clouds' layer 7 load balancers behave.
var httpProfiles = map[string]HTTPProfile{
	"alibaba": {
		// Application Load Balancer API 2020-06-16, CreateListener.
		Idle:    15 * time.Second,
		Request: time.Minute,
		// "ALB status codes": a header of more than 32 KB is 400, TRACE is 405,
		// 499 is logged where the client went away. No public figure for the
		// connect timeout and for all headers together: what nginx, of which ALB
		// is made, is usually given.
		Connect:     5 * time.Second,
		MaxHeader:   32 << 10,
		MaxHeaders:  128 << 10,
		RefuseTrace: true,
		ClientGone:  499,
		// No public word. What nginx does (ngx_http_proxy_module,
		// proxy_next_upstream: error timeout) where nothing was sent.
		ConnectElsewhere: true,
		// CreateServerGroup: UpstreamKeepaliveEnabled is off, the cookie is
		// SERVERID for 1000 s.
		Persistence: Persistence{Cookie: "SERVERID", Timeout: 1000 * time.Second},
	},
	"aws": {
		// User Guide for Application Load Balancers, "Edit attributes for your
		// Application Load Balancer" (idle timeout), "Troubleshoot your
		// Application Load Balancers" (connect timeout 10 s; 16 K for a request
		// line or header, 64 K for all; 460 where the client went away), "HTTP
		// headers and Application Load Balancers", "Sticky sessions".
		Idle:        time.Minute,
		Request:     time.Minute,
		Connect:     10 * time.Second,
		MaxHeader:   16 << 10,
		MaxHeaders:  64 << 10,
		ClientGone:  460,
		Forwarded:   []string{"proto", "port"},
		Keepalive:   true,
		Persistence: Persistence{Cookie: "AWSALB", Timeout: 24 * time.Hour, Renew: true},
	},
	"rfc": {
		// RFC 9110 and RFC 9112 name no time and no limit.
		Idle:        time.Minute,
		Request:     time.Minute,
		Connect:     10 * time.Second,
		MaxHeader:   32 << 10,
		MaxHeaders:  128 << 10,
		ClientGone:  499,
		Forwarded:   []string{"proto", "port"},
		Keepalive:   true,
		Persistence: Persistence{Cookie: "SERVERID", Timeout: 1000 * time.Second},
	},
}

// ProfileOf is how a cloud behaves.
func ProfileOf(cloud string) Profile {
	p := profiles[cloud]
	p.HTTP = httpProfiles[cloud]
	return p
}

var profiles = map[string]Profile{
	"alibaba": {
		Cloud: "alibaba",
		// EstablishedTimeout of a TCP listener, 10 to 900 s: Server Load
		// Balancer API 2014-05-15, CreateLoadBalancerTCPListener. IdleTimeout
		// of an NLB listener, 900 s for TCP and 20 s for UDP: Network Load
		// Balancer API 2022-04-30, CreateListener.
		TCPIdle: 900 * time.Second,
		UDPIdle: 20 * time.Second,
		// No public figure: the Ethernet default.
		MTU: 1500,
		// No public figure: what AWS answers.
		NameTTL: 60 * time.Second,
		// Alibaba Cloud, NAT Gateway, "Limits": 55,000 concurrent connections
		// of one NAT IP to one destination address and port.
		NATPorts: 55000,
		// "PrivateLink Quick Start" (document version 20220711) shows
		// connections of 1024 Mbps. PrivateLink API 2020-04-15 says 3072 today.
		Bandwidth: 1024,
		// VPC API 2016-04-28, CreateVSwitch: the first and the last three
		// addresses of a vSwitch are reserved; the gateway is the last but two.
		LowReserve: 1,
		TopReserve: 3,
		Gateway:    -3,
		// The console's dialog for reverse access wants a group of its own for
		// the endpoint, with inbound rules that let everything pass ("私网反向访问",
		// repository aliyun/ros-templates, detail_7). That outbound rules play no
		// part is inferred from it.
		ReverseIngress: true,
		// No public figure: what is dropped is dropped in silence. Whoever
		// forwards must report a spent TTL (RFC 1812, 5.3.1).
		ReportTTL: true,
	},
	"aws": {
		Cloud: "aws",
		// User Guide for Network Load Balancers, "Network Load Balancers",
		// connection idle timeout.
		TCPIdle: 350 * time.Second,
		UDPIdle: 120 * time.Second,
		// AWS PrivateLink guide, "AWS PrivateLink quotas": maximum
		// transmission unit of an interface endpoint.
		MTU: 8500,
		// Answers for interface endpoint names carry 60 s.
		NameTTL: 60 * time.Second,
		// User Guide for Network Load Balancers, "Target groups", client IP
		// preservation: 55,000 simultaneous connections to each unique target.
		NATPorts: 55000,
		// AWS PrivateLink guide, "AWS PrivateLink quotas": 10 Gbps per
		// Availability Zone.
		Bandwidth: 10000,
		// Amazon VPC user guide, "Subnet CIDR blocks": the first four
		// addresses and the last one are reserved, the second is the router.
		LowReserve: 4,
		TopReserve: 1,
		Gateway:    1,
		// AWS PrivateLink guide, "AWS PrivateLink quotas": path MTU discovery is
		// not supported, so that TCP must be told by its MSS.
		ClampMSS: true,
		// User Guide for Network Load Balancers, "Connection idle timeout":
		// whoever sends after it gets a RST. Nothing is sent when it elapses.
		ResetStray: true,
		ReportTTL:  true, // RFC 1812, 5.3.1
	},
	"rfc": {
		Cloud:   "rfc",
		TCPIdle: 2*time.Hour + 4*time.Minute, // RFC 5382, REQ-5
		UDPIdle: 5 * time.Minute,             // RFC 4787, REQ-5
		MTU:     1500,                        // RFC 894
		NameTTL: 60 * time.Second,
		// All but the well-known ports.
		NATPorts:   65536 - 1024,
		LowReserve: 2, // the network's own address and the gateway
		TopReserve: 1, // broadcast
		Gateway:    1,
		ResetStray: true, // RFC 9293, 3.10.7.1
		ReportTTL:  true, // RFC 1812, 5.3.1
		// RFC 5508, REQ-8
		ReportExhaustion: true,
		ReportTooBig:     true, // RFC 1191, 4
		// RFC 5382, REQ-5 for what opens and closes; RFC 7857, 2 keeps a
		// session as long after a RST.
		TCPOpening: 4 * time.Minute,
		TCPClosing: 4 * time.Minute,
		TCPClosed:  4 * time.Minute,
	},
}
