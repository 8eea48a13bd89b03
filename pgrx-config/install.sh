#!/usr/bin/env bash
# Owns the installed release build: after this the server's folders hold what the sources say. Does nothing when they do
# already, which is decided by contents: `cargo pgrx test` puts its test build into the same places.
set -euo pipefail
"$(dirname "${BASH_SOURCE[0]}")/setup.sh"
source "$(dirname "${BASH_SOURCE[0]}")/env.sh"
cd "$root"

libraries=$("$PG_CONFIG" --pkglibdir)
extensions=$("$PG_CONFIG" --sharedir)/extension
stamp=.build/stamps/install-$PG

sources() {
    echo "$PG $PG_CONFIG $("$PG_CONFIG" --version)"
    find src sql Cargo.toml Cargo.lock build.rs pg_foreman.control rust-toolchain.toml -type f 2>/dev/null |
        LC_ALL=C sort | xargs -d '\n' sha256sum
}
key=$(sources | sha256sum)

if [[ -f $stamp && $(head -n 1 "$stamp") == "$key" ]] && tail -n +2 "$stamp" | sha256sum --status --check 2>/dev/null
then
    echo "pg_foreman is installed for PostgreSQL $PG: nothing changed"
    exit 0
fi

echo "building and installing pg_foreman for PostgreSQL $PG (the first time about 5 min) …"
rm -f "$stamp"
sudo=()
if [[ ! -w $libraries || ! -w $extensions ]]; then
    sudo=(--sudo)
    # By sudo, cargo-pgrx copies into the file that is there, under the feet of a server that has it loaded.
    sudo rm -f "$libraries"/pg_foreman*.so
fi
# The server's user must be able to read what is installed.
umask 022
cargo pgrx install --release --no-default-features --features "pg$PG" --pg-config "$PG_CONFIG" "${sudo[@]}"

{ echo "$key" && sha256sum "$libraries"/pg_foreman*.so "$extensions"/pg_foreman*; } >"$stamp"
