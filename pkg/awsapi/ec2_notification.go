package awsapi

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/plinksim/plinksim/pkg/cloudapi"
	"github.com/plinksim/plinksim/pkg/control"
	"github.com/plinksim/plinksim/pkg/wire"
)

// KindNotification is the kind of the events that tell of what a connection notification
// is for. A lab has no topics, so nobody else hears of it.
const KindNotification control.Kind = "notification"

// notification is a connection notification as it is recorded.
type notification struct {
	id, account, arn  string
	service, endpoint string // identifiers; one of them
	events            []string
}

// connectionEvents are the events of notifications by the verbs of connections.
var connectionEvents = map[control.Verb]string{
	control.Create: "Connect", control.Accept: "Accept", control.Reject: "Reject", control.Delete: "Delete",
}

const notificationPrefix = "vpce-nfn"

func notificationRows(a *adder) {
	op(a, "CreateVpcEndpointConnectionNotification", createNotification)
	op(a, "ModifyVpcEndpointConnectionNotification", modifyNotification)
	op(a, "DeleteVpcEndpointConnectionNotifications", func(c private, in struct{ ConnectionNotificationIds []string }) (
		wire.M, error) {
		unsuccessful := []wire.M{}
		for _, id := range in.ConnectionNotificationIds {
			if _, err := c.notification(id); err != nil {
				unsuccessful = append(unsuccessful, wire.M{"ResourceId": id,
					"Error": wire.M{"Code": err.Code, "Message": err.Message}})
			} else if !c.Dry {
				c.Forget(id)
			}
		}
		return wire.M{"Unsuccessful": unsuccessful}, nil
	})
	list(a, listing{name: "DescribeVpcEndpointConnectionNotifications", answer: "ConnectionNotificationSet",
		filters: map[string]string{
			"service-id": "ServiceId", "vpc-endpoint-id": "VpcEndpointId",
			"connection-notification-id":    "ConnectionNotificationId",
			"connection-notification-arn":   "ConnectionNotificationArn",
			"connection-notification-state": "ConnectionNotificationState",
			"connection-notification-type":  "ConnectionNotificationType",
		},
		also: []string{"ConnectionNotificationId"},
		all: func(base *call) (out []wire.M, _ error) {
			c := private{base}
			if id, ok := c.Values["ConnectionNotificationId"].(string); ok {
				n, err := c.notification(id)
				if err != nil {
					return nil, err
				}
				return []wire.M{n.view()}, nil
			}
			for _, n := range c.api.notifications() {
				if n.account == c.Account.Name {
					out = append(out, n.view())
				}
			}
			return out, nil
		}})
}

// notifications are all that there are, by their identifiers.
func (s *Server) notifications() (out []notification) {
	for _, id := range s.Record.IDs(notificationPrefix + "-") {
		notes := s.Record.Thing(id).Notes
		out = append(out, notification{id: id, account: notes["account"], arn: notes["arn"], service: notes["service"],
			endpoint: notes["endpoint"], events: strings.Fields(notes["events"])})
	}
	return out
}

func (c private) notification(id string) (notification, *wire.Error) {
	all := c.api.notifications()
	i := slices.IndexFunc(all, func(n notification) bool { return n.id == id && n.account == c.Account.Name })
	if i < 0 {
		return notification{}, wire.Errorf("InvalidConnectionNotification",
			"The connection notification '%s' does not exist", id)
	}
	return all[i], nil
}

func (n notification) view() wire.M {
	m := wire.M{"ConnectionNotificationId": n.id, "ConnectionNotificationType": "Topic",
		"ConnectionNotificationArn": n.arn, "ConnectionEvents": n.events, "ConnectionNotificationState": "Enabled"}
	if n.service != "" {
		m["ServiceId"] = n.service
	} else {
		m["VpcEndpointId"] = n.endpoint
	}
	return m
}

// notes is what is recorded of it.
func (n notification) notes() map[string]string {
	return map[string]string{"account": n.account, "arn": n.arn, "service": n.service, "endpoint": n.endpoint,
		"events": strings.Join(n.events, " ")}
}

var topicForm = regexp.MustCompile(`^arn:aws:sns:[a-z0-9-]+:\d{12}:[\w-]{1,256}(\.fifo)?$`)

// check refuses what is no topic, and events that connections do not have.
func (n notification) check() error {
	if !topicForm.MatchString(n.arn) {
		return wire.Errorf("InvalidParameterValue", "The ARN %s is not that of an SNS topic", n.arn)
	}
	if len(n.events) == 0 {
		return wire.Errorf("MissingParameter", "The request must contain the parameter ConnectionEvents")
	}
	for _, event := range n.events {
		if !slices.Contains([]string{"Accept", "Connect", "Delete", "Reject"}, event) {
			return wire.Errorf("InvalidParameterValue",
				"The connection event %s is not valid: there are Accept, Connect, Delete and Reject", event)
		}
	}
	return nil
}

func createNotification(c private, in struct {
	ConnectionNotificationArn, ServiceId, VpcEndpointId string
	ConnectionEvents                                    []string
}) (wire.M, error) {
	switch {
	case in.ServiceId != "" && in.VpcEndpointId != "":
		return nil, wire.Errorf("InvalidParameterCombination", "Specify a service or an endpoint, not both")
	case in.ServiceId != "":
		if _, err := c.ownService(in.ServiceId); err != nil {
			return nil, err
		}
	default:
		if _, err := c.endpoint(in.VpcEndpointId); err != nil {
			return nil, err
		}
	}
	n := notification{account: c.Account.Name, arn: in.ConnectionNotificationArn, service: in.ServiceId,
		endpoint: in.VpcEndpointId, events: in.ConnectionEvents}
	if err := n.check(); err != nil {
		return nil, err
	}
	if c.Dry {
		return nil, errDryRun
	}
	n.id = c.NewID(notificationPrefix)
	c.Created(n.id, nil, n.notes())
	c.Note("a lab has no topics: \"plinksim events\" shows what the notification would tell")
	return wire.M{"ConnectionNotification": n.view()}, nil
}

func modifyNotification(c private, in struct {
	ConnectionNotificationId, ConnectionNotificationArn string
	ConnectionEvents                                    []string
}) (wire.M, error) {
	n, missing := c.notification(in.ConnectionNotificationId)
	if missing != nil {
		return nil, missing
	}
	if in.ConnectionNotificationArn != "" {
		n.arn = in.ConnectionNotificationArn
	}
	if len(in.ConnectionEvents) > 0 {
		n.events = in.ConnectionEvents
	}
	if err := n.check(); err != nil {
		return nil, err
	}
	if c.Dry {
		return nil, errDryRun
	}
	c.Change(n.id, func(t *cloudapi.Thing) { t.Notes = n.notes() })
	return wire.M{"ReturnValue": true}, nil
}

// notify adds an event for each notification that asks for one of a connection, until ctx
// ends.
func (s *Server) notify(ctx context.Context) {
	plane := s.Lab.Plane()
	var last uint64
	if events := plane.Events(0); len(events) > 0 {
		last = events[len(events)-1].Seq
	}
	for e := range plane.Subscribe(ctx, last) {
		what := connectionEvents[e.Verb]
		if e.Kind != control.KindConnection || what == "" {
			continue
		}
		plan := s.CurrentPlan()
		service, endpoint, _ := strings.Cut(e.Name, "/")
		if svc, err := plan.Service(service); err == nil {
			service = svc.ID
		}
		if ep, err := plan.Endpoint(endpoint); err == nil {
			endpoint = ep.ID
		}
		for _, n := range s.notifications() {
			if (n.service == service || n.endpoint == endpoint) && slices.Contains(n.events, what) {
				plane.Observe(control.Event{Kind: KindNotification, Name: n.id, Account: n.account, Verb: e.Verb,
					Text: fmt.Sprintf("%s for %s: %s of endpoint %s at service %s", n.id, n.arn, what, endpoint, service)})
			}
		}
	}
}
