package main

import (
	"github.com/plinksim/plinksim/pkg/api"
	"github.com/plinksim/plinksim/pkg/cloudapi"
	"github.com/plinksim/plinksim/pkg/control"
	"github.com/plinksim/plinksim/pkg/status"
)

// What commands print as JSON is in package status, and here where it has something
// that is not of that package.

// labList are the labs of a machine.
type labList struct {
	status.Head
	Labs []listedLab `json:"labs"`
}

// oneEvent is something that happened to an object: the answer to an operation, a line of "events".
type oneEvent struct {
	status.Head
	control.Event
}

// queryLine is a question to a resolver, a line of "dns watch".
type queryLine struct {
	status.Head
	api.WatchedQuery
}

// changeList are changes of a lab's topology.
type changeList struct {
	status.Head
	api.Edited
}

// apiKeys are the access keys of the clients of a cloud's API, and where it answers.
type apiKeys struct {
	status.Head
	Address string         `json:"address"` // HOST:PORT
	Region  string         `json:"region"`
	Keys    []api.CloudKey `json:"keys"` // one for each account, in the order of the file
}

// apiCalls are the last calls of clients of a cloud's API, the newest at the end.
type apiCalls struct {
	status.Head
	Calls []api.CloudCall `json:"calls"`
}

// apiOperations are the operations of a cloud's API.
type apiOperations struct {
	status.Head
	Operations []cloudapi.Operation `json:"operations"`
}
