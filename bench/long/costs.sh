# Owns what jobs cost beside time: log written, memory of a backend, CPU of sessions that wait. Sourced by ../long.sh.
# shellcheck shell=bash disable=SC2154

scenario_wal() {
    local candidate jobs=20000 payload created worked
    payload=$(printf 'x%.0s' {1..182})
    echo 'WAL, in bytes per job with a payload of 200 bytes, without full-page images, one at a time by 8 clients'
    printf '%-26s %9s %22s %9s\n' '' created 'claimed and finished' together
    for candidate in $(taking_part foreman foreman_one foreman_plain hand_move hand_in_place \
        graphile pg_boss procrastinate); do
        use "$candidate"
        sql --command 'ALTER SYSTEM SET full_page_writes = off' --command 'SELECT pg_reload_conf()' >/dev/null
        fill "$candidate" 0
        sed "s/user@example.org/$payload/" "$(script create_job "${table[$candidate]}")" >"$scratch/create.sql"
        created=$(wal_per_transaction $jobs "$scratch/create.sql")
        # All but the last ones, so that nobody finds nothing.
        worked=$(wal_per_transaction $((jobs - 800)) "$(script claim_one "${claims[$candidate]}")")
        printf '%-26s %9d %22d %9d\n' "${label[$candidate]}" "$created" "$worked" $((created + worked))
        fill "$candidate" 0
        sql --command 'ALTER SYSTEM RESET full_page_writes' --command 'SELECT pg_reload_conf()' >/dev/null
    done
}

# wal_per_transaction COUNT FILE
wal_per_transaction() {
    local before
    before=$(sql --command 'SELECT pg_current_wal_insert_lsn()')
    bench off 8 --transactions $(($1 / 8)) --define 'outcomes=[]' --file "$2" >/dev/null 2>"$scratch/wal-errors" ||
        tail -n 1 "$scratch/wal-errors" >&2
    sql --set before="$before" --set count="$1" <<<"SELECT round((pg_current_wal_insert_lsn() - :'before') / :count)"
}

scenario_memory() {
    local candidate count=${CALLS:-1000000}
    echo "private memory of one backend (RssAnon) over $count calls, a tenth of them refused: kB"
    printf '%-26s %12s %12s %12s\n' '' 'after 10 %' 'at the end' 'at most'
    for candidate in $(taking_part foreman foreman_plain); do
        use "$candidate"
        fill "$candidate" 0
        # A transaction of it is ten calls.
        bench off 1 --transactions $((count / 10)) --file long/ten_calls.sql >/dev/null 2>"$scratch/calls-errors" ||
            tail -n 1 "$scratch/calls-errors" >&2 &
        memory_until_the_end $! | awk -v name="${label[$candidate]}" '{ kb[NR] = $1; if ($1 > most) most = $1 } END {
            printf "%-26s %12d %12d %12d\n", name, kb[int(NR / 10) + 1], kb[NR], most
        }'
    done
}

# memory_until_the_end PGBENCH: what its backend has, each second, for as long as it runs
memory_until_the_end() {
    local backend='' kb
    while kill -0 "$1" 2>/dev/null; do
        sleep 1
        if [[ -z $backend ]]; then
            backend=$(sql --command "SELECT pid FROM pg_stat_activity WHERE application_name = 'pgbench'")
        fi
        kb=$(awk '/^RssAnon/ { print $2 }' "/proc/$backend/status" 2>/dev/null) || return 0
        if [[ -n $kb ]]; then echo "$kb"; fi
    done
}
