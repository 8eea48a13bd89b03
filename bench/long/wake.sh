# Owns how late a worker that waits gets a job, and what others that wait compute meanwhile: ../wake.rs with more sessions,
# and with jobs that come for other queues. Sourced by ../long.sh.
# shellcheck shell=bash disable=SC2154

# waking JOBS SYNC OTHERS [WAY]
waking() { cargo run --quiet --package foreman-tests --bin wake -- "$@"; }

waking_heading() { printf '%-18s %7s %5s %10s %10s %10s %10s\n' way others sync p50 p99 worst 'idle CPU'; }

scenario_idle() {
    use foreman
    # It looks for all who wait, and comes within a minute to a database that is new.
    until (($(sql --command 'SELECT count(*) FROM foreman.worker_status') > 0)); do sleep 1; done
    echo "what ${WAITING:-500} sessions that wait compute while nothing happens (idle CPU: of one core), and beside them how"
    echo 'long a job takes from its creation to its claim: ms'
    waking_heading
    waking $((seconds * 50)) off "${WAITING:-500}"
}

scenario_wake() {
    local sync way begin
    local -A made=(
        [wait_for_jobs]="SELECT count(*) FROM foreman.live_job"
        [listen/notify]="SELECT count(*) FROM hand.job_in_place WHERE queue_id > 100"
    )
    use foreman
    echo 'from the creation of a job to its claim by the one worker that waits for it: ms'
    waking_heading
    for sync in off on; do waking $((seconds * 50)) $sync 0; done
    echo 'the same, while 5,000 jobs a second are made for other queues, by NOTIFY where that is the way'
    for way in wait_for_jobs listen/notify; do
        fill foreman 0
        begin=$SECONDS
        noise $way &
        # A worker's queue is empty, those of the others fill up.
        sleep 2
        waking $((seconds * 50)) off 0 $way
        kill $!
        wait $! 2>/dev/null || true
        echo "$(($(sql --command "${made[$way]}") / (SECONDS - begin))) a second were made"
    done
}

# noise WAY: the jobs of others until it is killed
noise() {
    local file=long/create_other.foreman.sql
    if [[ $1 == listen/notify ]]; then file=long/create_other.notify.sql; fi
    PGOPTIONS='-c synchronous_commit=off' exec "$bin/pgbench" --no-vacuum --protocol prepared --client 8 --jobs 1 \
        --time 86400 --rate 5000 --file $file >/dev/null 2>&1
}
