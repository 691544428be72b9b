package packet

import (
	"encoding/binary"
	"net/netip"
)

// Layout of ARP for IPv4 over Ethernet (RFC 826), from the frame's start.
const (
	arpOperation = L3 + 6
	arpSenderMAC = L3 + 8
	arpSenderIP  = L3 + 14
	arpTargetMAC = L3 + 18
	arpTargetIP  = L3 + 24
	arpEnd       = L3 + 28

	arpRequest = 1
	arpReply   = 2
)

// IsARP says whether data is an Ethernet frame that carries ARP, well formed
// or not.
func IsARP(data []byte) bool {
	return len(data) >= L3 && binary.BigEndian.Uint16(data[etherType:]) == EtherTypeARP
}

// ARPReply turns a request for an address that owner knows into the reply, in
// place, and returns it: data without padding. It returns false, and has
// changed nothing, for everything else: replies, announcements of an address
// by the host that has it, requests for addresses of others, and what is
// malformed. owner says which MAC an address is reached at.
func ARPReply(data []byte, owner func(addr netip.Addr) (MAC, bool)) (reply []byte, ok bool) {
	if !isARPRequest(data) {
		return nil, false
	}
	target := netip.AddrFrom4([4]byte(data[arpTargetIP:arpEnd]))
	if target == netip.AddrFrom4([4]byte(data[arpSenderIP:arpTargetMAC])) {
		return nil, false
	}
	mac, ok := owner(target)
	if !ok {
		return nil, false
	}
	asker := MAC(data[arpSenderMAC:arpSenderIP])
	senderIP := [4]byte(data[arpSenderIP:arpTargetMAC])
	copy(data[etherTarget:etherSource], asker[:])
	copy(data[etherSource:etherType], mac[:])
	binary.BigEndian.PutUint16(data[arpOperation:], arpReply)
	copy(data[arpSenderMAC:], mac[:])
	copy(data[arpSenderIP:], data[arpTargetIP:arpEnd])
	copy(data[arpTargetMAC:], asker[:])
	copy(data[arpTargetIP:], senderIP[:])
	return data[:arpEnd], true
}

func isARPRequest(data []byte) bool {
	if !IsARP(data) || len(data) < arpEnd {
		return false
	}
	// Ethernet, IPv4, addresses of 6 and 4 bytes, request.
	want := [8]byte{0, 1, 0x08, 0x00, 6, 4, 0, arpRequest}
	return [8]byte(data[L3:L3+8]) == want
}
