# Owns who takes part: a row a candidate. Sourced by ../long.sh.
#
# All scripts are found by their names, here or one folder up: claim_one.CLAIMS.sql claims and finishes one job,
# fill.TABLE.sql makes waiting jobs, create_job.TABLE.sql one, history.TABLE.sql finished ones.
# shellcheck shell=bash disable=SC2034,SC2154

candidates=()
declare -A server_of claims table most label
# candidate NAME SERVER CLAIMS TABLE MOST LABEL; MOST is what it never claims in a second, so that no queue runs dry
candidate() {
    candidates+=("$1")
    server_of[$1]=$2 claims[$1]=$3 table[$1]=$4 most[$1]=$5 label[$1]=$6
}
candidate foreman preloaded two_calls foreman 14000 'pg_foreman'
candidate foreman_one preloaded one_call foreman 18000 'pg_foreman, one call'
candidate foreman_plain plain two_calls foreman 12000 'pg_foreman, not preloaded'
candidate hand_move plain move move 12000 'by hand, moved'
candidate hand_in_place plain in_place in_place 12000 'by hand, in place'
candidate graphile plain graphile graphile 12000 'graphile-worker'
candidate pg_boss plain pg_boss pg_boss 9000 'pg-boss'
candidate procrastinate plain procrastinate procrastinate 6000 'Procrastinate'
candidate pgq plain pgq pgq 0 'PgQ (a log)'
# These take part in a scenario of their own.
candidate foreman_five preloaded five_queues five 14000 'pg_foreman, five queues'
candidate hand_five plain hand_five hand_five 12000 'by hand, five queues'

# taking_part NAME…: those of them that are wanted and could be set up
taking_part() {
    local name
    for name; do
        if [[ $name =~ ${CANDIDATES:-.} && -z ${left_out[$name]:-} ]]; then echo "$name"; fi
    done
}

# script ACTION VARIANT: the path of its file
script() {
    local path
    for path in "$root/bench/$1.$2.sql" "$root/bench/long/$1.$2.sql"; do
        if [[ -e $path ]]; then
            echo "$path"
            return
        fi
    done
    echo "there is no $1.$2.sql" >&2
    return 1
}

# fill CANDIDATE JOBS: its queue as new, with so many waiting jobs in three priorities
fill() {
    sql --set jobs="$2" --set priorities=3 --file "$(script fill "${table[$1]}")" --command CHECKPOINT >/dev/null
}

# claim_script CANDIDATE: the first statement of claim_one alone, which claims
claim_script() {
    local path=$scratch/claim.${claims[$1]}.sql
    sed '/\\gset$/q' "$(script claim_one "${claims[$1]}")" >"$path"
    echo "$path"
}
