# Owns which server, tools and folders the other scripts use: each of them sources this file, and none decides anew.
# Sets root, PG, PG_CONFIG, PGRX_HOME, PATH and as_postgres. Changes nothing on the machine.
# shellcheck shell=bash

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

# A major that the caller names wins; else the one of the pg_config that he names; else the first server that is
# installed, 15 before the others.
if [[ -z ${PG:-} && -n ${PG_CONFIG:-} ]]; then
    PG=$("$PG_CONFIG" --version | sed -E 's/^PostgreSQL ([0-9]+).*/\1/')
fi
if [[ -z ${PG:-} ]]; then
    for PG in 15 16 17 18 none; do
        [[ ! -x /usr/lib/postgresql/$PG/bin/postgres ]] || break
    done
    [[ $PG != none ]] || PG=15
fi

# Debian's wrapper in the PATH answers for the newest major, so it is asked only where there is no folder for ours.
if [[ -z ${PG_CONFIG:-} ]]; then
    PG_CONFIG=/usr/lib/postgresql/$PG/bin/pg_config
    if [[ ! -x $PG_CONFIG ]] && [[ $(pg_config --version 2>/dev/null) == "PostgreSQL $PG"[.\ a-z]* ]]; then
        PG_CONFIG=$(command -v pg_config)
    fi
fi

PGRX_HOME=$root/.build/pgrx
PATH=$root/.build/tools/bin:$PATH
export PG PG_CONFIG PGRX_HOME PATH

# A server refuses to run as root. The working directory is one that user postgres can enter: the caller's may not be,
# and pg_ctl of 15 fails without.
as_postgres() {
    if ((EUID == 0)); then
        (cd / && runuser -u postgres -- "$@")
    else
        (cd / && "$@")
    fi
}
