package topofile

import (
	"github.com/plinksim/plinksim/pkg/topology"
)

// defaultAccount is the account where the file names none, and the owner of what says none.
const defaultAccount = "default"

// accountBuilder builds accounts: one where the file names none.
type accountBuilder struct{ *draft }

func (b accountBuilder) build() {
	for _, name := range b.raw.Accounts.Items {
		if !name.given() {
			continue
		}
		b.name(name.Node, "accounts", topology.MaxName)
		if _, err := b.plan.Account(name.V); err == nil {
			b.problem(name.Node, "remove it", "account %q is named twice", name.V)
			continue
		}
		b.add(name.V)
	}
	if len(b.raw.Accounts.Items) == 0 {
		b.add(defaultAccount)
	}
}

func (b accountBuilder) add(name string) {
	b.plan.Accounts = append(b.plan.Accounts, topology.Account{Name: name, ID: b.ids.Account(name)})
}
