package awsapi

import (
	"regexp"
	"slices"
	"strings"

	"github.com/plinksim/plinksim/pkg/cloudapi"
	"github.com/plinksim/plinksim/pkg/topology"
	"github.com/plinksim/plinksim/pkg/wire"
)

// certificate is one of a listener. A lab has no certificates of anybody: there is one of
// every name, and the lab's authority signs it.
type certificate struct{ CertificateArn string }

// What is kept of a listener beside its tags.
const (
	sslPolicy        = "SslPolicy"
	keptCertificates = "certificates" // ARNs with blanks between them, the default one first
	usualPolicy      = "ELBSecurityPolicy-TLS13-1-2-2021-06"
	mostCertificates = 25 // Application Load Balancers user guide, "Quotas"
)

func certificateRows(a *adder) {
	op(a, "DescribeListenerCertificates", func(c balancing, in struct {
		ListenerArn, Marker string
		PageSize            int
	}) (wire.M, error) {
		h, err := c.listener(in.ListenerArn)
		if err != nil {
			return nil, err
		}
		all := []wire.M{}
		for i, arn := range c.certificates(h) {
			all = append(all, wire.M{"CertificateArn": arn, "IsDefault": i == 0})
		}
		page, next, ok := wire.Page(all, in.PageSize, in.Marker, c.Values)
		if !ok {
			return nil, wire.Errorf("ValidationError", "The marker is not one of this question")
		}
		answer := wire.M{"Certificates": page}
		if next != "" {
			answer["NextMarker"] = next
		}
		return answer, nil
	})
	type change struct {
		ListenerArn  string
		Certificates []certificate
	}
	op(a, "AddListenerCertificates", func(c balancing, in change) (wire.M, error) {
		added := []wire.M{}
		err := c.changeCertificates(in.ListenerArn, in.Certificates, func(now, given []string) ([]string, error) {
			for _, arn := range given {
				if !slices.Contains(now, arn) {
					now = append(now, arn)
				}
				added = append(added, wire.M{"CertificateArn": arn, "IsDefault": arn == now[0]})
			}
			return now, nil
		})
		return wire.M{"Certificates": added}, err
	})
	op(a, "RemoveListenerCertificates", func(c balancing, in change) (wire.M, error) {
		return nil, c.changeCertificates(in.ListenerArn, in.Certificates, func(now, given []string) ([]string, error) {
			if slices.Contains(given, now[0]) {
				return nil, wire.Errorf("OperationNotPermitted", "The default certificate cannot be removed")
			}
			return slices.DeleteFunc(now, func(arn string) bool { return slices.Contains(given, arn) }), nil
		})
	})
}

func (c balancing) changeCertificates(arn string, in []certificate,
	change func(now, given []string) ([]string, error)) error {
	defer c.Locks.Hold("listener " + arn)()
	c.Plan = c.CurrentPlan()
	h, err := c.listener(arn)
	if err != nil {
		return err
	}
	var given []string
	for _, one := range in {
		checked, err := c.given([]certificate{one}, protocolName(h.Protocol))
		if err != nil {
			return err
		}
		given = append(given, checked...)
	}
	if len(given) == 0 {
		return wire.Errorf("ValidationError", "A certificate must be specified")
	}
	now, err := change(c.certificates(h), given)
	if err == nil && len(now) > mostCertificates {
		err = wire.Errorf("TooManyCertificates", "A listener has at most %d certificates", mostCertificates)
	}
	if err == nil {
		err = c.Edit(certificateEdits(balancerPath(h.balancer, "listeners", listenerPart(h.Listener)), h, now)...)
	}
	if err == nil {
		c.keep(h, now, "")
	}
	return err
}

// certificates are the ARNs of a listener's certificates, the default one first.
func (c balancing) certificates(h *heard) []string {
	if h.Protocol != topology.HTTPS {
		return nil
	}
	if kept := strings.Fields(c.meant(h, keptCertificates, "")); len(kept) > 0 {
		return kept
	}
	return []string{c.arn("acm", "certificate/plinksim")}
}

var certificateARN = regexp.MustCompile(`^arn:aws[a-z-]*:(acm|iam):[a-z0-9-]*:[0-9]*:(server-)?certificate/[^ ]+$`)

// given is the certificate that a call sets for a listener of a protocol, where it sets one.
func (c balancing) given(in []certificate, protocol string) (out []string, _ error) {
	if len(in) == 0 {
		return nil, nil
	}
	if len(in) > 1 {
		return nil, wire.Errorf("ValidationError",
			"A listener is given one certificate; AddListenerCertificates adds more")
	}
	if protocol != "HTTPS" {
		return nil, wire.Errorf("ValidationError", "A certificate cannot be specified for %s listeners", protocol)
	}
	if arn := in[0].CertificateArn; !certificateARN.MatchString(arn) {
		return nil, wire.Errorf("CertificateNotFound", "Certificate '%s' not found", arn)
	}
	return []string{in[0].CertificateArn}, nil
}

// nameOfCertificate is the host name that a certificate is for: the end of its ARN, where
// that is one. Others are for the names of the listener.
func nameOfCertificate(arn string) string {
	name := arn[strings.LastIndex(arn, "/")+1:]
	if !hostName.MatchString(name) {
		return ""
	}
	return name
}

var hostName = regexp.MustCompile(`^(\*\.)?([a-z0-9]([a-z0-9-]*[a-z0-9])?\.)+[a-z]([a-z0-9-]*[a-z0-9])?$`)

// certificateValues are certificates as a topology file has them, nil where none says for
// which name it is.
func certificateValues(arns []string) (out []value) {
	for _, arn := range arns {
		if name := nameOfCertificate(arn); name != "" {
			out = append(out, value{"names": []string{name}})
		}
	}
	return out
}

// certificateEdits give a listener certificates.
func certificateEdits(path []string, h *heard, arns []string) []topology.Edit {
	path = append(slices.Clone(path), "certificates")
	if values := certificateValues(arns); values != nil {
		return at(values, path...)
	}
	if h.HTTP == nil || len(h.HTTP.Certificates) == 0 {
		return nil
	}
	return at(nil, path...)
}

// keep notes the certificates and the policy that a call sets, "" where it sets none.
func (c balancing) keep(h *heard, certificates []string, policy string) {
	if policy != "" {
		c.Ignored = append(c.Ignored, sslPolicy+": a lab's listeners speak TLS 1.2 and 1.3; the policy is shown")
	}
	if policy == "" && len(certificates) == 0 {
		return
	}
	c.Change(c.listenerARN(h), func(t *cloudapi.Thing) {
		if policy != "" {
			t.Notes[sslPolicy] = policy
		}
		if len(certificates) > 0 {
			t.Notes[keptCertificates] = strings.Join(certificates, " ")
		}
	})
}
