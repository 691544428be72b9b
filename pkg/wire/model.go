// Package wire speaks the protocols of cloud APIs: it knows which operations an API
// has and what their requests and answers look like, verifies signatures, reads
// requests, writes answers and errors, and has what is the same for all operations:
// pages and filters. It knows nothing of labs, and does no I/O.
//
// The descriptions in models hold facts alone, and tools/awsmodel and tools/alimodel make
// them. The protocols are the two query protocols of AWS, which EC2, Elastic Load Balancing
// and STS speak (botocore, botocore/serialize.py and parsers.py), and that of Alibaba
// Cloud's APIs in RPC style (Alibaba Cloud SDK documentation, "Request syntax and signature
// method V3").
package wire

import (
	"embed"
	"fmt"
	"slices"
	"strings"
	"sync"
)

//go:embed models/*.txt
var models embed.FS

// Protocol is how an API writes requests, answers and errors.
type Protocol string

// The protocols.
const (
	EC2Query Protocol = "ec2"   // lists are flat in requests, and sets of items in answers
	AWSQuery Protocol = "query" // lists have members, and answers a wrapper
	ACS      Protocol = "acs"   // flat lists or JSON in requests, JSON or XML in answers
)

// Service is one version of an API.
type Service struct {
	Name      string // as signatures name it: ec2
	Version   string // as requests name it: 2016-11-15
	Protocol  Protocol
	Namespace string // of the XML
	// Operations are those that are described. Others are the names of all others.
	Operations map[string]*Operation
	Others     []string
}

// Operation is what can be asked for.
type Operation struct {
	Name    string
	Service *Service
	Input   *Shape // nil where it takes nothing
	Output  *Shape // nil where it answers nothing but that it was done
	wrapper string // the element around the answer
}

// Kind is what a value is.
type Kind string

// The kinds of values. There is no more of a map than that it is one.
const (
	Structure Kind = "structure"
	List      Kind = "list"
	String    Kind = "string"
	Integer   Kind = "integer"
	Long      Kind = "long"
	Boolean   Kind = "boolean"
	Double    Kind = "double"
	Float     Kind = "float"
	Timestamp Kind = "timestamp"
	Blob      Kind = "blob"
	Map       Kind = "map"
)

// Shape is what a request, an answer or a part of one looks like.
type Shape struct {
	Kind    Kind
	Members []Member // of a structure
	Element *Shape   // of a list
	Item    string   // the name of a list's elements in XML
	Values  []string // that a text may be; all where there are none
}

// Member is a part of a structure.
type Member struct {
	Name     string // as the API's reference has it
	Request  string // in requests
	Answer   string // in answers
	Required bool
	Shape    *Shape
}

// Member finds a part of a structure by its name, nil where it has none.
func (s *Shape) Member(name string) *Member {
	i := slices.IndexFunc(s.Members, func(m Member) bool { return m.Name == name })
	if i < 0 {
		return nil
	}
	return &s.Members[i]
}

// load reads descriptions once, when somebody asks for them first.
func load(names ...string) func() []*Service {
	return sync.OnceValue(func() []*Service {
		var out []*Service
		for _, name := range names {
			text, err := models.ReadFile("models/" + name + ".txt")
			if err != nil {
				panic("a model is embedded: " + err.Error())
			}
			s, err := read(string(text))
			if err != nil {
				panic(fmt.Sprintf("models/%s.txt: %v", name, err))
			}
			out = append(out, s)
		}
		return out
	})
}

var (
	aws     = load("ec2", "elbv2", "sts")
	alibaba = load("alibaba-privatelink", "alibaba-vpc", "alibaba-ecs", "alibaba-slb", "alibaba-nlb", "alibaba-alb",
		"alibaba-sts")
)

// AWS are the APIs of AWS: EC2, Elastic Load Balancing and STS. Nobody may change them.
func AWS() []*Service { return aws() }

// Alibaba are the APIs of Alibaba Cloud: PrivateLink, VPC, ECS, the three load balancers and
// STS. Nobody may change them.
func Alibaba() []*Service { return alibaba() }

// Find is the service of a name, nil where there is none.
func Find(services []*Service, name string) *Service {
	i := slices.IndexFunc(services, func(s *Service) bool { return s.Name == name })
	if i < 0 {
		return nil
	}
	return services[i]
}

// reader reads the text of a model, in which shapes may come before or after
// those that they have parts of.
type reader struct {
	service *Service
	shapes  map[string]*Shape
}

func read(text string) (*Service, error) {
	r := reader{service: &Service{Operations: map[string]*Operation{}}, shapes: map[string]*Shape{}}
	for _, kind := range []Kind{String, Integer, Long, Boolean, Double, Float, Timestamp, Blob, Map} {
		r.shapes[string(kind)] = &Shape{Kind: kind}
	}
	var into *Shape
	for n, line := range strings.Split(text, "\n") {
		words := strings.Fields(line)
		if len(words) == 0 || words[0] == "#" {
			continue
		}
		var err error
		if strings.HasPrefix(line, "\t") {
			err = r.member(into, words)
		} else {
			into, err = r.line(words)
		}
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", n+1, err)
		}
	}
	for name, s := range r.shapes {
		if s.Kind == "" {
			return nil, fmt.Errorf("shape %s is used and not described", name)
		}
	}
	return r.service, nil
}

// fields are how many words a line of a kind has; an enum has any number.
var fields = map[string]int{"service": 5, "operation": 5, "other": 2, "structure": 2, "list": 4}

func (r *reader) line(words []string) (into *Shape, err error) {
	if n, known := fields[words[0]]; known && len(words) != n {
		return nil, fmt.Errorf("%s has %d words, not %d", words[0], len(words), n)
	}
	switch words[0] {
	case "service":
		s := r.service
		s.Name, s.Version, s.Protocol, s.Namespace = words[1], words[2], Protocol(words[3]), words[4]
	case "operation":
		op := &Operation{Name: words[1], Service: r.service, wrapper: undashed(words[4])}
		if words[2] != "-" {
			op.Input = r.shape(words[2])
		}
		if words[3] != "-" {
			op.Output = r.shape(words[3])
		}
		r.service.Operations[op.Name] = op
	case "other":
		r.service.Others = append(r.service.Others, words[1])
	case "structure":
		into = r.shape(words[1])
		into.Kind = Structure
	case "list":
		s := r.shape(words[1])
		s.Kind, s.Element, s.Item = List, r.shape(words[2]), undashed(words[3])
		if s.Item == "" {
			s.Item = "member"
		}
	case "enum":
		s := r.shape(words[1])
		s.Kind, s.Values = String, words[2:]
	default:
		return nil, fmt.Errorf("%q is not known", words[0])
	}
	return into, nil
}

func undashed(word string) string {
	if word == "-" {
		return ""
	}
	return word
}

func (r *reader) shape(name string) *Shape {
	if r.shapes[name] == nil {
		r.shapes[name] = &Shape{}
	}
	return r.shapes[name]
}

// member reads NAME[!] TYPE [PLACE [PLACE IN REQUESTS]]. The EC2 protocol begins
// the place of a request with a capital.
func (r *reader) member(into *Shape, words []string) error {
	if into == nil || len(words) < 2 {
		return fmt.Errorf("%q is a member of nothing", words)
	}
	m := Member{Shape: r.shape(words[1])}
	m.Name, m.Required = strings.CutSuffix(words[0], "!")
	m.Request, m.Answer = m.Name, m.Name
	if len(words) > 2 && words[2] != "-" {
		m.Request, m.Answer = words[2], words[2]
	}
	if r.service.Protocol == EC2Query {
		m.Request = strings.ToUpper(m.Request[:1]) + m.Request[1:]
	}
	if len(words) > 3 {
		m.Request = words[3]
	}
	into.Members = append(into.Members, m)
	return nil
}
