package awsapi

import (
	"regexp"
	"time"

	"github.com/plinksim/plinksim/internal/derive"
	"github.com/plinksim/plinksim/pkg/wire"
)

func identityRows(a *adder) {
	op(a, "GetCallerIdentity", func(c *call, _ struct{}) (wire.M, error) {
		if c.Key.Role == "" {
			return wire.M{"Account": c.Account.ID, "UserId": c.Account.ID, "Arn": "arn:aws:iam::" + c.Account.ID +
				":root"}, nil
		}
		user := assumed(c.Account.ID, c.Key)
		return wire.M{"Account": c.Account.ID, "UserId": user["AssumedRoleId"], "Arn": user["Arn"]}, nil
	})
	op(a, "AssumeRole", assumeRole,
		"ExternalId", "a lab's roles trust all of its accounts",
		"Tags TransitiveTagKeys SourceIdentity", "no policy of a lab reads what a session carries")
}

var roleForm = regexp.MustCompile(`^arn:aws:iam::(\d{12}):role/(?:[\w+=,.@-]+/)*([\w+=,.@-]{1,64})$`)

// Bounds of how long temporary keys last (AWS STS API Reference, AssumeRole).
const (
	shortestSession = 15 * time.Minute
	usualSession    = time.Hour
	longestSession  = 12 * time.Hour
)

// assumeRole gives temporary keys of the account in the role's ARN: every account of a
// lab trusts all others, and a role may do what its account may.
func assumeRole(c *call, in struct {
	RoleArn, RoleSessionName string
	DurationSeconds          int
}) (wire.M, error) {
	m := roleForm.FindStringSubmatch(in.RoleArn)
	if m == nil {
		return nil, wire.Errorf("ValidationError", "%s is invalid", in.RoleArn)
	}
	lifetime := usualSession
	if in.DurationSeconds != 0 {
		lifetime = time.Duration(in.DurationSeconds) * time.Second
	}
	if lifetime < shortestSession || lifetime > longestSession {
		return nil, wire.Errorf("ValidationError", "DurationSeconds must be from %d to %d",
			int(shortestSession.Seconds()),
			int(longestSession.Seconds()))
	}
	for _, account := range c.Plan.Accounts {
		if account.ID != m[1] {
			continue
		}
		key, err := c.Ring.Temporary(account.Name, m[2], in.RoleSessionName, c.Now(), lifetime)
		if err != nil {
			return nil, err
		}
		return wire.M{
			"AssumedRoleUser": assumed(account.ID, key),
			"Credentials": wire.M{"AccessKeyId": key.ID, "SecretAccessKey": key.Secret, "SessionToken": key.Token,
				"Expiration": key.Expires},
		}, nil
	}
	return nil, &wire.Error{Code: "AccessDenied", Status: 403, Message: "User: arn:aws:iam::" + c.Account.ID +
		":root is not authorized to perform: sts:AssumeRole on resource: " + in.RoleArn}
}

func assumed(account string, key Key) wire.M {
	id := "AROA" + derive.Text("role "+account+" "+key.Role, 17, "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567")
	return wire.M{"AssumedRoleId": id + ":" + key.Session,
		"Arn": "arn:aws:sts::" + account + ":assumed-role/" + key.Role + "/" + key.Session}
}
