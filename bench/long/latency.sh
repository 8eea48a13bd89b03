# Owns how long a claim takes beside many other jobs: waiting, finished, or of a lower priority. Two databases, one with and
# one without, are asked in turn. Sourced by ../long.sh.
# shellcheck shell=bash disable=SC2154

# A second; far below what anybody reaches, so that what is seen is the claim and no queue of clients
pace=200
few=1000

scenario_backlog() {
    echo "claims, $pace a second by 8 clients, with $backlog waiting and with $few: ms"
    with_and_without with_backlog foreman foreman_plain hand_move hand_in_place graphile pg_boss procrastinate
}
with_backlog() { fill "$1" "$backlog"; }

scenario_history() {
    echo "claims, $pace a second by 8 clients, with $history finished in the last 60 days and with none: ms"
    with_and_without with_history foreman foreman_plain hand_move hand_in_place pg_boss procrastinate
}
with_history() {
    fill "$1" $few
    sql --set jobs="$history" --file "$(script history "${table[$1]}")" --command CHECKPOINT >/dev/null
}

scenario_urgent() {
    echo "claims of urgent jobs, $pace a second by 8 clients, while $((backlog / 10)) others wait and ${DEAD:-100000} dead" \
        "entries of urgent ones lie before them, and with $few waiting and no dead: ms"
    create=create_urgent with_and_without with_dead foreman foreman_plain hand_move hand_in_place
}
# An old snapshot, which lasts as long as its database, keeps the entries of urgent jobs that were made and done.
with_dead() {
    local dead=${DEAD:-100000}
    fill "$1" $((backlog / 10))
    sql --command 'BEGIN ISOLATION LEVEL REPEATABLE READ' --command 'SELECT pg_sleep(86400)' >/dev/null 2>&1 &
    bench off 8 --transactions $((dead / 8)) --file "$(script create_urgent "${table[$1]}")" >/dev/null 2>&1
    bench off 1 --transactions $((dead / 1000)) --define n=1000 --file "$(script claim_many "${claims[$1]}")" >/dev/null 2>&1
}

# with_and_without PREPARE CANDIDATE…: PREPARE fills the database that has much
with_and_without() {
    local candidate round arm create=${create:-create_job}
    printf '%-26s %9s %8s %8s %8s %12s %8s %8s %8s %9s\n' '' 'with: p50' p95 p99 worst \
        'without: p50' p95 p99 worst 'p95 ratio'
    for candidate in $(taking_part "${@:2}"); do
        use "$candidate"
        new_database few && new_database many
        use "$candidate" few && fill "$candidate" $few
        use "$candidate" many && "$1" "$candidate"
        local -A found=([few]='' [many]='')
        for ((round = 0; round < rounds; round++)); do
            for arm in many few; do
                use "$candidate" $arm
                found[$arm]+="$(claims_at_a_pace "$candidate")"$'\n'
            done
        done
        echo "${label[$candidate]}|$(middle_row <<<"${found[many]}")|$(middle_row <<<"${found[few]}")" | awk -F'[| ]' '{
            at = NF - 7
            name = $1; for (i = 2; i < at; i++) name = name " " $i
            printf "%-26s %9.2f %8.2f %8.2f %8.2f %12.2f %8.2f %8.2f %8.2f %8.2fx\n", name, $at, $(at + 1), $(at + 2),
                $(at + 3), $(at + 4), $(at + 5), $(at + 6), $(at + 7), $(at + 1) / $(at + 5)
        }'
        use "$candidate"
        sql --command 'DROP DATABASE many WITH (FORCE)' --command 'DROP DATABASE few WITH (FORCE)'
    done
}

# claims_at_a_pace CANDIDATE: p50, p95, p99 and worst of claims alone, while as many jobs are created. The jobs stay claimed.
claims_at_a_pace() {
    local start
    rm -f "$scratch/claims".*
    start=$(date +%s)
    bench off 2 --time "$seconds" --rate $pace --file "$(script "$create" "${table[$1]}")" >/dev/null 2>&1 &
    bench off 8 --time "$seconds" --rate $pace --log --log-prefix "$scratch/claims" --file "$(claim_script "$1")" \
        >/dev/null 2>"$scratch/claims-errors" || tail -n 1 "$scratch/claims-errors" >&2
    wait $!
    # The first second fills the caches of new sessions.
    percentiles $((start + 1)) $((start + seconds + 60)) "$scratch"/claims.*
}

# The middle one of each column
middle_row() {
    local rows
    rows=$(sed '/^$/d')
    for column in 1 2 3 4; do awk -v c=$column '{ print $c }' <<<"$rows" | middle; done | paste -sd' '
}
