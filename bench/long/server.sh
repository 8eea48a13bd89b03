# Owns the two private servers of the long comparison, which differ in one line: the one preloads pg_foreman. Everybody else
# is measured on the one that does not, where nothing of ours is in the way. Sourced by ../long.sh.
# shellcheck shell=bash disable=SC2154

cluster=$root/pgrx-config/cluster.sh
bin=$("$PG_CONFIG" --bindir)
scratch=$(mktemp -d)
declare -A host

# Durable, as a server that matters is, and roomy enough that a checkpoint seldom falls into a round. 500 sessions wait.
settings=("fsync = on" "full_page_writes = on" "shared_buffers = '1GB'" "max_wal_size = '${MAX_WAL_SIZE:-16GB}'"
    "checkpoint_timeout = '1h'" "maintenance_work_mem = '512MB'" "autovacuum_naptime = '10s'" "max_connections = 700"
    "max_prepared_transactions = 2")
# As on a server that has been up for ten minutes.
preloading=("shared_preload_libraries = 'pg_foreman'" "foreman.relax_claims_after = 0")

start_servers() {
    trap stop_servers EXIT
    "$cluster" remove long-preloaded long-plain
    "$cluster" start long-preloaded "${settings[@]}" "${preloading[@]}"
    "$cluster" start long-plain "${settings[@]}"
    for server in preloaded plain; do
        eval "$("$cluster" env "long-$server")"
        host[$server]=$PGHOST
        sql --file setup.sql >/dev/null
        sql --file by_hand.sql
        sql --command 'SELECT foreman.maintain()' >/dev/null
    done
}

# What runs in the background is of no use without the servers, and ends with them.
stop_servers() {
    jobs -p | xargs --no-run-if-empty kill 2>/dev/null || true
    "$cluster" remove long-preloaded long-plain
    rm -rf "$scratch" "${pgq_library:-$scratch}"
}

# use CANDIDATE [DATABASE]: whom psql and pgbench speak to from now on
use() { export PGHOST=${host[${server_of[$1]}]} PGDATABASE=${2:-postgres}; }

sql() {
    PGOPTIONS='-c client_min_messages=warning' \
        "$bin/psql" --no-psqlrc --quiet --tuples-only --no-align --set ON_ERROR_STOP=1 "$@"
}

# A database as the first one was when it was new
new_database() {
    sql --command "DROP DATABASE IF EXISTS $1" --command "CREATE DATABASE $1 TEMPLATE postgres"
}

about_the_run() {
    local memory
    memory=$(awk '/MemTotal/ { printf "%d GB", $2 / 1048576 }' /proc/meminfo)
    echo "$(date --utc +%F), PostgreSQL $(sql --command 'SHOW server_version' | cut -d' ' -f1), $(nproc) cores, $memory;" \
        "commit $(git -C "$root" describe --always --dirty)."
    if ((${#left_out[@]} > 0)); then echo "Left out, since they could not be had: ${!left_out[*]}."; fi
    echo "Settings: ${settings[*]}; for the one that preloads ${preloading[*]}."
}
