package host

// What rules of nftables are made of (nft(8); Linux,
// include/uapi/linux/netfilter/nf_tables.h). They are values, so that rules can
// be made and printed on every system; firewall_linux.go hands them to the kernel.

// expression is one of those below. What loads something loads it into the
// register that the next expression looks at.
type expression any

type (
	meta    struct{ key metaKey } // loads something about a packet
	payload struct {              // loads bytes of a header
		base          headerBase
		offset, bytes uint32
	}
	bitwise struct{ mask []byte } // keeps the bits of the mask
	compare struct {              // goes on where the register has the data or, with not, has not
		data []byte
		not  bool
	}
	between         struct{ from, to []byte } // goes on where the register is in the range
	among           struct{ all [][]byte }    // goes on where the register has one of these, which have a length
	connectionState struct{}                  // loads the states below
	count           struct{ counter string }
	verdict         struct{ accept bool }
)

type metaKey int

const (
	metaNFPROTO metaKey = iota
	metaL4PROTO
	metaPROTOCOL
	metaIIF
	metaOIF
	metaIIFTYPE
	metaPKTTYPE
)

type headerBase int

const (
	linkHeader headerBase = iota
	networkHeader
	transportHeader
)

const (
	nfprotoIPv4 = 2
	nfprotoIPv6 = 10

	stateEstablished = 2
	stateRelated     = 4

	ethernetDevice = 1 // ARPHRD_ETHER
)
