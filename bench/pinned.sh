# Owns what becomes of claims while an old transaction keeps dead rows from being cleaned up: ours beside the queue by hand
# of by_hand.sql. Sourced by run.sh, whose cluster it uses.
#
# Prints jobs per second of 8 clients, claimed and finished one at a time from a full queue, in the first 5 s and in the last
# 5 s of SECONDS_PINNED (20), and their ratio.
# shellcheck shell=bash disable=SC2154

pinned=${SECONDS_PINNED:-20}

# claim_rates VARIANT: the rates of the first and the last five seconds
claim_rates() {
    PGOPTIONS='-c synchronous_commit=off' "$bin/pgbench" --no-vacuum --protocol prepared --client 8 --jobs 1 \
        --time "$pinned" --progress 1 --file "claim_one.$1.sql" 2>&1 >/dev/null | awk '/^progress/ { rate[++n] = $4 } END {
            for (i = 1; i <= 5; i++) { first += rate[i] / 5; last += rate[n - 5 + i] / 5 }
            print first, last
        }'
}

echo
echo 'claimed and finished one at a time beside an old snapshot: jobs per second'
printf '%-10s %10s %10s %8s\n' variant 'first 5 s' 'last 5 s' ratio
for variant in two_calls move; do
    table=$variant
    if [[ $variant == *_call* ]]; then table=foreman; fi
    psql --no-psqlrc --quiet --set jobs=$((pinned * 10000)) --set priorities=1 --file "fill.$table.sql" >/dev/null
    coproc old { psql --no-psqlrc --quiet --tuples-only --no-align; }
    echo 'BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1;' >&"${old[1]}"
    read -r <&"${old[0]}"
    read -r first last < <(claim_rates "$variant")
    old_pid_kept=$old_PID
    eval "exec ${old[1]}>&-"
    wait "$old_pid_kept"
    awk -v variant="$variant" -v first="$first" -v last="$last" \
        'BEGIN { printf "%-10s %10.0f %10.0f %7.2fx\n", variant, first, last, last / first }'
done
echo 'to reach: 0.90x'
