# "make help" lists the targets. Tests of an ordinary user use sudo where it is there,
# and user namespaces without it, or with ROOTLESS=1; then those that become another
# user are skipped.

SUDO    := $(if $(filter 0,$(shell id -u)),,$(if $(ROOTLESS),,$(shell command -v sudo)))
VERSION := $(shell git describe --tags --always --dirty 2>/dev/null || echo devel)
TOOL    := go tool -modfile=tools/go.mod
BIN     := bin/plinksim
# The two packages that take longest begin first.
ALL     := ./test ./cmd/plinksim ./...
# Short runs of the race detector leave out packages whose tests have one goroutine, and ./test:
# it tries as a whole what the packages' own tests try in parts.
RACED    = ./cmd/plinksim $(shell go list ./... | grep -vE '/(cmd/plinksim|test|pkg/topofile|internal/anyedit)$$')
# Test binaries that make namespaces run as root, the compiler as the user.
EXEC    := $(if $(filter 0,$(shell id -u)),,-exec "$(if $(SUDO),sudo -E env PATH=$(PATH),$(CURDIR)/scripts/rootless)")
# Most tests wait more than they compute: twice as many run at a time as there are processors.
SIDE    := -parallel $(shell expr 2 '*' $$(getconf _NPROCESSORS_ONLN))
# RERUN=FILE runs tests that failed once more, alone, if they are few, and lists them in
# FILE: beside all the others a test may miss a time limit.
RERUN   :=
TEST     = $(TOOL) gotestsum --format pkgname-and-test-fails \
	$(if $(RERUN),--rerun-fails=1 --rerun-fails-max-failures=6 --rerun-fails-report=$(RERUN)) --packages
DEMO    := testdata/topologies/alibaba-clb.yaml
# All targets compile as the program is compiled that users get, so that each finds in
# the build cache what the others have built. The race detector alone needs cgo.
export CGO_ENABLED := 0
export GOFLAGS     := -trimpath $(GOFLAGS)

# Every target with a comment is no file.
.PHONY: $(shell sed -n 's/^\([a-z-]*\):.*\#\# .*/\1/p' $(MAKEFILE_LIST)) tools clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' Makefile

build: ## build bin/plinksim, which needs no library of the machine
	go build -ldflags "-X main.version=$(VERSION)" -o $(BIN) ./cmd/plinksim

demo: build ## build, run the first topology with its checks, and remove it
	@scripts/demo $(BIN) $(DEMO)

test: tools ## run every test, those in namespaces included
	$(TEST) "$(ALL)" -- $(EXEC) $(SIDE) -vet=off -timeout 20m

test-nonroot: ## run the tests as you are: without root those in namespaces are skipped
	go test ./...

aws-clients: build tools ## try the API of AWS on aws-sdk-go-v2 and, session by session, on the AWS CLI
	cd test/clients/aws && go mod tidy -diff && go test ./...
	$(SUDO) env PLINKSIM=$(CURDIR)/$(BIN) test/clients/aws/sessions.sh

ali-clients: build ## let the SDKs of Alibaba Cloud for Go and Node.js drive labs, session by session; needs root
	scripts/install-tools node
	cd test/clients/alibaba/popcore && npm ci --omit=dev --no-fund --no-audit
	cd test/clients/alibaba && go mod tidy -diff && go vet ./... && \
		PLINKSIM=$(CURDIR)/$(BIN) PLINKSIM_MUST_RUN=1 go test $(EXEC) -count 1 -timeout 15m ./...

console-pictures: ## walk the console as console-browser does, and make the pictures of the documents again
	mkdir -p docs/console
	$(MAKE) console-browser PICTURES=$(CURDIR)/docs/console

console-browser: build ## walk the console in a headless Chromium, as root; pictures of all steps are in bin/screenshots
	scripts/install-tools browser
	mkdir -p bin/screenshots bin/clients/axe
	npm install --silent --no-save --prefix bin/clients/axe axe-core@4.11.0
	cd test/clients/console && go mod tidy -diff && go vet ./... && go test -c -o $(CURDIR)/bin/clients/console.test .
	cd test/clients/console && $(SUDO) env PLINKSIM=$(CURDIR)/$(BIN) AXE=$(CURDIR)/bin/clients/axe/node_modules/axe-core/axe.min.js \
		PICTURES=$(PICTURES) $(CURDIR)/bin/clients/console.test -test.v -test.parallel 2 -test.timeout 10m -test.artifacts -test.outputdir $(CURDIR)/bin/screenshots

ansible: build ## let a playbook of Debian's Ansible make a service and an endpoint, twice
	scripts/install-tools ansible
	$(SUDO) env PLINKSIM=$(CURDIR)/$(BIN) test/clients/ansible/twice.sh

tofu: build ## build OpenTofu and a provider of AWS, and let them make, change and destroy a lab's objects
	go -C test/clients/tofu/opentofu build -o $(CURDIR)/bin/clients/ github.com/opentofu/opentofu/cmd/tofu
	go -C test/clients/tofu/provider build -o $(CURDIR)/bin/clients/ github.com/terraform-providers/terraform-provider-aws
	$(SUDO) env PLINKSIM=$(CURDIR)/$(BIN) TOFU=$(CURDIR)/bin/clients/tofu PROVIDER=$(CURDIR)/bin/clients test/clients/tofu/life.sh

examples: tools ## run the examples that are modules of their own
	scripts/examples go test $(EXEC) ./...

race: export CGO_ENABLED := 1
race: tools ## run every test under the race detector; SHORT=1 leaves out what takes long, and ./test
	$(TEST) "$(if $(SHORT),$(RACED),$(ALL))" -- $(EXEC) $(SIDE) -vet=off -race $(if $(SHORT),-short) -timeout $(if $(SHORT),15m,30m)

fuzz: ## run every fuzz target for FUZZTIME (default 30s)
	scripts/fuzz $(or $(FUZZTIME),30s)

cross: ## build for arm64, and for macOS and Windows what needs no Linux
	scripts/cross

web: ## build the page with labs in the browser into bin/web
	scripts/browser bin/web

browser: ## run that page in a headless Chromium; screenshots are in bin/screenshots
	scripts/install-tools browser
	mkdir -p bin/screenshots
	go test -tags browser ./test -run 'InABrowser$$' -count=1 -artifacts -outputdir $(CURDIR)/bin/screenshots

bench: ## run the benchmarks of the packages
	go test -run '^$$' -bench . -benchmem ./pkg/...

bench-core: ## the NAT core alone, COUNT times (default 10), as benchstat reads it
	@go test -run '^$$' -bench '^Benchmark(Core|Open|LongestBurst)$$' -benchmem -count $(or $(COUNT),10) -timeout 60m ./pkg/fullnat

bench-short-sessions: ## what 100,000 sessions a second that open and close cost with a flow cache, beside without one
	PLINKSIM_LONG=1 go test -count 1 -run '^TestShortSessionsCostNothingWithAFlowCache$$' -v -timeout 30m ./pkg/dataplane

bpf: ## compile the flow cache's programs, with Debian 12's clang 14, llvm, libbpf-dev and linux-libc-dev
	cd pkg/flowcache && GOPACKAGE=flowcache $(TOOL:tools/go.mod=../../tools/go.mod) bpf2go -target bpfel,bpfeb -tags linux \
		-no-global-types -cflags "-O2 -g -Wall -Werror" flowcache flowcache.bpf.c -- -I/usr/include/$$(uname -m)-linux-gnu

test-flow-cache: tools ## run the tests of what forwards with every session in the flow cache; SHORT=1 leaves out what takes long
	PLINKSIM_FLOW_CACHE=force $(TEST) "./pkg/fullnat ./pkg/dataplane" -- $(EXEC) $(if $(SHORT),-short)
	$(if $(SHORT),@true,PLINKSIM_FLOW_CACHE=force:clsact $(TEST) ./pkg/dataplane -- $(EXEC))
	$(if $(SHORT),@true,PLINKSIM_FLOW_CACHE=force:none $(TEST) ./pkg/dataplane -- $(EXEC))
	$(if $(SHORT),@true,PLINKSIM_FLOW_CACHE=force $(TEST) "./pkg/machine/kernel ./pkg/plinktest ./test" -- $(EXEC) -timeout 30m)

bpf-tools: ## install what "make bpf" needs
	$(SUDO) apt-get install -y -qq --no-install-recommends clang llvm libbpf-dev linux-libc-dev

bpf-check: bpf-tools bpf ## say whether the committed object files are what "make bpf" makes
	git diff --exit-code -- pkg/flowcache

soak: ## let labs live under everything at once for TIME (default 10m), with the seeds in SEED; the report is below bin/soak
	mkdir -p bin/soak
	PLINKSIM_SOAK=$(or $(TIME),10m) PLINKSIM_SEED="$(SEED)" go test $(EXEC) -count 1 -run '^TestSoak$$' -v -timeout 3h -parallel 64 \
		-artifacts -outputdir $(CURDIR)/bin/soak ./cmd/plinksim

restarts: ## kill and exchange the daemon of one lab under 500 downloads, RESTARTS times in a row (default 100), and kill 200 restarts
	PLINKSIM_LONG=1 PLINKSIM_RESTARTS=$(or $(RESTARTS),100) PLINKSIM_SEED="$(SEED)" go test $(EXEC) -count 1 -v -timeout 3h \
		-run '^TestConnectionsSurviveTheirDaemon$$/^aws_with_1_workers|^TestARestartMayBeKilledAtAnyMoment$$' ./cmd/plinksim

hosts-chaos: tools ## let all of two hosts of a lab fail at times, for TIME (default 5m) with each seed in SEED (default: ten)
	PLINKSIM_CHAOS=$(or $(TIME),5m) PLINKSIM_SEED="$(SEED)" go test $(EXEC) -count 1 -run '^TestHostsUnderChaos$$' -v -timeout 6h ./test

bench-edits: ## what edits of a lab of 1,000 instances take, beside those of a small one, as root
	PLINKSIM_LONG=1 go test $(EXEC) -count 1 -run '^TestEditsOfALargeLabTakeMilliseconds$$' -v -timeout 30m ./test

dist: ## build release archives, deb and rpm packages and checksums into bin/dist
	scripts/dist bin/dist

dist-check: ## build it twice, compare, and install it in a bare root; needs root
	$(SUDO) scripts/dist-check

monitoring: build ## hold docs/monitoring to promtool, Grafana's SDK and the metrics of a lab; needs root
	$(SUDO) scripts/monitoring $(BIN)

kubernetes: ## hold docs/ci/kubernetes.yml to the types of Kubernetes
	cd tools/kubernetes && go mod tidy -diff && go run . ../../docs/ci/kubernetes.yml

bench-up: build ## what labs of 1,000 and 5,000 instances take to come up and down, ROUNDS times (default 5), as root
	$(SUDO) scripts/bench-up $(BIN) $(or $(ROUNDS),5)

bench-hosts: build ## TCP from host to host, and 10,000 instances over four hosts: INSTANCES, HOSTS, as root
	$(SUDO) scripts/bench-hosts $(BIN) $(or $(INSTANCES),10000) $(or $(HOSTS),4)

bench-api: ## how many calls a second the APIs of the clouds answer in a lab of 1,000 instances, as root
	PLINKSIM_LONG=1 go test $(EXEC) -count 1 -run '^TestTheAPIOfALargeLabIsFast$$' -v -timeout 30m ./test

lint: ## gofmt, go vet, staticcheck, and whether go.mod is tidy
	@test -z "$$(gofmt -l .)" || { echo "gofmt wants to change:"; gofmt -l .; exit 1; }
	go vet ./...
	go vet -tags browser ./test
	scripts/examples go vet ./...
	go mod tidy -diff
	go -C tools mod tidy -diff
	go -C tools/dist mod tidy -diff
	go -C tools/dashboard mod tidy -diff
	scripts/examples go mod tidy -diff
	$(TOOL) staticcheck ./...
	$(TOOL) actionlint docs/ci/github-actions.yml

containers: build ## build the image, and try docs/containers.md with podman; needs root
	$(SUDO) scripts/containers

golden: tools ## rewrite the golden files; the diff is the review
	go test $(EXEC) $$(grep -rl --include='*_test.go' '/internal/golden"' . | xargs -n 1 dirname | sort -u) -update

count: ## print the figures that house_test.go holds: sizes, imports, columns
	@go run ./internal/house/count

ci: ## what must pass at every commit
	.ci/run

ci-full: ## what takes longer than a commit can wait for: before a release
	.ci/run full

tools: ## install the programs that tests use, ip, nft, sysctl
	@scripts/install-tools etcd

clean: ## remove what was built
	rm -rf bin
