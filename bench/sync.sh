# Owns what a session sets about the disk: synchronous_commit off, on, or on and each flush of the log delayed by 1ms, as disks
# are that don't lie. Sourced by run.sh and long.sh.
# shellcheck shell=bash disable=SC2034

declare -A sync_options=(
    [off]='-c synchronous_commit=off'
    [on]='-c synchronous_commit=on'
    [1ms]='-c synchronous_commit=on -c commit_delay=1000 -c commit_siblings=0'
)
