package topology

import (
	"strings"
)

// PrivateName is the name that an endpoint service of AWS has for its
// consumers beside those that are made of identifiers.
type PrivateName struct {
	Name string // db.example.com or *.example.com
	// TXTName and TXTValue are the record by which the owner of the domain
	// shows that it is his (AWS PrivateLink guide, "Manage DNS names for VPC
	// endpoint services").
	TXTName, TXTValue string
	State             string // pendingVerification, verified or failed
}

// The states of a private name (EC2 API, PrivateDnsNameConfiguration).
const (
	PendingVerification = "pendingVerification"
	Verified            = "verified"
	VerificationFailed  = "failed"
)

// Domain is what the name hides from the VPC: itself, or all that a wildcard
// stands for.
func (p PrivateName) Domain() string { return strings.TrimPrefix(p.Name, "*.") }
