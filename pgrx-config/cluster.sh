#!/usr/bin/env bash
# Owns the private clusters: where they live, how they start, and that nothing of them is left behind.
#
#   cluster.sh start NAME [LINE…]   makes it if need be; each LINE goes to its configuration (not if it runs already)
#   cluster.sh env NAME             prints what to eval to be its client
#   cluster.sh status NAME          succeeds if it runs
#   cluster.sh log NAME             prints the path of the server's log
#   cluster.sh stop NAME            the data stay
#   cluster.sh crash NAME           as if all its processes had been killed; start recovers it
#   cluster.sh remove NAME…         nothing stays
#
# A cluster is a folder .build/clusters/NAME with data/, server.log and a link to the socket's folder in /tmp: a
# socket's path may have 107 bytes, and a checkout's path can be longer than that.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/env.sh"

usage() {
    sed -n '/^#   /s/^#   //p' "${BASH_SOURCE[0]}" >&2
    exit 2
}
if (($# < 2)) || [[ ! $2 =~ ^[a-z0-9_-]+$ ]]; then usage; fi
command=$1 name=$2
shift 2

here=$root/.build/clusters/$name
bin=$("$PG_CONFIG" --bindir)

pg_ctl() { as_postgres "$bin/pg_ctl" --pgdata "$(readlink -f "$here")/data" --silent "$@"; }
running() { [[ -e $here/data/PG_VERSION ]] && pg_ctl status >/dev/null; }
write() { as_postgres tee "$1" >/dev/null; }

# The folder belongs to the user that the server runs as. As root that is postgres, who may be kept out by a parent
# folder (a checkout in /root, say): then the cluster lives in /tmp, and its place here is a link.
make_folder() {
    mkdir -p "$root/.build/clusters"
    # A link whose target a reboot took away
    if [[ -L $here && ! -e $here ]]; then rm "$here"; fi
    if [[ -e $here ]]; then return; fi
    if as_postgres test -x "$root/.build/clusters"; then
        install -d -m 700 "$here"
        if ((EUID == 0)); then chown postgres: "$here"; fi
    else
        local elsewhere
        elsewhere=$(as_postgres mktemp -d "/tmp/foreman-$name.XXXXXX")
        ln -s "$elsewhere" "$here"
        echo "user postgres cannot reach this folder: cluster $name lives in $elsewhere" >&2
    fi
}

init() {
    local data
    data=$(readlink -f "$here")/data
    rm -rf "$data"
    as_postgres "$bin/initdb" --pgdata "$data" --username postgres --auth trust --encoding UTF8 --locale C.UTF-8 \
        --no-sync --no-instructions >/dev/null
    printf '%s\n' "include 'shared.conf'" "include_if_exists 'own.conf'" |
        as_postgres tee -a "$data/postgresql.conf" >/dev/null
}

start() {
    if running; then return; fi
    if [[ -e $here/data/PG_VERSION && $(<"$here/data/PG_VERSION") != "$PG" ]]; then
        echo "cluster $name is one of PostgreSQL $(<"$here/data/PG_VERSION"): made anew for $PG" >&2
        remove
    fi
    make_folder
    local home socket
    home=$(readlink -f "$here")
    # Written last of what init makes: without it, initdb was interrupted.
    [[ -e $home/data/shared.conf ]] || init
    socket=$(as_postgres mktemp -d /tmp/foreman.XXXXXX)
    ln -sfn "$socket" "$home/socket"
    { cat "$root/pgrx-config/postgresql.conf" && echo "unix_socket_directories = '$socket'"; } |
        write "$home/data/shared.conf"
    # Without new lines the cluster keeps those that it had.
    if (($# > 0)); then printf '%s\n' "$@" | write "$home/data/own.conf"; fi
    # With it a Rust panic's stack would go to the client, which no server in use does.
    unset RUST_BACKTRACE
    if ! pg_ctl start --wait --timeout 60 --log "$home/server.log" >/dev/null; then
        tail -n 20 "$home/server.log" >&2
        echo "cluster $name does not start (its log: $home/server.log)" >&2
        stop
        return 1
    fi
}

stop() {
    if running; then pg_ctl stop --mode "${1:-fast}" --wait >/dev/null; fi
    if [[ -L $here/socket ]]; then
        rm -rf "$(readlink "$here/socket")"
        rm -f "$here/socket"
    fi
}

remove() {
    if [[ ! -e $here && ! -L $here ]]; then return; fi
    stop
    rm -rf "$(readlink -f "$here")"
    rm -f "$here"
}

case $command in
start) start "$@" ;;
stop) stop ;;
crash) stop immediate ;;
status) running ;;
remove)
    remove
    for name; do
        here=$root/.build/clusters/$name
        remove
    done
    ;;
env)
    if ! running; then
        echo "cluster $name does not run" >&2
        exit 1
    fi
    echo "export PGHOST=$(readlink "$here/socket") PGPORT=5432 PGUSER=postgres PGDATABASE=postgres"
    ;;
log) echo "$(readlink -f "$here")/server.log" ;;
*) usage ;;
esac
