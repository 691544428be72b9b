package aliapi

import (
	"regexp"
	"time"

	"github.com/plinksim/plinksim/internal/derive"
	"github.com/plinksim/plinksim/pkg/wire"
)

func identityRows(a *adder) {
	op(a, "GetCallerIdentity", func(c *call, _ struct{}) (wire.M, error) {
		m := wire.M{"AccountId": c.Account.ID, "UserId": c.Account.ID, "PrincipalId": c.Account.ID,
			"IdentityType": "Account", "Arn": "acs:ram::" + c.Account.ID + ":root"}
		if c.Key.Role != "" {
			user := c.assumed(c.Account.ID, c.Key)
			id, _ := user["AssumedRoleId"].(string)
			m["IdentityType"], m["Arn"], m["PrincipalId"] = "AssumedRoleUser", user["Arn"], id
			m["RoleId"], m["UserId"] = id[:len(roleIDs)+roleIDDigits], nil
		}
		return m, nil
	}).anywhere = true
	op(a, "AssumeRole", assumeRole, "ExternalId", "a lab's roles trust all of its accounts").anywhere = true
}

var (
	roleForm    = regexp.MustCompile(`^acs:ram::(\d{16}):role/([\w.-]{1,64})$`)
	sessionForm = regexp.MustCompile(`^[\w.@-]{2,64}$`)
)

// Bounds of how long temporary keys last (STS API 2015-04-01, AssumeRole, DurationSeconds).
const (
	shortestSession = 15 * time.Minute
	usualSession    = time.Hour
	longestSession  = 12 * time.Hour
)

// assumeRole gives temporary keys of the account in the role's ARN: every account of a
// lab trusts all others, and a role may do what its account may.
func assumeRole(c *call, in struct {
	RoleArn, RoleSessionName string
	DurationSeconds          *int
}) (wire.M, error) {
	m := roleForm.FindStringSubmatch(in.RoleArn)
	if m == nil {
		return nil, wire.Errorf("InvalidParameter.RoleArn", "The parameter RoleArn is wrongly formed: %s", in.RoleArn)
	}
	if !sessionForm.MatchString(in.RoleSessionName) {
		return nil, wire.Errorf("InvalidParameter.RoleSessionName", "The parameter RoleSessionName is wrongly formed: %s",
			in.RoleSessionName)
	}
	lifetime := usualSession
	if in.DurationSeconds != nil {
		lifetime = time.Duration(*in.DurationSeconds) * time.Second
	}
	if lifetime < shortestSession || lifetime > longestSession {
		return nil, wire.Errorf("InvalidParameter.DurationSeconds",
			"The Min/Max value of DurationSeconds is %d/%d seconds", int(shortestSession.Seconds()),
			int(longestSession.Seconds()))
	}
	name, known := c.accountOf(m[1])
	if !known {
		return nil, notFound("EntityNotExist.Role", "The role not exists: acs:ram::%s:role/%s", m[1], m[2])
	}
	key, err := c.Ring.Temporary(name, m[2], in.RoleSessionName, c.Now(), lifetime)
	if err != nil {
		return nil, wire.Errorf("Throttling", "%v", err)
	}
	return wire.M{"AssumedRoleUser": c.assumed(m[1], key), "Credentials": wire.M{"AccessKeyId": key.ID,
		"AccessKeySecret": key.Secret, "SecurityToken": key.Token, "Expiration": key.Expires}}, nil
}

// A role's identifier is a 3 with 17 digits behind it (STS API 2015-04-01, AssumeRole,
// AssumedRoleId).
const (
	roleIDs      = "3"
	roleIDDigits = 17
)

func (c *call) assumed(account string, key Key) wire.M {
	id := roleIDs + derive.Text("role "+account+" "+key.Role, roleIDDigits, "0123456789")
	return wire.M{"AssumedRoleId": id + ":" + key.Session,
		"Arn": "acs:ram::" + account + ":assumed-role/" + key.Role + "/" + key.Session}
}
