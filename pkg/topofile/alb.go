package topofile

import (
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
	Certificate value[string] `yaml:"certificate,required" doc:"a PEM file with the certificate and those of its"`
	_           more          `doc:"issuers; beside the topology file where the name is relative"`
	Key         value[string] `yaml:"key,required" doc:"a PEM file with its private key"`
}

type rawListenerRule struct {
	Priority      value[int]              `yaml:"priority,required" doc:"the rule with the lowest" range:"1..50000"`
	_             more                    `doc:"number is asked first"`
	Hosts         sequence[value[string]] `yaml:"hosts" doc:"Host headers that it is for; * is any characters, ? is"`
	_             more                    `doc:"one"`
	Paths         sequence[value[string]] `yaml:"paths" doc:"paths that it is for; * is any characters, ? is one"`
	ServerGroup   value[string]           `yaml:"server_group" doc:"where such requests go"`
	FixedResponse *rawFixedResponse       `yaml:"fixed_response" doc:"how the load balancer answers them by itself"`
	Redirect      *rawRedirect            `yaml:"redirect" doc:"where clients are sent; what is missing stays as it"`
	_             more                    `doc:"was asked for"`
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
