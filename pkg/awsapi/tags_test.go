package awsapi_test

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// The tags of instances are within reservations.
func TestInstancesAreFoundByTheirTags(t *testing.T) {
	s := newShop(t)
	found := func(filter, value string) []string {
		return s.p.ec2("DescribeInstances", "Filter.1.Name", filter, "Filter.1.Value.1", value).
			texts("reservationSet/item/instancesSet/item/instanceId")
	}
	require.Equal(t, []string{s.web}, found("tag:Name", "w?b"))
	require.Equal(t, []string{s.web}, found("tag-key", "Name"))
	require.Empty(t, found("tag:Name", "nobody"))
}
