package topofile

import (
	"net/netip"
	"time"

	"go.yaml.in/yaml/v3"
)

// The raw structs of what only layer 7 has; raw.go says how they are read.

type rawPersistence struct {
	Mode    value[string]        `yaml:"mode" doc:"insert, where it is missing: the load" enum:"insert|rewrite"`
	_       more                 `doc:"balancer sets a cookie; rewrite: it changes the one that the server sets"`
	Cookie  value[string]        `yaml:"cookie" doc:"the name of the server's cookie; of rewrite alone"`
	Timeout value[time.Duration] `yaml:"timeout" doc:"how long the client keeps an inserted cookie, such as 1000s"`
	Node    *yaml.Node
}

type rawCertificate struct {
	Certificate value[string]           `yaml:"certificate" doc:"a PEM file with the certificate and those of its"`
	_           more                    `doc:"issuers; beside the topology file where the name is relative"`
	Key         value[string]           `yaml:"key" doc:"a PEM file with its private key"`
	Names       sequence[value[string]] `yaml:"names" doc:"names for which the lab makes one, instead of files"`
	Node        *yaml.Node
}

type rawShare struct {
	ServerGroup value[string] `yaml:"server_group,required" doc:"the server group"`
	Weight      value[int]    `yaml:"weight,required" doc:"its part of the sum of all weights; 0 gets none" range:"0..999"`
}

type rawHeaderMatch struct {
	Name   value[string]           `yaml:"name,required" doc:"of the header"`
	Values sequence[value[string]] `yaml:"values,required" doc:"of which it has one, in whatever case; * is any characters, ? is one"`
}

type rawQueryMatch struct {
	Key   value[string] `yaml:"key" doc:"of the parameter, with * and ?; any key where it is missing"`
	Value value[string] `yaml:"value,required" doc:"of the parameter, in whatever case; * is any characters, ? is one"`
}

type rawListenerRule struct {
	Priority      value[int]                    `yaml:"priority,required" doc:"the rule with the lowest" range:"1..50000"`
	_             more                          `doc:"number is asked first"`
	Hosts         sequence[value[string]]       `yaml:"hosts" doc:"Host headers that it is for; * is any characters, ? is"`
	_             more                          `doc:"one"`
	Paths         sequence[value[string]]       `yaml:"paths" doc:"paths that it is for; * is any characters, ? is one"`
	Headers       sequence[rawHeaderMatch]      `yaml:"headers" doc:"headers that a request must have, each of them"`
	Query         sequence[rawQueryMatch]       `yaml:"query" doc:"parameters of the query, of which a request must have one"`
	Methods       sequence[value[string]]       `yaml:"methods" doc:"methods that it is for, such as [GET, POST]"`
	Sources       sequence[value[netip.Prefix]] `yaml:"sources" doc:"blocks of the clients that it is for, as the load balancer sees them"`
	ServerGroup   value[string]                 `yaml:"server_group" doc:"where such requests go"`
	Split         sequence[rawShare]            `yaml:"split" doc:"server groups that share them by weights"`
	FixedResponse *rawFixedResponse             `yaml:"fixed_response" doc:"how the load balancer answers them by itself"`
	Redirect      *rawRedirect                  `yaml:"redirect" doc:"where clients are sent; what is missing stays as it"`
	_             more                          `doc:"was asked for"`
	Node          *yaml.Node
}

type rawFixedResponse struct {
	Status      value[int]    `yaml:"status,required" doc:"the HTTP status" range:"200..599"`
	ContentType value[string] `yaml:"content_type" doc:"text/plain where it is missing" enum:"text/plain|text/css|text/html|application/javascript|application/json"`
	Body        value[string] `yaml:"body" doc:"at most 1024 bytes"`
	Node        *yaml.Node
}

type rawRedirect struct {
	Status   value[int]    `yaml:"status" doc:"301, 302, 303, 307 or 308; 301 where it is missing" range:"301..308"`
	Protocol value[string] `yaml:"protocol" doc:"another protocol" enum:"http|https"`
	Host     value[string] `yaml:"host" doc:"another host"`
	Port     value[int]    `yaml:"port" doc:"another port" range:"1..65535"`
	Path     value[string] `yaml:"path" doc:"another path"`
	Query    value[string] `yaml:"query" doc:"another query, without the question mark"`
	Node     *yaml.Node
}

// node is where it is written, nil where it is not.
func (r *rawFixedResponse) node() *yaml.Node {
	if r == nil {
		return nil
	}
	return r.Node
}

func (r *rawRedirect) node() *yaml.Node {
	if r == nil {
		return nil
	}
	return r.Node
}
