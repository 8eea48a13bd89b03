# Owns what it costs to ask for health, and whom it slows down. Sourced by run.sh, whose cluster and settings it uses.
#
# Prints milliseconds of the first db_health() of a session, which plans all its statements, and of later ones, beside 50 and
# 500 sessions that idle, in a database with 5,000 tables and 10,000 indexes; how long all slow checks take there; and what
# becomes of the rate of claims while somebody asks once a second.
# shellcheck shell=bash disable=SC2154

health_log=$(mktemp -d)

# crowd SESSIONS: so many that do nothing
crowd() {
    "$bin/pgbench" --no-vacuum --client "$1" --jobs 1 --time 86400 --file <(echo "SELECT 1; \\sleep 86400 s") many_tables \
        >/dev/null 2>&1 &
    crowd_pid=$!
    until (($(psql --no-psqlrc --tuples-only --command 'SELECT count(*) FROM pg_stat_activity') >= $1)); do sleep 0.2; done
}

# calls STATEMENT SESSIONS CALLS: microseconds of each call, a line a session, the first call first
calls() {
    local session
    for ((session = 0; session < $2; session++)); do
        rm -f "$health_log"/*
        "$bin/pgbench" --no-vacuum --client 1 --transactions "$3" --log --log-prefix "$health_log/log" \
            --file <(echo "$1") many_tables >/dev/null 2>&1
        awk '{ print $3 }' "$health_log"/log* | paste -sd' '
    done
}

# of_all PERCENT: of numbers on lines, in ms
of_all() { sort -n | awk -v p="$1" '{ v[NR] = $1 } END { i = int(NR * p / 100 + 0.999); printf "%.1f", v[i < 1 ? 1 : i] / 1000 }'; }

psql --no-psqlrc --quiet --command 'CREATE DATABASE many_tables TEMPLATE postgres'
PGDATABASE=many_tables psql --no-psqlrc --quiet --tuples-only >/dev/null <<'SQL'
SELECT format('CREATE TABLE t%s (id int PRIMARY KEY, n int); CREATE INDEX ON t%s (n)', n, n)
FROM generate_series(1, 5000) AS n \gexec
ANALYZE
SQL

echo
echo 'health: ms of one db_health(), 5,000 tables'
printf '%-10s %12s %12s %12s\n' sessions 'first, p50' 'later, p50' 'later, p95'
for sessions in 50 500; do
    crowd $sessions
    found=$(calls 'SELECT foreman.db_health();' 10 21)
    printf '%-10d %12s %12s %12s\n' $sessions "$(cut -d' ' -f1 <<<"$found" | of_all 50)" \
        "$(cut -d' ' -f2- <<<"$found" | tr ' ' '\n' | of_all 50)" "$(cut -d' ' -f2- <<<"$found" | tr ' ' '\n' | of_all 95)"
    kill $crowd_pid
    wait $crowd_pid 2>/dev/null || true
done
echo 'to reach: 10 ms with 50 sessions'
echo "all slow checks (refresh_health): $(calls 'SELECT foreman.refresh_health();' 3 1 | of_all 50) ms"

declare -A asked=([no]='' [yes]='')
for ((round = 0; round < rounds; round++)); do
    for ask in no yes; do
        psql --no-psqlrc --quiet --set jobs=$((seconds * 3 * 12000)) --set priorities=1 --file fill.foreman.sql >/dev/null
        if [[ $ask == yes ]]; then
            "$bin/pgbench" --no-vacuum --client 1 --rate 1 --time $((seconds * 3)) --file <(echo 'SELECT foreman.db_health();') \
                >/dev/null 2>&1 &
        fi
        asked[$ask]+="$(seconds=$((seconds * 3)) rate claim_one two_calls 8 off)"$'\n'
        wait
    done
done
for ask in no yes; do asked[$ask]=$(printf %s "${asked[$ask]}" | middle); done
awk -v no="${asked[no]}" -v yes="${asked[yes]}" 'BEGIN {
    printf "claims a second by 8 clients: %.0f; while somebody asks for health once a second: %.0f, %.3fx\n", no, yes, yes / no
}'
echo 'to reach: 0.98x'
rm -rf "$health_log"
