package plinktest_test

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/plinksim/plinksim/pkg/plinktest"
)

var t *testing.T

// It is not run here, as it needs a test around it: t is the argument of the test
// function.
func ExampleUp() {
	lab := plinktest.Up(t, "../../testdata/topologies/alibaba-clb.yaml")
	client := lab.Instance("ecs1").HTTP()

	// Nothing passes before the provider has accepted.
	lab.Accept("svc1", "ep1")
	resp, err := client.Get("http://" + lab.Name("ep1") + "/")
	require.NoError(t, err)
	defer resp.Body.Close()
	require.Equal(t, http.StatusOK, resp.StatusCode)
}
