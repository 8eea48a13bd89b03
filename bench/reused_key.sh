# Owns what becomes of a unique key that is used again and again while an old transaction keeps dead rows from being
# cleaned up: ours beside a queue by hand whose key is a unique index. Sourced by run.sh, whose cluster it uses.
#
# Prints jobs per second of one client in the first 5 s and in the last 5 s of SECONDS_PINNED (20), and their ratio: of
# jobs that are created and ended, and of jobs that are claimed in between.
# shellcheck shell=bash disable=SC2154

pinned=${SECONDS_PINNED:-20}

# pinned_rates CALL VARIANT: the rates of the first and the last five seconds
pinned_rates() {
    PGOPTIONS='-c synchronous_commit=off' "$bin/pgbench" --no-vacuum --protocol prepared --client 1 --time "$pinned" \
        --progress 1 --file "$1.$2.sql" 2>&1 >/dev/null | awk '/^progress/ { rate[++n] = $4 } END {
            for (i = 1; i <= 5; i++) { first += rate[i] / 5; last += rate[n - 5 + i] / 5 }
            print first, last
        }'
}

echo
echo 'one unique key used again and again, beside an old snapshot: jobs per second'
printf '%-24s %8s %10s %10s %8s\n' call variant 'first 5 s' 'last 5 s' ratio
for call in reused_key reused_key_claimed; do
    for variant in foreman by_hand; do
        if [[ ! $variant =~ ${CANDIDATES:-.} ]]; then continue; fi
        psql --no-psqlrc --quiet --file reused_key.setup.sql 2>/dev/null
        # It has its snapshot once it has answered, and keeps it until its input ends.
        coproc old { psql --no-psqlrc --quiet --tuples-only --no-align; }
        echo 'BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1;' >&"${old[1]}"
        read -r <&"${old[0]}"
        read -r first last < <(pinned_rates "$call" "$variant")
        old_pid_kept=$old_PID
        eval "exec ${old[1]}>&-"
        wait "$old_pid_kept"
        awk -v call="$call" -v variant="$variant" -v first="$first" -v last="$last" \
            'BEGIN { printf "%-24s %8s %10.0f %10.0f %7.2fx\n", call, variant, first, last, last / first }'
    done
done
echo 'to reach: 0.90x'
