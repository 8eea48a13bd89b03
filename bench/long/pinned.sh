# Owns what becomes of claims while an old transaction keeps dead rows from being cleaned up, and after it: for each
# candidate a time without, SECONDS_PINNED beside a REPEATABLE READ transaction, and SECONDS_AFTER. Sourced by ../long.sh.
# shellcheck shell=bash disable=SC2154

scenario_pinned() {
    echo 'claimed and finished one at a time by 8 clients, three priorities, synchronous_commit off: jobs per second'
    beside_an_old_snapshot pinned '' idle \
        foreman foreman_one foreman_plain hand_move hand_in_place graphile pg_boss procrastinate pgq
}

scenario_pinned_busy() {
    echo "the same, while one claim stays open in another transaction and ${IMPORT:-100000} jobs of one transaction arrive" \
        'in the middle'
    beside_an_old_snapshot pinned_busy ', an open claim and an import' busy foreman foreman_plain hand_move
}

scenario_several_queues() {
    echo 'the same for claims that name five queues: claim_jobs_from, and by hand with an index across queues'
    beside_an_old_snapshot several_queues ', of five queues' idle foreman foreman_five hand_move hand_five
}

scenario_heartbeats() {
    echo 'the same while 1,000 jobs are held, each of which sends a heartbeat once a second on the average'
    beside_an_old_snapshot heartbeats ', 1,000 heartbeats a second' heartbeating foreman foreman_plain hand_move
}

# One client does it, since those who wait for a key that is taken would be what is measured.
scenario_reused_key() {
    use foreman
    # shellcheck source=../reused_key.sh
    SECONDS_PINNED=$pinned source reused_key.sh
}

# beside_an_old_snapshot NAME TITLE COMPANY CANDIDATE…: COMPANY is what else goes on, TITLE says it on the plots
beside_an_old_snapshot() {
    local name=$1 title=$2 company=$3 round candidate taking
    mapfile -t taking < <(taking_part "${@:4}")
    echo 'candidate,round,second,rate' >"$results/$name.csv"
    echo 'candidate,round,second,pages' >"$results/$name.pages.csv"
    echo 'candidate,round,phase,p50,p95,p99,worst' >"$results/$name.latency.csv"
    for ((round = 1; round <= rounds_pinned; round++)); do
        for candidate in "${taking[@]}"; do
            timeline "$name" "$candidate" "$round" "$company"
        done
    done
    for candidate in "${taking[@]}"; do echo "$candidate=${label[$candidate]}"; done |
        python3 long/pinned.py "$results/$name" "$title" "$free" "$pinned" "$window"
    to_png "$results/$name".*svg
}

# timeline NAME CANDIDATE ROUND COMPANY: one run, into the two tables
timeline() {
    local start total=$((free + pinned + after))
    echo "… $1, round $3: $2" >&3
    use "$2"
    fill "$2" $((total * most[$2]))
    start=$(date +%s)
    load "$2" "$total" >"$scratch/rates" &
    pages_of_each "$total" >"$scratch/pages" &
    sleep "$free"
    "$4" "$2"
    # It sleeps with its snapshot, and then it is over.
    sql --command 'BEGIN ISOLATION LEVEL REPEATABLE READ' --command "SELECT pg_sleep($pinned)" --command COMMIT >/dev/null
    wait
    awk -v who="$2,$3" '{ print who "," $1 "," $2 }' "$scratch/rates" >>"$results/$1.csv"
    awk -v who="$2,$3" '{ print who "," $1 "," $2 }' "$scratch/pages" >>"$results/$1.pages.csv"
    latencies_of "$2" "$3" "$start" >>"$results/$1.latency.csv"
    # The next one shall not find its rows in the caches.
    fill "$2" 0
}

# pages_of_each SECONDS: "second pages" each WINDOW seconds, the pages that a transaction has looked at: what is walked in vain
# shows there, and what else the machine has to do does not
pages_of_each() {
    local second transactions pages now_transactions now_pages
    local counted="SELECT xact_commit || ' ' || blks_hit + blks_read FROM pg_stat_database WHERE datname = current_database()"
    read -r transactions pages < <(sql --command "$counted")
    for ((second = window; second <= $1; second += window)); do
        sleep "$window"
        read -r now_transactions now_pages < <(sql --command "$counted")
        echo "$second $(((now_pages - pages) / (now_transactions - transactions + 1)))"
        ((transactions = now_transactions, pages = now_pages))
    done
}

# latencies_of CANDIDATE ROUND START: percentiles before, in the last minute of the old snapshot, and in the last of all
latencies_of() {
    local begin end phase minute
    if ! compgen -G "$scratch/$1.*" >/dev/null; then return; fi
    for phase in "before 0 $free" "beside $free $((free + pinned))" "after $((free + pinned)) $((free + pinned + after))"; do
        read -r phase begin end <<<"$phase"
        minute=$(((end - begin) / 2))
        if ((minute > 60)); then minute=60; fi
        echo "$1,$2,$phase,$(percentiles $(($3 + end - minute)) $(($3 + end)) "$scratch/$1".* | tr ' ' ',')"
    done
}

idle() { :; }

# busy CANDIDATE: a claim that stays open as long as the old snapshot, and an import that commits in the middle of that
busy() {
    { echo 'BEGIN;' && cat "$(claim_script "$1")" && echo "SELECT pg_sleep($pinned);"; } | sql >/dev/null &
    sql --set jobs="${IMPORT:-100000}" --set seconds=$((pinned / 2)) --file "$(script import "${table[$1]}")" >/dev/null &
}

# heartbeating CANDIDATE: a thousand claims that are kept, from now on to the end
heartbeating() {
    sql --file "$(script hold "${table[$1]}")"
    bench off 4 --time $((pinned + after)) --rate 1000 --file "$(script heartbeat "${table[$1]}")" 2>&1 >&3 |
        awk -v who="$1" '/aborted|fatal|FATAL/ { print who ": " $0 }' >&2 &
}
