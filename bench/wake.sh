# Owns the comparison of wakes: wait_for_jobs beside LISTEN and NOTIFY by hand (wake.rs).
# Sourced by run.sh, whose cluster and settings it uses.
#
# Prints milliseconds from a job's creation to its claim by the one worker that waits, in an idle queue, for the middle job,
# for the last but a hundredth, and for the worst. Beside it so many sessions wait for other queues; the last column is what
# these compute together while nothing happens, in percent of a core.
# shellcheck shell=bash disable=SC2154

echo
echo 'waking: ms from create_job to the claim of a worker that waits; others wait for other queues, idle CPU is theirs'
printf '%-18s %7s %5s %10s %10s %10s %10s\n' way others sync p50 p99 worst 'idle CPU'
for sync in off on; do
    # At 50 jobs a second these take the time of the rounds.
    cargo run --quiet --package foreman-tests --bin wake -- $((seconds * rounds * 50)) "$sync"
done
echo 'to reach: p99 50 ms for wait_for_jobs beside 200 others'
