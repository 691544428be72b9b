package main

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/plinksim/plinksim/pkg/status"
)

func TestStatusHasZoneAffinityWhereTheCloudHasIt(t *testing.T) {
	for cloud, has := range map[string]bool{"aws": false, "alibaba": true} {
		var out bytes.Buffer
		printServices(&out, status.Lab{Cloud: cloud, Services: []status.EndpointService{{Name: "svc1"}}})
		require.Contains(t, out.String(), "svc1")
		require.Equal(t, has, bytes.Contains(out.Bytes(), []byte("ZONE AFFINITY")), cloud)
	}
}
