package topology

// Peering lets two VPCs reach each other's addresses: VPC peering at AWS, a VPC
// peering connection at Alibaba Cloud. It leads no further: what one of them
// reaches over another peering the other does not.
type Peering struct {
	Name    string
	VPCs    [2]string
	Devices [2]string // in the namespaces of the VPCs, at most 15 bytes
}

// Peers are the VPCs that a VPC has a peering with.
func (p *Plan) Peers(vpc string) (peers []*VPC) {
	for _, peering := range p.Peerings {
		for i, name := range peering.VPCs {
			if name == vpc {
				peers = append(peers, p.MustVPC(peering.VPCs[1-i]))
			}
		}
	}
	return peers
}
