# One target a line; `make help` prints them.
SHELL := /bin/bash
GO ?= go
TESTFLAGS ?=
SEED ?=
SEEDS ?= 2000
KILLS ?= 200

# These need the throughput of a node that does not write a base for each command: they fill a queue, or a journal block. The services
# outside see no difference.
PASSIVATE_SKIP := ^(TestFaultServices|TestFaultOverload|TestFaultSlowClients|TestFaultPowerCutAfterRecovery|TestFaultFarBehind|TestFaultCluster|TestFaultNetwork|TestRollingUpgrade|TestClusterOverExternalServers|TestStoreCopy.*|TestReadReplica)$$

.DEFAULT_GOAL := help
.PHONY: help run build up down test race elsewhere passivate fuzz fuzz-api vendor/redoc sim mutants faults faults-cluster slow bench bench-cluster lint

help: ## print this list
	@grep -hE '^[a-z/-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z\/-]+):.*## (.*)/\1|\2/' | column -t -s '|'

run: ## the demo: 500 restaurants of Rome on http://127.0.0.1:8080, data in ./data
	$(GO) run . serve --demo

build: ## bin/maitred
	$(GO) build -trimpath -o bin/maitred .

up: ## a private PostgreSQL, RabbitMQ and Redis, and the flags of serve for them
	$(GO) run ./deploy/services up

down: ## stop them and throw their data away
	$(GO) run ./deploy/services down

test: ## everything that must hold, with short forms of the slow runs (< 20 min on two cores)
	$(GO) vet ./...
	$(GO) test -p 1 -timeout 15m $(TESTFLAGS) ./...
	$(MAKE) --no-print-directory elsewhere
	$(MAKE) --no-print-directory passivate
	$(MAKE) --no-print-directory race

race: ## the concurrent rooms under the race detector
	$(GO) test -p 1 -race -short -timeout 15m $(TESTFLAGS) ./actors/... ./edge/... ./persistence/... ./engine/...

elsewhere: ## the API's suite with every restaurant and account on another node
	MAITRED_TEST_ELSEWHERE=1 $(GO) test -count=1 -timeout 5m $(TESTFLAGS) ./edge

passivate: ## the suite with every actor passivated after every command
	MAITRED_TEST_PASSIVATE=1 $(GO) test -p 1 -count=1 -timeout 10m $(TESTFLAGS) -skip '$(PASSIVATE_SKIP)' ./actors/... ./edge/... .

fuzz: ## each fuzz target for FUZZTIME (default 30s)
	@for pkg in $$($(GO) list ./...); do for f in $$($(GO) test -list '^Fuzz' $$pkg | grep '^Fuzz'); do \
	  echo "== $$pkg $$f"; $(GO) test -run '^$$' -fuzz "^$$f$$" -fuzztime $(or $(FUZZTIME),30s) $$pkg || exit 1; done; done

fuzz-api: ## a million requests invented from the API's document; REQUESTS=n, MAITRED_FUZZ_SEED=n
	MAITRED_FUZZ_REQUESTS=$(or $(REQUESTS),1000000) $(GO) test -count=1 -v -timeout 120m -run TestRequestsFromTheDocument ./edge/

vendor/redoc: ## fetch the pages' script anew
	edge/openapi/tools/vendor.sh

sim: ## explorer, simulation and the engine beside its oracle, long form; SEED=n replays one seed
	MAITRED_SIM_SEEDS=$(SEEDS) MAITRED_SIM_SEED=$(SEED) $(GO) test -count=1 -v -timeout 60m -run 'TestExplore|TestSimulation' ./actors/
	MAITRED_ORACLE_SEEDS=$(or $(ORACLE_SEEDS),25000) MAITRED_ORACLE_SEED=$(SEED) $(GO) test -count=1 -timeout 60m -run 'TestDifferential$$' ./engine/enginetest/

mutants: ## change the engine in one place at a time: do its tests notice? One to two hours; MUTANTS='-again OUTPUT' for what was not noticed
	$(GO) run ./engine/enginetest/mutants $(MUTANTS)

faults: ## kill -9, power cut, full disk, failing and slow fsync, damaged files: long form (needs root for some)
	MAITRED_FAULTS=long MAITRED_KILLS=$(KILLS) $(GO) test -count=1 -v -timeout 80m -run 'TestFault' -skip '^TestFault(Cluster|Drain|Network|Controls)$$' .

faults-cluster: ## three nodes as one: processes, disks, clocks and the network between them hurt under load; long form, needs root; MAITRED_CLUSTER_FAULTS=n
	MAITRED_FAULTS=long $(GO) test -count=1 -v -timeout 240m -run '^TestFault(Cluster|Drain|Network|Controls)$$' .

slow: ## reservations beside 2,000 slow connections, 500 large bodies and a flood of logins: long form
	MAITRED_FAULTS=long $(GO) test -count=1 -v -timeout 20m -run 'TestFaultSlowClients' .

bench: ## maitred against bare echo and the row-lock way, interleaved, in one run
	$(GO) run ./bench compare --seconds 10 --json bench/results/compare.json

bench-cluster: ## three nodes as one beside the row-lock way; drains and kill -9 with plots over time
	$(GO) run ./bench cluster --seconds 10 --json bench/results/cluster.json --plots bench/results

# gosec without: conversions of what is bounded (G115), files that the operator names (G304), math/rand for jitter and samples (G404), unsafe where
# bytes are read as a string (G103).
lint: ## gofmt, vet, staticcheck, gosec
	@test -z "$$(gofmt -l $$(git ls-files '*.go'))" || { gofmt -l $$(git ls-files '*.go'); exit 1; }
	$(GO) vet ./...
	$(GO) run honnef.co/go/tools/cmd/staticcheck@v0.8.2 ./...
	$(GO) run github.com/securego/gosec/v2/cmd/gosec@v2.30.0 -quiet -exclude-generated -exclude=G103,G115,G304,G404 ./engine/... ./actors/... ./edge/... ./persistence/... .
