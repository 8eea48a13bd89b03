#!/usr/bin/env bash
# A worker of the tour: one session, asked again and again to work, until there is nothing left or a job kills it.
# The connection comes from the environment.
set -euo pipefail
psql=$1 name=$2
coproc SESSION { exec "$psql" --no-psqlrc --quiet --no-align --tuples-only --set ON_ERROR_STOP=1 2>&1; }
while true; do
    echo "SELECT demo.work('$name');" >&"${SESSION[1]}"
    read -r answer <&"${SESSION[0]}"
    # shellcheck disable=SC2154
    case $answer in
        crash) kill -9 "$SESSION_PID" $$ ;;
        busy) ;;
        idle) sleep 0.2 ;;
        *)
            echo "$answer" >&2
            exit 1
            ;;
    esac
done
