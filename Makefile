# "make help" lists the targets. Those that need root use sudo where the user
# is not root, and work without a sudo program where the user is.

SUDO    := $(if $(filter 0,$(shell id -u)),,sudo)
VERSION := $(shell git describe --tags --always --dirty 2>/dev/null || echo devel)
TOOL    := go tool -modfile=tools/go.mod
# Test binaries that make namespaces run as root, the compiler as the user.
EXEC    := $(if $(SUDO),-exec "sudo -E env PATH=$(PATH)")
DEMO    := testdata/topologies/alibaba-clb.yaml

.PHONY: help build demo test race fuzz bench bench-core lint golden count tools clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' Makefile

build: ## build bin/plinksim
	go build -trimpath -ldflags "-X main.version=$(VERSION)" -o bin/plinksim ./cmd/plinksim

demo: build ## build, run the first topology with its checks, and remove it
	@$(SUDO) scripts/demo bin/plinksim $(DEMO)

test: tools ## run every test, those in namespaces included
	$(TOOL) gotestsum --format pkgname-and-test-fails -- $(EXEC) ./...

race: ## run the tests of the packages that need no root under the race detector
	go test -race ./pkg/packet ./pkg/topology ./pkg/topofile ./pkg/secgroup ./pkg/lb ./pkg/fullnat ./pkg/control ./pkg/dns

fuzz: ## run every fuzz target for FUZZTIME (default 30s)
	scripts/fuzz $(or $(FUZZTIME),30s)

bench: ## run the benchmarks of the packages
	go test -run '^$$' -bench . -benchmem ./pkg/...

bench-core: ## the NAT core alone, COUNT times (default 10), as benchstat reads it
	@go test -run '^$$' -bench '^Benchmark(Core|Open|LongestBurst)$$' -benchmem -count $(or $(COUNT),10) -timeout 60m ./pkg/fullnat

lint: ## gofmt, go vet and staticcheck
	@test -z "$$(gofmt -l .)" || { echo "gofmt wants to change:"; gofmt -l .; exit 1; }
	go vet ./...
	$(TOOL) staticcheck ./...

golden: tools ## rewrite the golden files; the diff is the review
	go test $(EXEC) $$(grep -rl --include='*_test.go' '/internal/golden"' . | xargs -n 1 dirname | sort -u) -update

count: ## print the figures that house_test.go holds: sizes, imports, columns
	@go run ./internal/house/count

tools: ## install the programs that tests use, ip, nft, sysctl
	@scripts/install-tools

clean: ## remove what was built
	rm -rf bin
