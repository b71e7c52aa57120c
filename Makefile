# Everything a person or a CI machine needs. Two commands matter: `make run` and `make test`.

SHELL := /bin/bash
.DEFAULT_GOAL := help
.PHONY: help run test bindings system-packages toolchains ui lint rust-test policy-test

# Debian and Ubuntu packages: the webview's headers to build, nftables and iproute2 for the sandbox, curl for requests.
PACKAGES := build-essential pkg-config libwebkit2gtk-4.1-dev libayatana-appindicator3-dev librsvg2-dev libxdo-dev \
            nftables iproute2 curl
SUDO := $(shell [ "$$(id -u)" = 0 ] || echo sudo)

help:
	@echo "make run    build what is missing and start Egret on its embedded example"
	@echo "make test   all tests"

system-packages:
	@missing=$$(for package in $(PACKAGES); do \
	    dpkg-query -W -f='$${Status}' $$package 2>/dev/null | grep -q 'ok installed' || echo $$package; done); \
	if [ -n "$$missing" ]; then \
	    echo "==> installing" $$missing; \
	    $(SUDO) apt-get update -qq && DEBIAN_FRONTEND=noninteractive $(SUDO) apt-get install -y -qq $$missing >/dev/null; \
	fi

toolchains:
	@command -v cargo >/dev/null || { echo "Rust 1.95 or newer is needed: https://rustup.rs"; exit 1; }
	@version=$$(rustc --version | cut -d' ' -f2); \
	[ "$$(printf '1.95.0\n%s\n' $$version | sort -V | head -n 1)" = 1.95.0 ] || \
	    { echo "Rust 1.95 or newer is needed, this is $$version: rustup update"; exit 1; }
	@command -v node >/dev/null || { echo "Node.js 20 or newer is needed: https://nodejs.org"; exit 1; }
	@version=$$(node --version | tr -d v | cut -d. -f1); \
	[ $$version -ge 20 ] || { echo "Node.js 20 or newer is needed, this is $$(node --version)"; exit 1; }

ui/node_modules/.package-lock.json: ui/package-lock.json
	@echo "==> installing the window's packages"
	@npm --prefix ui ci --no-audit --no-fund --loglevel=error

ui: toolchains ui/node_modules/.package-lock.json
	@echo "==> building the window"
	@npm --prefix ui run --silent build

lint: system-packages toolchains ui
	@echo "==> formatting and lints"
	@cargo fmt --all --check
	@cargo clippy --workspace --all-targets -- -D warnings
	@cargo check -p proxy-core --no-default-features
	@npm --prefix ui run --silent lint
	@npm --prefix ui run --silent check

rust-test: system-packages toolchains ui
	@echo "==> Rust tests"
	@cargo test --workspace

policy-test: system-packages toolchains
	@echo "==> policy test files"
	@cargo build -p proxy-core
	@target/debug/egret-proxy test tests/scenarios/*.yaml

test: lint rust-test policy-test
	@echo "==> window tests"
	@npm --prefix ui run --silent test
