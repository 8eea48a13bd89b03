# The door to everything: each target does the set-up it needs, and a second run does not do it again.
# Another server than the default: make test PG=17. What each target does is in the script that it calls.

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-long install bench bench-long lint fmt psql clean
SHELL := bash

help: ## this list
	@sed -nE 's/^([a-z-]+):[^#]*## (.*)/  make \1\t\2/p' Makefile | expand -t 18

setup: ## install what this machine lacks (the others do it themselves)
	@pgrx-config/setup.sh

demo: ## a tour on a private server; KEEP=1 leaves that running
	@demo/run.sh

test: ## all tests, closed by one line
	@pgrx-config/test.sh

test-long: install ## the long form of what kills, crashes and tries at random
	@source pgrx-config/env.sh && FOREMAN_LONG=1 cargo test -p foreman-tests --test sessions -- --nocapture \
	    chaos:: protocol_model:: plans::
	@source pgrx-config/env.sh && cargo test -p foreman-model -- --ignored

install: ## put the release build into the server's folders
	@pgrx-config/install.sh

bench: ## calls, claims and wakes beside the same by bare SQL, plpgsql, SKIP LOCKED and NOTIFY
	@bench/run.sh

bench-long: ## the same for hours: old transactions, backlogs, other job systems; with plots (bench/README.md)
	@bench/long.sh

lint: setup ## formatting, clippy and shellcheck, warnings denied
	@source pgrx-config/env.sh && cargo fmt --all --check && \
	    cargo clippy --workspace --all-targets --no-default-features --features "pg$$PG" -- -D warnings
	@if command -v shellcheck >/dev/null; then shellcheck -x .ci/run $$(find . -name '*.sh' -not -path './.build/*' \
	    -not -path './target/*' -not -path '*/node_modules/*'); else echo 'shellcheck is not installed: left out'; fi

fmt: ## format the Rust sources
	@cargo fmt --all

psql: ## a shell on the demo's server
	@demo/psql.sh

clean: ## remove private servers and all that was built, but not the tools
	@shopt -s nullglob; for cluster in .build/clusters/*; do pgrx-config/cluster.sh remove "$${cluster##*/}" || exit; done
	@rm -rf target .build/log .build/regress .build/isolation .build/stamps/install-*
