package topology

import (
	"errors"
	"fmt"
	"net/netip"
	"regexp"
	"strings"
	"unicode/utf8"
)

// Within reports whether a name is a domain or below it.
func Within(name, domain string) bool {
	return name == domain || strings.HasSuffix(name, "."+domain)
}

// goodDomain leaves out what needs an escape. An underscore is for names that
// are not those of hosts (RFC 8552).
var goodDomain = regexp.MustCompile(`^([a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?\.)*[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?$`)

// MaxDomain is the longest name in text (RFC 1035, 2.3.4).
const MaxDomain = 253

// IsDomain says whether text is a domain name without a final dot, in lower
// case.
func IsDomain(text string) bool { return len(text) <= MaxDomain && goodDomain.MatchString(text) }

// IsHostName says whether text can stand in a hosts file as the name of an
// address: letters, digits and hyphens in lower case (RFC 1123, 2.1), and no
// address itself.
func IsHostName(text string) bool {
	_, err := netip.ParseAddr(text)
	return err != nil && IsDomain(text) && !strings.Contains(text, "_")
}

// IsName says whether text can be the name of an object of a topology.
func IsName(text string) bool { return len(text) <= MaxName && goodName.MatchString(text) }

// What is made of several names must still be a label of a domain name, at
// most 63 characters (RFC 1035, 2.3.4): a zone follows an endpoint's
// identifier there.
const (
	MaxName = 32
	MaxZone = 24
)

// NamePattern is what names look like.
const NamePattern = `^[a-z0-9]([a-z0-9-]*[a-z0-9])?$`

var goodName = regexp.MustCompile(NamePattern)

// CheckDescription says what is wrong with the text that describes a service
// or an endpoint. PrivateLink API 2020-04-15, CreateVpcEndpointService and
// CreateVpcEndpoint: 2 to 256 characters, not starting with http:// or
// https://. Where the cloud has no descriptions it may be any text.
func (p Profile) CheckDescription(text string) error {
	switch n := utf8.RuneCountInString(text); {
	case text == "" || !p.Descriptions:
		return nil
	case n < 2 || n > 256:
		return fmt.Errorf("a description has 2 to 256 characters, and this one has %d", n)
	case strings.HasPrefix(text, "http://") || strings.HasPrefix(text, "https://"):
		return errors.New("a description does not start with http:// or https://")
	}
	return nil
}
