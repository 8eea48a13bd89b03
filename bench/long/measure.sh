# Owns how things are measured: rates, latencies and medians. Sourced by ../long.sh.
# shellcheck shell=bash disable=SC2154

# Of rates, in seconds
window=5

# bench SYNC CLIENTS OPTION…: pgbench as everywhere here
bench() {
    PGOPTIONS=${sync_options[$1]} "$bin/pgbench" --no-vacuum --protocol prepared --client "$2" --jobs 1 "${@:3}"
}

# rate SYNC CLIENTS SECONDS FILE OPTION…: transactions a second
rate() {
    local report
    report=$(bench "$1" "$2" --time "$3" --file "$4" "${@:5}" 2>&1) || echo "gave up: $4 ($2 clients)" >&2
    awk '/^tps/ { print $3 }' <<<"$report"
}

middle() { grep . | sort -n | awk '{ v[NR] = $1 } END { print v[int((NR + 1) / 2)] }'; }

# percentiles FROM TO FILE…: p50, p95, p99 and worst in ms of what pgbench logged between two moments (seconds of the epoch)
percentiles() { python3 long/percentiles.py "$@"; }

# load CANDIDATE SECONDS: eight clients claim and finish one job at a time, without waiting for the disk. Prints "second rate"
# each WINDOW seconds; latencies are in $scratch/CANDIDATE.*
load() {
    rm -f "$scratch/$1".*
    if [[ $1 == pgq ]]; then
        load_pgq "$2"
        return
    fi
    bench off 8 --time "$2" --progress "$window" --define 'outcomes=[]' --log --log-prefix "$scratch/$1" \
        --sampling-rate 0.2 --file "$(script claim_one "${claims[$1]}")" 2>&1 >/dev/null |
        awk -v name="$1" '/^progress/ { print $2, $4 }
            /aborted|fatal|FATAL/ { print name ": " $0 >"/dev/stderr" }'
}

# PgQ is a log: eight clients write events one at a time, and one consumer reads them in batches. A rate is that of events
# whose batch is finished; a tick closes one each second, as its daemon does.
load_pgq() {
    local start second left now before
    local position="SELECT tick_event_seq FROM pgq.subscription JOIN pgq.tick
                        ON (tick_queue, tick_id) = (sub_queue, sub_last_tick)"
    bench off 8 --time "$1" --file "$(script create_job pgq)" >/dev/null 2>&1 &
    bench off 1 --time "$1" --file "$(script read_batch pgq)" >/dev/null 2>&1 &
    { echo 'SELECT pgq.ticker() \watch 1' | timeout "$1" "$bin/psql" --no-psqlrc --quiet >/dev/null || true; } &
    start=$(date +%s%N)
    before=$(sql --command "$position")
    for ((second = window; second <= $1; second += window)); do
        left=$(((start + second * 1000 * 1000 * 1000 - $(date +%s%N)) / 1000 / 1000))
        if ((left > 0)); then sleep "$((left / 1000)).$(printf %03d $((left % 1000)))"; fi
        now=$(sql --command "$position")
        echo "$second $(((now - before) / window))"
        before=$now
    done
    wait
}
