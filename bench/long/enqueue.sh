# Owns what making jobs costs: one at a time, and a thousand at once. Sourced by ../long.sh.
# shellcheck shell=bash disable=SC2154

candidate bare plain '' bare 0 'INSERT alone'

scenario_enqueue() {
    local taking
    mapfile -t taking < <(taking_part bare foreman foreman_plain graphile pg_boss procrastinate pgq)
    echo 'made one at a time by 8 clients: jobs per second'
    made_by create_job 1 "${taking[@]}"
    mapfile -t taking < <(taking_part bare foreman foreman_plain)
    echo
    echo 'made a thousand at once, by 8 clients, INSERT … SELECT beside create_jobs: jobs per second'
    made_by create_jobs 1000 "${taking[@]}"
}

# made_by CALL AT_ONCE CANDIDATE…
# A ratio is the middle one of each round's to the INSERT of the same round, seconds before: the machine's own pace
# changes by a third from one minute to the next, and most of that goes out.
made_by() {
    local sync candidate round made bare
    printf '%-26s %5s %9s %9s\n' '' sync rate 'to INSERT'
    for sync in off on 1ms; do
        local -A rates=() ratios=()
        for ((round = 0; round < rounds; round++)); do
            bare=nan
            for candidate in "${@:3}"; do
                use "$candidate"
                # Some are there already, so that no plan is made for an empty table.
                fill "$candidate" 10000
                made=$(rate $sync 8 "$seconds" "$(script "$1" "${table[$candidate]}")")
                [[ $candidate == bare ]] && bare=$made
                rates[$candidate]+=$made$'\n'
                ratios[$candidate]+=$(awk -v made="$made" -v bare="$bare" 'BEGIN { print made / bare }')$'\n'
            done
        done
        for candidate in "${@:3}"; do
            awk -v name="${label[$candidate]}" -v sync=$sync -v rate="$(middle <<<"${rates[$candidate]}")" -v at_once="$2" \
                -v ratio="$(middle <<<"${ratios[$candidate]}")" 'BEGIN {
                    printf "%-26s %5s %9.0f %8.2fx\n", name, sync, rate * at_once, ratio
                }'
        done
    done
}
