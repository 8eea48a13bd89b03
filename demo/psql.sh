#!/usr/bin/env bash
# Owns the shell on the demo's server. It leaves that as it was found: running, or stopped.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/../pgrx-config/env.sh"

cluster=$root/pgrx-config/cluster.sh
if [[ ! -e $root/.build/clusters/demo ]]; then
    echo 'There is no demo server yet: make demo' >&2
    exit 1
fi
if ! "$cluster" status demo; then
    trap '"$cluster" stop demo' EXIT
    "$cluster" start demo
fi
eval "$("$cluster" env demo)"
"$("$PG_CONFIG" --bindir)/psql"
