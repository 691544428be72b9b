// Package doctor says what a machine allows labs to do: what there is, what is
// missing, what that means for labs, and how to get it. It tries what can be tried,
// in a lab of its own that it removes.
package doctor

// Report is what there is to say of a machine, for the user who asks.
type Report struct {
	Schema  string  `json:"schema"`
	Machine string  `json:"machine"` // kernel and CPUs
	User    string  `json:"user"`
	Labs    Labs    `json:"labs"`
	Checks  []Check `json:"checks"`
}

// Labs says which labs this user can have.
type Labs struct {
	// Kernel is as, how labs in network namespaces run: "root", "user namespace";
	// "" where they cannot. Labs in the process of a Go test always can.
	Kernel string `json:"kernel"`
	// InProcess is always so: labs in the process of a Go test.
	InProcess bool `json:"in_process"`
}

// State is the result of a check.
type State string

// The states of a check. A lab comes up where nothing is missing.
const (
	OK       State = "ok"
	Warning  State = "warning" // some labs, or some programs in them, do not work
	Missing  State = "missing" // no lab in the kernel works
	NotTried State = "not tried"
)

// Check is one thing that was looked at.
type Check struct {
	Name  string `json:"name"`
	State State  `json:"state"`
	Found string `json:"found"`
	// Means and Remedy are of what is not OK.
	Means  string `json:"means,omitempty"`
	Remedy string `json:"remedy,omitempty"`
}

// ok is a check that found what it looked for.
func ok(name, found string) Check { return Check{Name: name, State: OK, Found: found} }

// conclude says which labs can run after all checks.
func (r *Report) conclude(as string) {
	r.Labs = Labs{Kernel: as, InProcess: true}
	for _, c := range r.Checks {
		if c.State == Missing {
			r.Labs.Kernel = ""
		}
	}
}
