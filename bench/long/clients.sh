# Owns how the rate of claims goes with the number of clients. Sourced by ../long.sh.
# shellcheck shell=bash disable=SC2154,SC2004

counts=(8 16 32 64)
candidate nothing plain nothing nothing 0 'SELECT 1, no job'

scenario_clients() {
    local sync candidate taking clients round
    mapfile -t taking < <(taking_part foreman foreman_one foreman_plain hand_move hand_in_place nothing)
    echo 'claimed and finished one at a time: jobs per second by the number of clients'
    printf '%-26s %5s %9s %9s %9s %9s %16s\n' '' sync "${counts[@]}" 'lowest to first'
    for sync in off on 1ms; do
        local -A found=()
        for ((round = 0; round < rounds; round++)); do
            for clients in "${counts[@]}"; do
                for candidate in "${taking[@]}"; do
                    use "$candidate"
                    fill "$candidate" $((seconds * most[$candidate] + 1000))
                    found[$candidate.$clients]+=$(rate $sync "$clients" "$seconds" \
                        "$(script claim_one "${claims[$candidate]}")" --define 'outcomes=[]')$'\n'
                done
            done
        done
        for candidate in "${taking[@]}"; do
            for clients in "${counts[@]}"; do middle <<<"${found[$candidate.$clients]}"; done | paste -sd' ' |
                awk -v name="${label[$candidate]}" -v sync=$sync '{
                    low = $1; for (i = 2; i <= NF; i++) if ($i < low) low = $i
                    printf "%-26s %5s %9.0f %9.0f %9.0f %9.0f %15.2fx\n", name, sync, $1, $2, $3, $4, low / $1
                }'
        done
    done
    echo 'to reach: 0.85x'
}
