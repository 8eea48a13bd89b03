# Owns the other systems: which versions, where they come from, and how they get into the server that preloads nothing.
# They are downloaded at run time, into .build/peers, and nothing of them is installed on the machine. Whoever can't be had is
# left out, and the output says so. Sourced by ../long.sh.
#
# What runs in the benchmark is the SQL that their clients send (claim_one.*.sql, create_job.*.sql), from pgbench: a program
# in between would be what is measured.
# shellcheck shell=bash disable=SC2034,SC2154

pgq_version=3.5 graphile_version=0.18.0 pg_boss_version=12.38.0 procrastinate_version=3.10.0
peers=$root/.build/peers
declare -A left_out=()

set_up_candidates() {
    local name
    use hand_move
    for name in pgq graphile pg_boss procrastinate; do
        if ! [[ $name =~ ${CANDIDATES:-.} ]]; then continue; fi
        if ! { "fetch_$name" && "set_up_$name"; } >"$scratch/$name.log" 2>&1; then
            left_out[$name]=yes
            echo "left out: $name ($(grep --max-count 1 --ignore-case error "$scratch/$name.log" || tail -n 1 "$scratch/$name.log"))"
        fi
    done
}

# package FOLDER COMMAND…: runs it in a new folder unless a former run has filled that one
package() {
    local folder=$peers/$1
    shift
    if [[ -e $folder/complete ]]; then return; fi
    rm -rf "$folder"
    mkdir -p "$folder"
    (cd "$folder" && "$@" && touch complete)
}

fetch_npm() { package "$1-$2" bash -c "npm pack --loglevel=error $1@$2 && tar -xzf ./*.tgz"; }

fetch_pgq() { package "pgq-$pgq_version-$PG" download_pgq; }

download_pgq() {
    local wanted="postgresql-$PG-pgq3=$pgq_version-*"
    if ! apt-get download --quiet --quiet "$wanted"; then
        as_root apt-get -qq update
        apt-get download --quiet --quiet "$wanted"
    fi
    dpkg --extract ./*.deb .
}

# The extension's files stay in their folder: the same functions as plain SQL, and the library by its path.
set_up_pgq() {
    local files=$peers/pgq-$pgq_version-$PG library
    # Where the server's user can read it
    library=$(as_postgres mktemp -d /tmp/foreman-pgq.XXXXXX)
    cp "$files/usr/lib/postgresql/$PG/lib"/pgq_*.so "$library"
    pgq_library=$library
    sed "s|\$libdir/|$library/|" "$files/usr/share/postgresql/$PG/contrib/pgq.sql" | sql --single-transaction
    sql --command "SELECT pgq.create_queue('bench'), pgq.register_consumer('bench', 'reader')" >/dev/null
}

fetch_graphile() { fetch_npm graphile-worker "$graphile_version"; }

# Its migrations by hand: they name their schema as psql would, but inside of functions too.
set_up_graphile() {
    {
        echo 'CREATE SCHEMA graphile_worker;'
        cat "$peers/graphile-worker-$graphile_version/package/sql"/0*.sql
        echo "INSERT INTO graphile_worker._private_tasks (identifier) VALUES ('bench');"
    } | sed 's/:GRAPHILE_WORKER_SCHEMA\b/graphile_worker/g' | sql --single-transaction
}

fetch_pg_boss() { fetch_npm pg-boss "$pg_boss_version"; }

set_up_pg_boss() {
    node --input-type=module --eval "
        import { create } from '$peers/pg-boss-$pg_boss_version/package/dist/plans.js';
        console.log(create('pgboss', 1, { createSchema: true }));" | sql
    sql --command "SELECT pgboss.create_queue('bench', '{\"policy\": \"standard\"}')" >/dev/null
}

fetch_procrastinate() {
    package "procrastinate-$procrastinate_version" bash -c \
        "python3 -m pip download --quiet --no-deps --disable-pip-version-check procrastinate==$procrastinate_version &&
         python3 -m zipfile --extract ./*.whl ."
}

set_up_procrastinate() {
    sql --single-transaction --file "$peers/procrastinate-$procrastinate_version/procrastinate/sql/schema.sql"
    sql --command 'INSERT INTO procrastinate_workers DEFAULT VALUES'
}
