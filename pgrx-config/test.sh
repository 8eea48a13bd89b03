#!/usr/bin/env bash
# Owns the test run: every stage, its log in .build/log, and the one closing line that says how many passed and failed.
# All stages run, whatever became of those before. A stage that ends badly, or in which nothing ran, counts as failed.
set -euo pipefail
"$(dirname "${BASH_SOURCE[0]}")/setup.sh"
source "$(dirname "${BASH_SOURCE[0]}")/env.sh"
cd "$root"
mkdir -p .build/log

cluster=$root/pgrx-config/cluster.sh
pgrx_data=
finish() {
    "$cluster" remove by-example interleavings
    if [[ -n $pgrx_data ]]; then rm -rf "$pgrx_data"; fi
}
trap finish EXIT

# One session inside the server, each test rolled back. The server's user is named in both cases: with it cargo-pgrx
# installs by sudo, which an ordinary user needs as well.
in_one_session() {
    local user=postgres
    if ((EUID != 0)); then user=$(id -un); fi
    # 15's pg_ctl gives up in a folder that its user cannot enter.
    if ! as_postgres test -x "$root"; then
        local target
        target=$(rustc -vV | sed -n 's/^host: //p' | tr 'a-z-' 'A-Z_')
        export "CARGO_TARGET_${target}_RUNNER=env --chdir=/" PGRX_MANIFEST_PATH="$root/Cargo.toml"
    fi
    # cargo-pgrx copies into the file that is there, under the feet of a server that has it loaded: a demo kept running.
    sudo rm -f "$("$PG_CONFIG" --pkglibdir)"/pg_foreman*.so
    cargo pgrx test "pg$PG" --runas "$user" --pgdata "$pgrx_data"
}

# The contract by example, by the server's own tool, which makes the database and the extension in it.
by_example() {
    local tests tool LC_ALL=C
    tests=(tests/pg_regress/sql/*.sql)
    if [[ ! -e ${tests[0]} ]]; then
        echo "no ${tests[0]}"
        return 1
    fi
    tests=("${tests[@]##*/}")
    tests=("${tests[@]%.sql}")
    tool=$(dirname "$("$PG_CONFIG" --pgxs)")/../test/regress/pg_regress
    "$cluster" remove by-example
    "$cluster" start by-example
    eval "$("$cluster" env by-example)"
    rm -rf .build/regress
    mkdir -p .build/regress
    "$tool" --bindir="$("$PG_CONFIG" --bindir)" --inputdir=tests/pg_regress --outputdir=.build/regress \
        --host="$PGHOST" --port="$PGPORT" --user="$PGUSER" --dbname=regression --load-extension=pg_foreman \
        "${tests[@]}" || {
        cat .build/regress/regression.diffs
        return 1
    }
    "$cluster" remove by-example
}

# What becomes of sessions that meet, step by step in a written-out order, by the server's own tool. Each specification
# makes the extension anew. Not preloaded, and preloaded without the background worker: nobody but the steps does anything.
interleavings() {
    interleavings_with '' && interleavings_with pg_foreman
}

# interleavings_with LIBRARIES: the same with these preloaded
interleavings_with() {
    local specs tool LC_ALL=C
    specs=(tests/isolation/specs/*.spec)
    if [[ ! -e ${specs[0]} ]]; then
        echo "no ${specs[0]}"
        return 1
    fi
    specs=("${specs[@]##*/}")
    specs=("${specs[@]%.spec}")
    tool=$(dirname "$("$PG_CONFIG" --pgxs)")/../test/isolation/pg_isolation_regress
    "$cluster" remove interleavings
    "$cluster" start interleavings "shared_preload_libraries = '$1'" "foreman.max_workers = 0"
    eval "$("$cluster" env interleavings)"
    rm -rf .build/isolation
    mkdir -p .build/isolation
    "$tool" --bindir="$("$PG_CONFIG" --bindir)" --inputdir=tests/isolation --outputdir=.build/isolation \
        --host="$PGHOST" --port="$PGPORT" --user="$PGUSER" --dbname=isolation "${specs[@]}" || {
        cat .build/isolation/regression.diffs
        return 1
    }
    "$cluster" remove interleavings
}

# Each prints "passed failed" of a log. libtest prints a line for each test binary, pg_regress a line for each test (up
# to 15 "test name ... ok", from 16 on TAP), and the clients' runner closes as this script does.
count_cargo() {
    awk '/^test result:/ { passed += $4; failed += $6 } END { print passed + 0, failed + 0 }' "$1"
}
count_regress() {
    awk '/^ok [0-9]/ || /^(test| ) .*\.\.\. ok/ { passed++ }
        /^not ok [0-9]/ || /^(test| ) .*\.\.\. FAILED/ { failed++ } END { print passed + 0, failed + 0 }' "$1"
}
count_clients() {
    awk '/^ *[0-9]+ passed, [0-9]+ failed$/ { passed += $1; failed += $3 } END { print passed + 0, failed + 0 }' "$1"
}

all_passed=0 all_failed=0
# A stage without a way to count is a step between the tests: it can only fail.
stage() {
    local name=$1 count=$2 log=.build/log/$1.log status passed=0 failed=0
    shift 2
    printf '\n=== %s\n' "$name"
    # Outside of any condition, since bash would ignore `set -e` inside. There is one closing line, ours: indent others.
    set +e
    (
        set -e
        trap - EXIT
        "$@"
    ) </dev/null 2>&1 | sed -uE 's/^[0-9]+ passed, [0-9]+ failed$/    &/' | tee "$log"
    status=${PIPESTATUS[0]}
    set -e
    if [[ $count != nothing ]]; then read -r passed failed < <("$count" "$log"); fi
    if ((failed == 0)) && { ((status != 0)) || [[ $count != nothing && $passed == 0 ]]; }; then
        failed=1
        echo "--- $name counts as failed: it ended with status $status, and $passed tests ran"
    fi
    echo "--- $name: $passed passed, $failed failed (log: $log)"
    all_passed=$((all_passed + passed))
    all_failed=$((all_failed + failed))
}

# A short path in /tmp, since a socket's path may have 107 bytes, and user postgres need not reach the checkout.
pgrx_data=$(as_postgres mktemp -d /tmp/foreman-pgrx.XXXXXX)
stage pgrx count_cargo in_one_session
stage install nothing pgrx-config/install.sh
stage regress count_regress by_example
stage isolation count_regress interleavings
stage model count_cargo cargo test -p foreman-model
stage sessions count_cargo cargo test -p foreman-tests
if [[ -x tests/clients/run.sh ]]; then stage clients count_clients tests/clients/run.sh; fi

printf '\n%s passed, %s failed\n' "$all_passed" "$all_failed"
((all_failed == 0))
