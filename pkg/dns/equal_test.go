package dns

import (
	"reflect"
	"testing"

	"github.com/stretchr/testify/require"
)

// No field of a configuration is forgotten when two are compared.
func TestConfigurationsDifferByEveryField(t *testing.T) {
	whole := func() Config {
		return Config{Subnets: make([]Subnet, 1), Zones: make([]string, 1), TTL: 1, Host: "h", Hides: make([]string, 1), Names: []Name{{
			FQDN: "a", Affinity: true, TTL: 1, Addrs: make([]Address, 1), CNAME: "b", TXT: make([]string, 1),
			SRV: make([]SRV, 1), Alias: true,
		}}}
	}
	require.True(t, whole().Equal(whole()))
	for _, part := range []func(*Config) any{
		func(c *Config) any { return c }, func(c *Config) any { return &c.Names[0] },
	} {
		c := whole()
		for i := range reflect.ValueOf(part(&c)).Elem().NumField() {
			c := whole()
			field := reflect.ValueOf(part(&c)).Elem().Field(i)
			require.False(t, field.IsZero(), "the test has a value for every field")
			field.SetZero()
			require.False(t, c.Equal(whole()), "field %d of %T", i, part(&c))
		}
	}
}
