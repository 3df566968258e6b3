# Two commands need nothing but Go, git and make: `make demo` and `make test`. What else they want they
# install (Debian packages, as root) or build once into the cache folder.

SHELL       := /bin/bash -eu -o pipefail
CACHE       := $(or $(FAIRLEAD_CACHE),$(or $(XDG_CACHE_HOME),$(HOME)/.cache)/fairlead)
BIN         := $(CACHE)/bin
LINT_MODULE := github.com/golangci/golangci-lint/v2
LINT        := $(BIN)/golangci-lint-$(shell grep -oE '$(LINT_MODULE) v[0-9][^ ]*' test/tools/lint/go.mod | head -n 1 | cut -d' ' -f2)
VERSION     := $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
GO_STATIC   := CGO_ENABLED=0 go build -trimpath -ldflags "-s -w -X main.version=$(VERSION)"

# The packages whose tests want a real kernel, in the order of their run in the VM. Where many others would be slow there
# for nothing, a pattern behind the = tells those that do.
KERNEL_PACKAGES := ./internal/nlbatch ./internal/hostaddr ./ipvs ./dummyif ./masq ./conntrack ./takeover ./cmd/fairlead ./controller=OnTheKernel ./test/lab ./test/e2e ./test/bench

# The status of test/vm when the emulator stands still; see its doc.go.
FROZEN := 75

export FAIRLEAD_CACHE := $(CACHE)

# The proxies that `make conformance` measures, and which of the tests.
PROXIES := fairlead kube-proxy-iptables kube-proxy-nftables kube-proxy-ipvs
ROWS    := ^TestConformance

# The name of the image that `make image` builds.
IMAGE := ghcr.io/fairlead-lb/fairlead:$(VERSION)

# Which of the takeovers `make takeover` plays. All, or the results are not complete.
TAKEOVER := ^TestTakeover

.PHONY: help build demo test lint unit kernel takeover conformance bench bench-docs image tools binaries render clean

help: ## show this list
	@grep -hE '^[a-z-]+:.*##' Makefile | sed -E 's/^([a-z-]+):.*## /  make \1\t/' | expand -t 18

build: ## build bin/fairlead, static
	$(GO_STATIC) -o bin/fairlead ./cmd/fairlead

demo: tools binaries ## see the main job done on a real kernel: about three minutes
	$(GO_STATIC) -o $(BIN)/fairlead-demo ./test/demo
	$(BIN)/vm -- $(BIN)/fairlead-demo -fairlead $(BIN)/fairlead

test: ## run everything that CI runs
	@echo "==> 1/3 lint and vet"; $(MAKE) --no-print-directory lint
	@echo "==> 2/3 unit tests, with the race detector"; $(MAKE) --no-print-directory unit
	@echo "==> 3/3 tests on a real kernel, with a real API server"; $(MAKE) --no-print-directory kernel
	@echo "==> all passed"

lint: $(LINT) ## check formatting, vet, and the rules of .golangci.yml
	@test -z "$$(gofmt -l $$(git ls-files '*.go'))" || { echo "gofmt would change:"; gofmt -l $$(git ls-files '*.go'); exit 1; }
	go vet ./...
	cd test/tools/render && go vet ./...
	cd test/tools/prometheus && go vet ./...
	cd test/tools/page && go vet ./...
	GOOS=darwin go vet ./...
	$(LINT) run --allow-parallel-runners ./...

unit: tools ## run the tests that need no kernel
	go test -race ./...
	cd test/tools/render && go test -count=1 ./...
	cd test/tools/prometheus && go test -count=1 ./...
	cd test/tools/page && go test -count=1 ./...

kernel: tools binaries render ## run the kernel, packet, end-to-end and takeover tests in one VM
	@for p in $(KERNEL_PACKAGES); do \
		p=$${p%%=*}; \
		echo "building the tests of $$p"; \
		CGO_ENABLED=0 go test -c -o $(CACHE)/test/$${p#./}.test $$p; \
	done
	$(GO_STATIC) -o $(BIN)/fairlead-demo ./test/demo
	@run() { \
		FAIRLEAD_TEST_BIN=$(BIN)/fairlead FAIRLEAD_TEST_RENDER=$(BIN)/render $(BIN)/cluster -peers -- \
			$(BIN)/vm -timeout 75m -- bash test/kernel.sh $(KERNEL_PACKAGES); \
	}; \
	run || { status=$$?; [ $$status = $(FROZEN) ] || exit $$status; \
		echo "the virtual machine stood still, which tells nothing about what it ran: once more, in a new one"; run; }

conformance: tools binaries ## measure Fairlead and kube-proxy's modes, and write docs/conformance.md
	CGO_ENABLED=0 go test -c -o $(CACHE)/test/e2e.test ./test/e2e
	@rm -rf $(CACHE)/results && mkdir -p $(CACHE)/results
	FAIRLEAD_TEST_BIN=$(BIN)/fairlead FAIRLEAD_VM_RESULTS=$(CACHE)/results $(BIN)/cluster -peers -- \
		$(BIN)/vm -timeout 3h -- bash test/conformance.sh $(CACHE)/test/e2e.test '$(ROWS)' $(PROXIES)
	go run ./test/conformance $(CACHE)/results/conformance-*.log

takeover: tools binaries ## swap Fairlead and kube-proxy under traffic, and write docs/results/takeover.json
	CGO_ENABLED=0 go test -c -o $(CACHE)/test/e2e.test ./test/e2e
	@rm -rf $(CACHE)/results/takeover && mkdir -p $(CACHE)/results/takeover
	FAIRLEAD_TEST_BIN=$(BIN)/fairlead FAIRLEAD_VM_RESULTS=$(CACHE)/results/takeover $(BIN)/cluster -peers -- \
		$(BIN)/vm -timeout 1h -- bash test/takeover.sh $(CACHE)/test/e2e.test '$(TAKEOVER)'
	test/takeover-results.sh $(CACHE)/results/takeover >docs/results/takeover.json

bench: tools binaries ## measure Fairlead beside kube-proxy and the floor: more than an hour; BENCH="-quick" and other flags
	$(GO_STATIC) -o $(BIN)/bench ./test/bench
	$(BIN)/bench $(BENCH)

bench-docs: ## write docs/benchmarks.md out of the latest result in docs/results
	cd test/tools/plot && CGO_ENABLED=0 go build -trimpath -o $(BIN)/plot .
	go run ./test/bench docs -plot $(BIN)/plot

image: ## build the container image IMAGE with docker, offline but for the base images
	go mod download
	docker build -f deploy/image/Dockerfile --build-context modules=$$(go env GOMODCACHE)/cache/download \
		--build-arg VERSION=$(VERSION) -t $(IMAGE) .

tools: ## install the Debian packages that are missing
	@test/install.sh

binaries:
	@$(GO_STATIC) -o $(BIN)/fairlead ./cmd/fairlead
	@$(GO_STATIC) -o $(BIN)/vm ./test/vm
	@$(GO_STATIC) -o $(BIN)/cluster ./test/cluster

render:
	@cd test/tools/render && CGO_ENABLED=0 go build -trimpath -ldflags "-s -w" -o $(BIN)/render .

$(LINT):
	@echo "building golangci-lint (a minute or two, once)"
	cd test/tools/lint && CGO_ENABLED=0 go build -trimpath -o $@ $(LINT_MODULE)/cmd/golangci-lint

clean: ## forget the cache folder: kernel, API server, tools
	rm -rf bin $(CACHE)
