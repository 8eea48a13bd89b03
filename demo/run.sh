#!/usr/bin/env bash
# Owns the tour: a private server, the extension in it, and the scripts of this folder in the order of their numbers.
# What needs several sessions at once is arranged here, and each step waits for a fact that the server reports.
# KEEP=1 leaves the server running.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
"$here/../pgrx-config/setup.sh"
source "$here/../pgrx-config/env.sh"
"$root/pgrx-config/install.sh"

cluster=$root/pgrx-config/cluster.sh
psql=("$("$PG_CONFIG" --bindir)/psql" --no-psqlrc --quiet --no-align --tuples-only --set ON_ERROR_STOP=1)
work=$(mktemp -d)
sessions=()
finish() {
    local status=$?
    trap - EXIT
    # They end by themselves when the tour is through; an interrupted one leaves some.
    if ((${#sessions[@]} > 0)); then kill "${sessions[@]}" 2>/dev/null || true; fi
    rm -rf "$work"
    if [[ $status != 0 || -z ${KEEP:-} ]]; then "$cluster" stop demo; fi
    exit "$status"
}
trap finish EXIT
die() {
    echo "the demo stops: $1" >&2
    exit 1
}

bold='' plain=''
if [[ -t 1 ]]; then bold=$'\e[1m' plain=$'\e[0m'; fi
# A script as it was typed, its comments as captions, each answer below its call. psql leaves empty lines out, so they
# are put where a reader wants them: around captions and after a document.
show() {
    local script=$1
    shift
    "${psql[@]}" --echo-all --file "$here/$script.sql" "$@" 2>&1 | awk -v bold="$bold" -v plain="$plain" '
        /^-- / { if (!caption && !empty) print ""; print bold $0 plain; caption = 1; empty = 0; next }
        caption { print ""; caption = 0 }
        { print; empty = ($0 == "") }
        /^}/ { print ""; empty = 1 }'
}
show_tables() { show "$1" --pset format=aligned --pset tuples_only=off --pset footer=off; }

ask() { "${psql[@]}" --command "$1"; }
# Half a minute is far more than any of these facts takes.
wait_until() {
    local what=$1 question=$2 tries
    for ((tries = 0; tries < 300; tries++)); do
        if [[ $(ask "$question") == t ]]; then return; fi
        sleep 0.1
    done
    die "$what: not within 30 s"
}

"$cluster" remove demo
# The server keeps 3 of the 43 connections for superusers: 40 make the percentages of part 7 easy to read.
# Without fsync, as the tests' clusters are, no server is healthy.
"$cluster" start demo "shared_preload_libraries = 'pg_foreman'" 'max_connections = 43' 'fsync = on' 'full_page_writes = on'
eval "$("$cluster" env demo)"
printf '\nA private server of PostgreSQL %s runs. It takes no port.\n\n' "$PG"

show 00_install
show 01_jobs
show 02_refusals
show 03_settings
show 04_execute

show 05_deadlock
show 05_deadlock_one >"$work/one" &
sessions+=($!)
show 05_deadlock_two >"$work/two" &
sessions+=($!)
wait "${sessions[@]}" || true
cat "$work"/{one,two}
[[ $(cat "$work"/{one,two} | grep -c '"status": "success"') == 2 ]] || die 'a transfer did not succeed'
cat "$work"/{one,two} | grep -qE '"attempts": [2-9]' || die 'no call was retried'
# A session hands its counts in when it ends, which may be after its client did.
wait_until 'the server has counted the deadlock' \
    'SELECT deadlocks > 0 FROM pg_stat_database WHERE datname = current_database()'
show_tables 05_deadlock_after

mkfifo "$work/holder"
PGAPPNAME=holder "${psql[@]}" <"$work/holder" >/dev/null &
sessions+=($!)
exec 7>"$work/holder"
echo 'BEGIN; UPDATE demo.account SET balance = balance - 1 WHERE id = 1;' >&7
wait_until 'the other session has locked the row' "SELECT EXISTS (SELECT FROM pg_stat_activity
    WHERE application_name = 'holder' AND state = 'idle in transaction')"
show 06_timeout
echo 'COMMIT;' >&7
exec 7>&-
wait "${sessions[-1]}"
show 06_timeout_after

# Sessions that only stay connected, all at one pipe: they end when it is closed.
mkfifo "$work/crowd"
exec 8<>"$work/crowd"
crowd=0
# The one that asks for the document is a connection too.
connect_until() {
    local status=$2
    for (( ; crowd < $1 - 1; crowd++)); do
        PGAPPNAME=crowd "${psql[@]}" <"$work/crowd" >/dev/null 8>&- &
        sessions+=($!)
    done
    wait_until "$crowd sessions are connected" \
        "SELECT count(*) = $crowd FROM pg_stat_activity WHERE application_name = 'crowd'"
    [[ $(ask "SELECT foreman.db_health() ->> 'status'") == "$status" ]] || die "the server is not $status"
}
show 07_health
connect_until 32 degraded
show 07_health_at_80
connect_until 38 unhealthy
show 07_health_at_95
exec 8>&-
wait_until 'the sessions are gone' "SELECT count(*) = 0 FROM pg_stat_activity WHERE application_name = 'crowd'"
show 07_health_after

show 08_workers
# Three workers, each started again when it is killed.
keep_working() {
    trap 'kill %1 2>/dev/null; exit' TERM
    while true; do
        "$here/worker.sh" "${psql[0]}" "$1" &
        wait $! || echo "$1" >>"$work/crashes"
    done
}
touch "$work/crashes"
for number in 1 2 3; do
    # The shell's own word about a killed child is left out.
    keep_working "worker $number" 2>/dev/null &
    sessions+=($!)
done
workers=("${sessions[@]: -3}")
# Drawn anew in place on a terminal, and now and then elsewhere.
queue_now() {
    ask "SELECT format('pending %4s  running %3s  completed %4s  failed %3s  %s', s ->> 'pending', s ->> 'running',
                       s ->> 'completed', s ->> 'failed', repeat('#', ((s ->> 'completed')::int + (s ->> 'failed')::int) / 50))
         FROM foreman.job_stats('render') AS s"
}
echo
for ((tries = 0; tries < 600; tries++)); do
    now=$(queue_now)
    if [[ -t 1 ]]; then
        printf '\r\e[K%s' "$now"
    elif ((tries % 10 == 0)); then
        echo "$now"
    fi
    if [[ $now == 'pending    0  running   0 '* ]]; then break; fi
    sleep 0.2
done
if [[ -t 1 ]]; then echo; else echo "$now"; fi
kill "${workers[@]}"
wait "${workers[@]}" 2>/dev/null || true
echo "Workers that were killed and started again: $(wc -l <"$work/crashes")"
[[ $now == 'pending    0  running   0 '* ]] || die 'not all jobs have ended'
show_tables 08_workers_after

mkfifo "$work/forgotten"
PGAPPNAME=forgotten "${psql[@]}" <"$work/forgotten" >/dev/null 2>&1 &
sessions+=($!)
exec 7>"$work/forgotten"
echo 'BEGIN; UPDATE demo.account SET balance = balance - 1 WHERE id = 1;' >&7
wait_until 'a session has locked the row' "SELECT EXISTS (SELECT FROM pg_stat_activity
    WHERE application_name = 'forgotten' AND state = 'idle in transaction')"
PGAPPNAME=shop "${psql[@]}" --command 'UPDATE demo.account SET balance = balance + 1 WHERE id = 1' >/dev/null &
sessions+=($!)
ask "SELECT foreman.configure_check(name, warn => 1) FROM unnest('{idle_in_transaction,blocked_sessions}'::text[]) AS name" >/dev/null
wait_until 'both are told of' "SELECT count(*) = 2 FROM foreman.health_checks
    WHERE status = 'warn' AND name IN ('idle_in_transaction', 'blocked_sessions')"
show_tables 09_trouble
exec 7>&-
wait "${sessions[-1]}" || die 'the one who waited did not go on'
show_tables 09_trouble_after

echo
if [[ -n ${KEEP:-} ]]; then echo 'The server still runs.'; else echo 'The server is stopped; its data are kept.'; fi
echo '  make psql     opens a shell on it, started if need be'
echo '  make clean    removes it, with all that was built'
