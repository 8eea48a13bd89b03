# Owns what becomes of claims from one vacuum to the next, where nothing keeps vacuum from its work. Sourced by ../long.sh.
# shellcheck shell=bash disable=SC2154,SC2004

# As long as autovacuum lets a table wait by default
between=60

scenario_between_vacuums() {
    local candidate
    echo "claimed and finished one at a time by 8 clients in the $between s until vacuum comes (autovacuum is off), synchronous_commit off:"
    echo 'jobs per second, and the pages that a transaction looks at'
    printf '%-26s %9s %9s %9s   %12s %9s\n' '' 'first 5 s' 'last 5 s' ratio 'pages: first' last
    for candidate in $(taking_part foreman foreman_plain hand_move hand_in_place graphile pg_boss procrastinate); do
        echo "… between_vacuums: $candidate" >&3
        use "$candidate"
        autovacuum off
        fill "$candidate" $((between * most[$candidate]))
        load "$candidate" $between >"$scratch/rates" &
        pages_of_each $between >"$scratch/pages"
        wait $!
        ends "$scratch/rates" "$scratch/pages" | awk -v name="${label[$candidate]}" '{
            printf "%-26s %9.0f %9.0f %8.2fx   %12d %9d\n", name, $1, $2, $2 / $1, $3, $4
        }'
        autovacuum on
        fill "$candidate" 0
    done
}

# autovacuum on|off
autovacuum() {
    sql --command "ALTER SYSTEM SET autovacuum = $1" --command 'SELECT pg_reload_conf()' >/dev/null
}

# ends FILE…: the first and the last figure of each
ends() {
    local file
    for file; do awk 'NR == 1 { print $2 } END { print $2 }' "$file"; done | paste -sd' '
}
