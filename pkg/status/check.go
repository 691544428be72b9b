package status

// Check is how one check of the topology file ended.
type Check struct {
	Number int    `json:"number"` // from 1
	Of     int    `json:"of"`
	Name   string `json:"name"`
	Does   string `json:"does"` // ecs1: get http://… (20 times)
	Expect string `json:"expect"`
	Got    string `json:"got"`
	Passed bool   `json:"passed"`
	// Skipped is set of one that was not run, neither passed nor failed: Got says why.
	Skipped bool    `json:"skipped,omitempty"`
	Seconds float64 `json:"seconds"`
}
