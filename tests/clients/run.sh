#!/usr/bin/env bash
# Owns the clients' tests: the drivers in .build/clients at the versions pinned here, two private clusters (one preloads), and
# both runners.
# What the documents show (README.md, docs/*.md) is taken from them and run as it stands.
# A second run downloads nothing. A part whose tool this machine can't get is left out, with a line that says so.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/../../pgrx-config/env.sh"
here=$root/tests/clients
build=$root/.build/clients
cluster=$root/pgrx-config/cluster.sh
mkdir -p "$build/node"

# What is installed is tested: make test and make install see to it that it is what the sources say.
[[ -e $("$PG_CONFIG" --sharedir)/extension/pg_foreman.control ]] || "$root/pgrx-config/install.sh"

trap '"$cluster" remove clients clients-preloaded' EXIT

left_out() { echo "left out: $1"; }

# Packages that a test needs and this machine may lack: asked for once, and again when this file changes.
fetch() {
    local stamp=$build/apt-$1 sudo=()
    if [[ -e $stamp && $stamp -nt ${BASH_SOURCE[0]} ]]; then return; fi
    if ((EUID != 0)); then sudo=(sudo --non-interactive); fi
    if command -v apt-get >/dev/null; then
        echo "installing $* …"
        { "${sudo[@]}" apt-get -qq update &&
            "${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends "$@"; } \
            </dev/null >"$build/apt.log" 2>&1 || true
    fi
    touch "$stamp"
}

# --- what is needed ---

venv=$build/venv
if ! cmp -s "$here/requirements.txt" "$venv/installed.txt"; then
    rm -rf "$venv"
    if ! python3 -m venv "$venv" >/dev/null 2>&1; then
        fetch python3-venv
        rm -rf "$venv"
        python3 -m venv "$venv"
    fi
    "$venv/bin/pip" install --quiet --disable-pip-version-check --requirement "$here/requirements.txt"
    cp "$here/requirements.txt" "$venv/installed.txt"
fi

with_node=yes
command -v npm >/dev/null || fetch nodejs npm
if ! command -v npm >/dev/null || (($(node --version | sed -E 's/^v([0-9]+).*/\1/') < 20)); then
    with_node=
    left_out 'Node (needs Node 20 or later, with npm)'
elif ! cmp -s "$here/package-lock.json" "$build/node/installed.json"; then
    cp "$here"/package{,-lock}.json "$build/node"
    (cd "$build/node" && npm ci --no-audit --no-fund --loglevel=error)
    cp "$here/package-lock.json" "$build/node/installed.json"
fi

command -v javac >/dev/null || fetch default-jdk-headless
[[ -e /usr/share/java/postgresql.jar ]] || fetch libpostgresql-jdbc-java
if ! command -v java >/dev/null || [[ ! -e /usr/share/java/postgresql.jar ]]; then
    left_out 'Java (needs JDK 17 or later and libpostgresql-jdbc-java)'
fi
command -v go >/dev/null || fetch golang-go
[[ -d /usr/share/gocode/src/github.com/lib/pq ]] || fetch golang-github-lib-pq-dev
if ! command -v go >/dev/null || [[ ! -d /usr/share/gocode/src/github.com/lib/pq ]]; then
    left_out 'Go (needs golang-go and golang-github-lib-pq-dev)'
fi
if [[ ! -x /usr/sbin/pgbouncer ]]; then
    fetch pgbouncer
    [[ -x /usr/sbin/pgbouncer ]] || left_out 'PgBouncer (needs pgbouncer)'
fi

# Unpacked here, since its package starts a server of its own that nobody asked for.
prometheus=$build/prometheus
if [[ ! -x $prometheus/usr/bin/promtool ]]; then
    if command -v apt-get >/dev/null && [[ ! -e $build/apt-prometheus || $build/apt-prometheus -ot ${BASH_SOURCE[0]} ]]; then
        rm -rf "$prometheus" && mkdir "$prometheus"
        if ((EUID == 0)); then apt-get -qq update; else sudo --non-interactive apt-get -qq update; fi \
            </dev/null >"$build/apt.log" 2>&1 || true
        (cd "$prometheus" && apt-get -qq download prometheus && dpkg-deb --extract prometheus_*.deb . && rm ./*.deb) \
            </dev/null >"$build/apt.log" 2>&1 || true
        touch "$build/apt-prometheus"
    fi
    [[ -x $prometheus/usr/bin/promtool ]] || left_out 'Prometheus (needs apt to offer prometheus)'
fi

# --- the runs ---

"$cluster" remove clients clients-preloaded
"$cluster" start clients
"$cluster" start clients-preloaded "shared_preload_libraries = 'pg_foreman'"
eval "$("$cluster" env clients-preloaded)"
export FOREMAN_PRELOADED=$PGHOST
eval "$("$cluster" env clients)"
FOREMAN_LOG=$("$cluster" log clients)
export FOREMAN_LOG FOREMAN_BUILD=$build PYTHONDONTWRITEBYTECODE=1
PATH=$("$PG_CONFIG" --bindir):$PATH

rm -f "$build"/{pytest.xml,node.tap}
status=0
"$venv/bin/pytest" -p no:cacheprovider --rootdir "$here" --junitxml "$build/pytest.xml" -q "$here/python" "$@" || status=1
# Modules are found from where a file lies, so the tests run beside node_modules.
if [[ -n $with_node ]]; then
    rm -rf "$build/node/tests"
    cp -r "$here/node" "$build/node/tests"
    FOREMAN_ROOT=$root node --test --test-concurrency=1 --test-reporter=spec --test-reporter-destination=stdout \
        --test-reporter=tap --test-reporter-destination="$build/node.tap" "$build"/node/tests/*.test.mjs || status=1
fi

# --- the closing line; a runner that left no result counts as one failure ---

"$venv/bin/python" - "$build" "${with_node:+node}" <<'END'
import re, sys, pathlib
from xml.etree import ElementTree
build = pathlib.Path(sys.argv[1])
passed = failed = skipped = 0
if (build / "pytest.xml").exists():
    for suite in ElementTree.parse(build / "pytest.xml").iter("testsuite"):
        bad, out = int(suite.get("failures")) + int(suite.get("errors")), int(suite.get("skipped"))
        passed, failed, skipped = passed + int(suite.get("tests")) - bad - out, failed + bad, skipped + out
else:
    failed += 1
if sys.argv[2]:
    tap = (build / "node.tap").read_text() if (build / "node.tap").exists() else ""
    number = {name: int(count) for name, count in re.findall(r"^# (pass|fail|skipped) (\d+)$", tap, re.M)}
    passed, failed = passed + number.get("pass", 0), failed + number.get("fail", 1)
    skipped += number.get("skipped", 0)
if skipped:
    print(f"\n{skipped} left out")
print(f"\n{passed} passed, {failed} failed")
END
exit "$status"
