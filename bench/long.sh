#!/usr/bin/env bash
# Owns the long comparison: what claims, enqueues, waits and reads of ours cost beside an old transaction, a backlog and a
# history, and what other queues do there. README.md of this folder says what each scenario shows and who the others are.
#
#   ONLY=pattern         scenarios (pinned, backlog, …)        CANDIDATES=pattern   who takes part
#   ROUNDS (3)           A, B, A, B …; medians are printed     ROUNDS_PINNED (1)    the same where a round takes minutes
#   SECONDS_EACH (10)    a round of what is short              SECONDS_FREE (60), SECONDS_PINNED (600), SECONDS_AFTER (120)
#   BACKLOG (10000000), HISTORY (20000000), CALLS (1000000), WAITING (500), IMPORT (100000), DEAD (100000)
#   MAX_WAL_SIZE (16GB)  so much room WAL takes
#   RESULTS (bench/results)   where each scenario leaves its table, figures and plots
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/../pgrx-config/env.sh"
cd "$root/bench"
only=${ONLY:-.} rounds=${ROUNDS:-3} rounds_pinned=${ROUNDS_PINNED:-1}
seconds=${SECONDS_EACH:-10} free=${SECONDS_FREE:-60} pinned=${SECONDS_PINNED:-600} after=${SECONDS_AFTER:-120}
backlog=${BACKLOG:-10000000} history=${HISTORY:-20000000}
results=${RESULTS:-$root/bench/results}
export PYTHONDONTWRITEBYTECODE=1

# shellcheck source-path=SCRIPTDIR
{
    source sync.sh
    source long/tools.sh
    source long/server.sh
    source long/candidates.sh
    source long/peers.sh
    source long/measure.sh
    source long/pinned.sh
    source long/vacuum.sh
    source long/latency.sh
    source long/crash.sh
    source long/clients.sh
    source long/costs.sh
    source long/wake.sh
    source long/enqueue.sh
    source long/reads.sh
    source long/space.sh
}

# What goes on is told to who looks, and not in the tables.
exec 3>&2

# Its table goes to the screen and to RESULTS, with what it was made of.
run_scenario() {
    local name=$1
    echo
    {
        echo "# $name"
        echo
        echo '```'
        "scenario_$name"
        echo '```'
        echo
        about_the_run
    } 2>&1 | tee "$scratch/$name.md"
    mv "$scratch/$name.md" "$results/$name.md"
}

install_what_is_missing
"$root/pgrx-config/install.sh"
mkdir -p "$results"
start_servers
set_up_candidates
for name in pinned pinned_busy several_queues heartbeats between_vacuums reused_key space backlog history urgent crash clients wal memory idle wake enqueue reads; do
    if [[ $name =~ $only ]]; then run_scenario "$name"; fi
done
