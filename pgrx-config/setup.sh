#!/usr/bin/env bash
# Owns what this tree needs from a Debian or Ubuntu machine that has Rust: the server with its headers, libclang, sudo,
# cargo-pgrx. Run it as often as you like, as root or as a user with sudo; once all is there it says nothing.
set -euo pipefail
named=${PG:-}${PG_CONFIG:-}
source "$(dirname "${BASH_SOURCE[0]}")/env.sh"
cd "$root"
mkdir -p .build/stamps

step() { printf '[%s/6] %s: ' "$1" "$2"; }
there() { echo "already there${1:+ ($1)}"; }
fail() {
    printf '\nset-up stopped: %s\n' "$1" >&2
    printf '  %s\n' "${@:2}" >&2
    exit 1
}

pinned=$(sed -nE 's/^pgrx *= *"=([0-9.]+)".*/\1/p' Cargo.toml)
[[ -n $pinned ]] || fail 'Cargo.toml pins no version of pgrx' 'It needs a line like  pgrx = "=0.18.1"'

# All that would make the set-up another one. It is compared with the stamp that the last successful run left.
stamp() {
    echo "$PG $pinned $PG_CONFIG $("$PG_CONFIG" --version 2>/dev/null || echo none)" \
        "$(cat pgrx-config/setup.sh pgrx-config/env.sh rust-toolchain.toml | sha256sum)"
}
done_before() {
    [[ -x .build/tools/bin/cargo-pgrx && -f $PGRX_HOME/config.toml ]] &&
        [[ $(stamp) == "$(cat ".build/stamps/setup-$PG" 2>/dev/null)" ]]
}
if done_before; then exit 0; fi
# Two at once would install the same things into the same folders.
exec 9>.build/setup.lock
flock 9
if done_before; then exit 0; fi

as_root() {
    if ((EUID == 0)); then
        "$@"
    elif command -v sudo >/dev/null; then
        sudo "$@"
    else
        fail "installing packages needs root, and there is no sudo" \
            "Run  pgrx-config/setup.sh  as root once, or install sudo and allow it to $(id -un)."
    fi
}

apt_is_fresh=
refresh_apt() {
    command -v apt-get >/dev/null || fail "this machine has no apt, and lacks $1" \
        "Install it by the means of your system, then run this again." \
        "A server elsewhere is used with  PG_CONFIG=/path/to/pg_config."
    [[ -n $apt_is_fresh ]] || as_root apt-get -qq update </dev/null || fail 'apt-get update failed (see above)' \
        'Check the network and the sources of apt, then run this again.'
    apt_is_fresh=yes
}
apt_install() {
    refresh_apt "$*"
    as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends "$@" \
        </dev/null >.build/apt.log 2>&1 || {
        tail -n 20 .build/apt.log >&2
        fail "apt could not install $*" 'The whole output is in .build/apt.log'
    }
}

step 1 'Rust'
# Asked in this folder, so that rust-toolchain.toml has been obeyed.
if ! rust=$(cargo --version 2>&1 && cargo clippy --version 2>&1 && cargo fmt --version 2>&1); then
    channel=$(sed -nE 's/^channel = "(.*)"/\1/p' rust-toolchain.toml)
    fail "cargo of Rust $channel does not run here: ${rust##*$'\n'}" \
        "Install rustup (rustup.rs), then:  rustup toolchain install $channel --component clippy,rustfmt"
fi
there "$(grep -m 1 '^cargo ' <<<"$rust")"

step 2 'sudo'
# cargo-pgrx starts its test server with it, as root too.
if command -v sudo >/dev/null; then
    there
else
    echo 'installing …'
    apt_install sudo
fi

headers_are_there() {
    [[ -x $PG_CONFIG && -x $("$PG_CONFIG" --bindir)/postgres &&
        -f $("$PG_CONFIG" --includedir-server)/postgres.h &&
        -x $(dirname "$("$PG_CONFIG" --pgxs)")/../test/regress/pg_regress ]]
}
step 3 "PostgreSQL $PG with headers"
if headers_are_there; then
    there "$("$PG_CONFIG" --version)"
else
    refresh_apt "PostgreSQL $PG"
    offered=$(apt-cache pkgnames postgresql-server-dev-1 | sed -nE 's/.*-(1[5-8])$/\1/p' | sort -n | tr '\n' ' ')
    # Nobody named a major, and apt has another than ours: that one will do.
    if [[ -z $named && -n $offered ]] && ! grep -qw "$PG" <<<"$offered"; then
        PG=${offered%% *}
        PG_CONFIG=/usr/lib/postgresql/$PG/bin/pg_config
    fi
    grep -qw "$PG" <<<"$offered" || fail "apt offers no PostgreSQL $PG here; it has: ${offered:-none}" \
        'Choose one of those (PG=17 make …; 15 to 18 are supported),' \
        'or add the repository of the PostgreSQL project: package postgresql-common has a script for it,' \
        '/usr/share/postgresql-common/pgdg/apt.postgresql.org.sh'
    echo "installing $PG …"
    # Debian starts a server of its own with the package. Nobody asked for that one, and it would take a port.
    apt_install postgresql-common
    quiet=/etc/postgresql-common/createcluster.d/pg_foreman_setup.conf
    trap 'as_root rm -f "$quiet"' EXIT
    as_root mkdir -p "${quiet%/*}"
    echo 'create_main_cluster = false' | as_root tee "$quiet" >/dev/null
    apt_install "postgresql-$PG" "postgresql-server-dev-$PG"
    as_root rm -f "$quiet"
    trap - EXIT
    headers_are_there || fail "PostgreSQL $PG was installed, yet $PG_CONFIG does not lead to its headers" \
        'Name the right one with  PG_CONFIG=/path/to/pg_config'
fi
if ((EUID == 0)) && ! id postgres >/dev/null 2>&1; then
    fail 'there is no user postgres, and a server refuses to run as root' 'Make one:  useradd --system postgres'
fi

step 4 'C compiler, libclang, OpenSSL headers'
missing=()
command -v cc >/dev/null || missing+=(build-essential)
# Not libclang-cpp, which comes with the server's headers and is another thing
{ [[ -n ${LIBCLANG_PATH:-} ]] || compgen -G '/usr/lib/llvm-*/lib/libclang[-.][0-9s]*' >/dev/null; } ||
    missing+=(libclang-dev)
command -v pkg-config >/dev/null || missing+=(pkg-config)
# Only cargo-pgrx itself is linked with it.
[[ -x .build/tools/bin/cargo-pgrx ]] || pkg-config --exists openssl 2>/dev/null || missing+=(libssl-dev)
if ((${#missing[@]} == 0)); then
    there
else
    echo "installing ${missing[*]} …"
    apt_install "${missing[@]}"
fi

step 5 "cargo-pgrx $pinned"
if [[ $(.build/tools/bin/cargo-pgrx pgrx --version 2>/dev/null) == "cargo-pgrx $pinned" ]]; then
    there
else
    echo 'building (about 5 min) …'
    cargo install cargo-pgrx --version "=$pinned" --locked --root .build/tools --quiet </dev/null ||
        fail "cargo-pgrx $pinned could not be built (see above)" \
            'It needs the network; run this again when that is back.'
fi

step 6 "cargo-pgrx knows PostgreSQL $PG"
configured() { sed -nE "s/^$1 = \"(.*)\"/\1/p" "$PGRX_HOME/config.toml" 2>/dev/null || true; }
# Not the path counts but what it leads to: a rewritten file would have pgrx built anew.
known=$(configured "pg$PG")
if [[ -x $known && $("$known" --includedir-server) == "$("$PG_CONFIG" --includedir-server)" &&
    $("$known" --version) == "$("$PG_CONFIG" --version)" ]]; then
    there
else
    echo 'writing .build/pgrx/config.toml …'
    # init forgets the majors that it is not told of.
    majors=("--pg$PG=$PG_CONFIG")
    for other in 15 16 17 18; do
        known=$(configured "pg$other")
        if [[ $other != "$PG" && -x $known ]]; then majors+=("--pg$other=$known"); fi
    done
    mkdir -p "$PGRX_HOME"
    cargo pgrx init --no-run "${majors[@]}" >.build/init.log 2>&1 </dev/null || {
        cat .build/init.log >&2
        fail "cargo pgrx init does not accept $PG_CONFIG (see above)"
    }
fi

stamp >".build/stamps/setup-$PG"
