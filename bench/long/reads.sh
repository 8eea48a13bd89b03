# Owns what it costs to look at much: job_stats() and db_health() beside a history and a backlog. Sourced by ../long.sh.
# shellcheck shell=bash disable=SC2154

scenario_reads() {
    local call candidate=foreman
    echo "one session after another call, with $history finished and $((backlog / 10)) waiting, and with none of either: ms"
    printf '%-26s %9s %9s %9s   %9s %9s\n' '' p50 p95 worst 'none: p50' p95
    use $candidate
    new_database many && new_database few
    use $candidate many
    fill $candidate $((backlog / 10))
    sql --set jobs="$history" --file "$(script history foreman)" --command CHECKPOINT >/dev/null
    for call in 'foreman.job_stats()' "foreman.job_stats('bench')" 'foreman.db_health()'; do
        echo "SELECT $call;" >"$scratch/read.sql"
        use $candidate many
        many=$(reading)
        use $candidate few
        awk -v call="$call" -v many="$many" -v few="$(reading)" 'BEGIN {
            split(many, m); split(few, f)
            printf "%-26s %9.2f %9.2f %9.2f   %9.2f %9.2f\n", call, m[1], m[2], m[4], f[1], f[2]
        }'
    done
    use $candidate
    sql --command 'DROP DATABASE many WITH (FORCE)' --command 'DROP DATABASE few WITH (FORCE)'
}

# reading: p50, p95, p99 and worst of fifty calls
reading() {
    rm -f "$scratch/read".*[0-9]
    bench on 1 --transactions 50 --log --log-prefix "$scratch/read" --file "$scratch/read.sql" >/dev/null
    percentiles 0 1e12 "$scratch/read".*[0-9]
}
