# Owns the comparison of claims and finishes: ours beside queues on SKIP LOCKED written by hand (by_hand.sql), in turn.
# Sourced by run.sh, whose cluster and settings it uses.
#
# Prints jobs per second, the middle one of ROUNDS, and ours as a ratio of the better one by hand. Each round begins with a
# queue as new, so that nobody pays for another's dead rows, and full enough not to run dry.
# shellcheck shell=bash disable=SC2154

# Jobs in a second that no variant reaches, for 1, 10 and 100 at once.
declare -A most=([1]=20000 [10]=50000 [100]=100000)

# fill VARIANT AT_ONCE: a queue as new
fill() {
    psql --no-psqlrc --quiet --set jobs=$((seconds * most[$2] + 1000)) --set priorities=1 --file "fill.$1.sql" >/dev/null
}

# jobs_rate CALL VARIANT AT_ONCE CLIENTS SYNC: jobs per second of one round. One at a time it lasts three times as long: in
# its first seconds a queue by hand has no dead rows yet, and does twice what it does after ten.
jobs_rate() {
    local table=$2 rate seconds=$(($3 == 1 ? seconds * 3 : seconds))
    if [[ $2 == *_call* ]]; then table=foreman; fi
    fill "$table" "$3"
    if ! rate=$(rate "$1" "$2" "$4" "$5" --define n="$3" --define 'outcomes=[]'); then
        echo "$1.$2, $3 at once, $4 clients: clients gave up, the rate is too low" >&2
    fi
    if (($(psql --no-psqlrc --quiet --tuples-only --no-align --file "ready.$table.sql") == 0)); then
        echo "$1.$2, $3 at once, $4 clients: the queue ran dry, the rate is too low" >&2
    fi
    awk -v rate="$rate" -v n="$3" 'BEGIN { print rate * n }'
}

echo
echo 'claiming and finishing: jobs per second; two calls are claim_jobs and complete_job(s), one is finish_and_claim'
printf '%7s %7s %5s %10s %10s %10s %10s %11s %11s\n' 'at once' clients sync 'two calls' 'one call' 'by hand' 'in place' \
    'two to best' 'one to best'
declare -A alone=()
for at_once in 1 10 100; do
    call=claim_one
    if ((at_once > 1)); then call=claim_many; fi
    for sync in off on 1ms; do
        for clients in 1 8 32; do
            declare -A rates=([two_calls]='' [one_call]='' [move]='' [in_place]='')
            for ((round = 0; round < rounds; round++)); do
                for variant in two_calls move one_call in_place; do
                    rates[$variant]+="$(jobs_rate $call "$variant" $at_once $clients $sync)"$'\n'
                done
            done
            for variant in two_calls one_call move in_place; do
                rates[$variant]=$(printf %s "${rates[$variant]}" | middle)
            done
            awk -v at_once=$at_once -v clients=$clients -v sync=$sync -v two="${rates[two_calls]}" \
                -v one="${rates[one_call]}" -v move="${rates[move]}" -v in_place="${rates[in_place]}" 'BEGIN {
                    best = move > in_place ? move : in_place
                    printf "%7d %7d %5s %10.0f %10.0f %10.0f %10.0f %10.2fx %10.2fx\n", at_once, clients, sync, two,
                        one, move, in_place, two / best, one / best
                }'
            if ((at_once == 1)); then alone[$sync.$clients]=${rates[two_calls]}; fi
            if ((at_once == 100)); then
                awk -v sync=$sync -v clients=$clients -v many="${rates[two_calls]}" -v one="${alone[$sync.$clients]}" \
                    'BEGIN { printf "%20s to one at a time, two calls: %.1fx (to reach: 5x)\n", "", many / one }'
            fi
        done
    done
    if ((at_once == 1)); then echo 'to reach one at a time: two calls 0.90x, one call 1.25x with sync on'; fi
done
