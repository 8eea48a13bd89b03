# Owns the first claims after a crash, where much is dead that vacuum may not remove: a prepared transaction, which outlives
# the crash, keeps it. Sourced by ../long.sh.
# shellcheck shell=bash disable=SC2034,SC2154

scenario_crash() {
    local dead=$backlog saved candidate=foreman
    echo "claims after a crash with $dead dead entries below the floors, $pace a second by 8 clients: the first of all, by one"
    echo 'client alone, then percentiles: ms'
    printf '%-26s %9s %9s %9s %9s %9s %9s\n' '' first p50 p95 p99 worst 'timed out'
    use $candidate
    bury "$dead"
    for saved in yes no; do
        fill_without_truncate 100000
        until_seen
        if [[ $saved == no ]]; then sql --command 'TRUNCATE foreman.saved_floor'; fi
        "$cluster" crash long-preloaded
        "$cluster" start long-preloaded
        eval "$("$cluster" env long-preloaded)"
        host[preloaded]=$PGHOST
        claims_after_a_crash $candidate "floors saved: $saved"
    done
    sql --command "ROLLBACK PREPARED 'bench'"
    fill $candidate 0
}

# bury DEAD: so many dead entries of jobs that were ready between two hours and a minute ago
bury() {
    fill foreman 1000
    sql --command 'BEGIN' --command 'SELECT pg_current_xact_id()' --command "PREPARE TRANSACTION 'bench'" >/dev/null
    sql --set dead="$1" >/dev/null <<'SQL'
INSERT INTO foreman.live_job (id, queue_id, run_at, ready_at, created_at, max_attempts, priority, payload, metadata)
SELECT nextval('foreman.job_id_seq'), q.id, t, t, t, 25, 5 + n % 3, '{}', '{}'
FROM foreman.queue AS q, generate_series(1, :dead) AS n,
     LATERAL (SELECT clock_timestamp() - interval '2 h' + n * (interval '110 min' / :dead) AS t) AS c
WHERE q.name = 'bench';
DELETE FROM foreman.live_job;
CHECKPOINT;
SQL
}

fill_without_truncate() {
    sed '/^TRUNCATE/d; /^VACUUM/d' "$(script fill foreman)" >"$scratch/more.sql"
    sql --set jobs="$1" --set priorities=3 --file "$scratch/more.sql" >/dev/null
}

# Claims go on until a look back has come by all that is dead, and upkeep has saved the floors.
until_seen() {
    local saved='SELECT count(*) FROM foreman.saved_floor'
    sql --command 'TRUNCATE foreman.saved_floor'
    bench off 2 --time 86400 --rate 50 --file "$(claim_script foreman)" >/dev/null 2>&1 &
    until (($(sql --command "$saved") > 0)); do sleep 1; done
    kill $!
    wait $! 2>/dev/null || true
}

# claims_after_a_crash CANDIDATE WHAT
claims_after_a_crash() {
    local first late
    rm -f "$scratch/first".* "$scratch/claims".*
    bench off 1 --transactions 1 --log --log-prefix "$scratch/first" --file "$(claim_script "$1")" >/dev/null
    first=$(percentiles 0 1e12 "$scratch/first".*)
    bench off 8 --time "$seconds" --rate "$pace" --log --log-prefix "$scratch/claims" --file "$(claim_script "$1")" >/dev/null
    late=$(sql --command "SELECT coalesce(sum((errors_by_code ->> 'DB_TIMEOUT_ERROR')::bigint), 0)
        FROM foreman.call_stats WHERE function = 'claim_jobs'")
    echo "$2 $first $(percentiles 0 1e12 "$scratch/claims".*) $late" |
        awk '{ printf "%-26s %9.1f %9.2f %9.2f %9.2f %9.2f %9d\n", $1 " " $2 " " $3, $4, $8, $9, $10, $11, $12 }'
}
