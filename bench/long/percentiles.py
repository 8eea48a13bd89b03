"""Prints the p50, p95, p99 and the worst latency, in ms, of the transactions that pgbench logged (--log) between two moments.

With --rate a transaction that had to wait for its turn is counted from its turn on.
"""
import sys
from math import ceil


def latencies(paths, begin, end):
    for path in paths:
        with open(path) as lines:
            for line in lines:
                field = line.split()
                at = int(field[4]) + int(field[5]) / 1e6
                if begin <= at < end and field[2].isdigit():
                    lag = int(field[6]) if len(field) > 6 else 0
                    yield (int(field[2]) - lag) / 1000


def main():
    begin, end, *paths = sys.argv[1:]
    ms = sorted(latencies(paths, float(begin), float(end)))
    if not ms:
        print("nan nan nan nan")
        return
    at = lambda share: ms[max(0, ceil(share * len(ms)) - 1)]
    print(*(f"{value:.3f}" for value in (at(0.50), at(0.95), at(0.99), ms[-1])))


main()
