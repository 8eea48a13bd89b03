# Owns what becomes of the tables' sizes beside an old transaction and after it: for a queue that is worked off as fast as it
# is filled. Sourced by ../long.sh.
# shellcheck shell=bash disable=SC2154

# Jobs a second, made and done: what both can do beside an old transaction of ten minutes
flow=200
declare -A live=([foreman]=foreman.live_job [foreman_plain]=foreman.live_job [hand_move]=hand.job)

scenario_space() {
    local candidate before
    echo "sizes while $flow jobs a second are made, claimed and finished: without, beside an old transaction, after it"
    printf '%-26s %-10s %9s %9s %10s\n' '' when 'table' 'indexes' 'dead rows'
    for candidate in $(taking_part foreman foreman_plain hand_move); do
        use "$candidate"
        fill "$candidate" 1000
        keep_up "$candidate" >/dev/null 2>&1 &
        sleep "$free"
        print_size "$candidate" before
        before=$(dead_of "$candidate")
        sql --command 'BEGIN ISOLATION LEVEL REPEATABLE READ' --command "SELECT pg_sleep($pinned)" --command COMMIT >/dev/null
        print_size "$candidate" 'at its end'
        until_it_is_back "$candidate" $((2 * before + 1000))
        wait
        print_size "$candidate" after
        sql --command "VACUUM ${live[$candidate]}"
        print_size "$candidate" vacuumed
        fill "$candidate" 0
    done
    echo 'dead gone: after the end of the old transaction, until autovacuum has left twice what there was, and 1,000'
    echo 'rows that are gone leave room for others; the files become smaller only where their end is empty'
}

# keep_up CANDIDATE: makes jobs at a pace, and claims and finishes as many
keep_up() {
    local time=$((free + pinned + after))
    bench off 2 --time $time --rate $flow --file "$(script create_job "${table[$1]}")" &
    bench off 4 --time $time --rate $flow --file "$(script claim_one "${claims[$1]}")"
    wait
}

# size_of CANDIDATE: "table indexes dead", bytes and rows
size_of() {
    sql --field-separator ' ' --command "SELECT pg_table_size(t), pg_indexes_size(t), pg_stat_get_dead_tuples(t)
        FROM CAST('${live[$1]}' AS regclass) AS t"
}

print_size() {
    awk -v name="${label[$1]}" -v when="$2" '{
        printf "%-26s %-10s %6.1f MB %6.1f MB %10d\n", name, when, $1 / 1048576, $2 / 1048576, $3
    }' <<<"$(size_of "$1")"
}

dead_of() { size_of "$1" | cut -d' ' -f3; }

# until_it_is_back CANDIDATE DEAD: looks each second whether so few are left, for as long as jobs come
until_it_is_back() {
    local second
    for ((second = 0; second < after; second++)); do
        if (($(dead_of "$1") <= $2)); then break; fi
        sleep 1
    done
    printf '%-26s %-10s %9d s%s\n' "${label[$1]}" 'dead gone' $second "$( ((second < after)) || echo ', not yet')"
}
