#!/usr/bin/env bash
# Owns the comparison: our calls beside the same work done bare and by a plpgsql function, in turn, in one run.
#
# Prints calls (for create_jobs: thousands of jobs) per second, the middle one of ROUNDS, and ours as a ratio of each; then
# what claim.sh, pinned.sh, reused_key.sh, wake.sh and health.sh do. SECONDS_EACH (4), ROUNDS (3), ONLY (a pattern of calls; claim,
# pinned, reused_key, wake and health are all of those files) change the run.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/../pgrx-config/env.sh"
cd "$root/bench"
seconds=${SECONDS_EACH:-4} rounds=${ROUNDS:-3} only=${ONLY:-.}
cluster=$root/pgrx-config/cluster.sh
bin=$("$PG_CONFIG" --bindir)
source sync.sh
trap '"$cluster" remove bench' EXIT

"$root/pgrx-config/install.sh"
"$cluster" remove bench
# Durable, as a server that matters is; a checkpoint in the middle of a round would be noise.
"$cluster" start bench "fsync = on" "full_page_writes = on" "shared_buffers = '512MB'" "max_wal_size = '8GB'" \
    "checkpoint_timeout = '30min'" "autovacuum_naptime = '10s'" "max_connections = 620" \
    "shared_preload_libraries = 'pg_foreman'" "foreman.relax_claims_after = 0"
eval "$("$cluster" env bench)"
psql --no-psqlrc --quiet --tuples-only --file setup.sql >/dev/null
psql --no-psqlrc --quiet --file by_hand.sql
# Finished jobs go to their day's partition, as where upkeep is done.
psql --no-psqlrc --quiet --tuples-only --command 'SELECT foreman.maintain()' >/dev/null

# rate CALL VARIANT CLIENTS SYNC [OPTION…]: transactions per second of one round
rate() {
    PGOPTIONS=${sync_options[$4]} "$bin/pgbench" --no-vacuum --protocol prepared --client "$3" --jobs 1 \
        --time "$seconds" --file "$1.$2.sql" "${@:5}" 2>/dev/null | awk '/^tps/ {print $3}'
}

middle() { sort -n | awk '{v[NR] = $1} END {print v[int((NR + 1) / 2)]}'; }

printf '%-18s %7s %5s %10s %10s %10s %9s %9s\n' call clients sync foreman bare plpgsql 'to bare' 'to plpgsql'
for call in create_job create_jobs update_job_status; do
    [[ $call =~ $only ]] || continue
    for sync in off on; do
        for clients in 1 8; do
            declare -A rates=([foreman]='' [bare]='' [plpgsql]='')
            for ((round = 0; round < rounds; round++)); do
                for variant in foreman bare plpgsql; do
                    rates[$variant]+="$(rate "$call" "$variant" "$clients" "$sync")"$'\n'
                done
            done
            for variant in foreman bare plpgsql; do
                rates[$variant]=$(printf %s "${rates[$variant]}" | middle)
            done
            awk -v call="$call" -v clients="$clients" -v sync="$sync" -v f="${rates[foreman]}" -v b="${rates[bare]}" \
                -v p="${rates[plpgsql]}" 'BEGIN {
                    printf "%-18s %7d %5s %10.0f %10.0f %10.0f %8.2fx %8.2fx\n", call, clients, sync, f, b, p, f / b, f / p
                }'
        done
    done
done

# shellcheck source=claim.sh
if [[ claim =~ $only ]]; then source claim.sh; fi
# shellcheck source=pinned.sh
if [[ pinned =~ $only ]]; then source pinned.sh; fi
# shellcheck source=reused_key.sh
if [[ reused_key =~ $only ]]; then source reused_key.sh; fi
# shellcheck source=wake.sh
if [[ wake =~ $only ]]; then source wake.sh; fi
# shellcheck source=health.sh
if [[ health =~ $only ]]; then source health.sh; fi

echo
echo "time limits: foreman.query_timeout = 300 ms against a row that is locked for a second"
psql --no-psqlrc --quiet --tuples-only --no-align --file timeouts.sql
