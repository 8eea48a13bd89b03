"""Prints the table of a comparison beside an old snapshot, and draws its two charts.

Reads NAME.csv and NAME.latency.csv, which pinned.sh wrote, and "candidate=label" lines from its input.
"""
import csv
import sys
from collections import defaultdict
from statistics import median

import chart

STYLES = {
    "foreman": ("#0072B2", ""), "foreman_one": ("#0072B2", "9 4"), "foreman_plain": ("#0072B2", "2 3"),
    "foreman_five": ("#0072B2", "9 4"), "hand_move": ("#D55E00", ""), "hand_in_place": ("#D55E00", "9 4"),
    "hand_five": ("#D55E00", "9 4"), "graphile": ("#009E73", ""), "pg_boss": ("#CC79A7", ""),
    "procrastinate": ("#E69F00", ""), "pgq": ("#777777", "2 3"),
}
PHASES = [("before", "#bbbbbb", "before"), ("beside", "#D55E00", "last minute beside it"),
          ("after", "#777777", "last minute after it")]


def read(path):
    with open(path) as table:
        return list(csv.DictReader(table))


def of_rounds(rows, keys, value):
    """The middle one of the rounds for each combination of the keys."""
    found = defaultdict(list)
    for row in rows:
        found[tuple(row[key] for key in keys)].append(float(row[value]))
    return {key: median(values) for key, values in found.items()}


def lines(path, value, labels):
    """What was counted of each candidate over time: (second, value)."""
    values = of_rounds(read(path), ("candidate", "second"), value)
    points = {who: sorted((float(second), value) for (candidate, second), value in values.items() if candidate == who)
              for who in labels}
    return {who: line for who, line in points.items() if line}


def phases(points, free, pinned, window):
    """The middle of what was before, in the first seconds beside the snapshot, and in its last minute."""
    end = free + pinned
    in_time = lambda begin, end: [value for second, value in points if begin < second <= end]
    middle = lambda values: median(values) if values else float("nan")
    times = (min(window, free / 2), free), (free, free + window), (end - min(60, pinned / 2), end)
    return [middle(in_time(*time)) for time in times]


def figures(points, pages, free, pinned, window):
    """What a row of the table is made of, from (second, rate) and (second, pages)."""
    before, first, last = phases(points, free, pinned, window)
    end = free + pinned
    back = next((second - end for second, rate in points if second > end and rate >= 0.9 * before), None)
    return before, first, last, back, phases(pages, free, pinned, window)


def ratio(part, whole):
    return f"{part / whole:8.2f}x" if whole and whole == whole else " " * 8 + "-"


def whole(number):
    return f"{number:.0f}" if number == number else "-"


def print_table(found, labels, window):
    by_hand = max((figure[2] for who, figure in found.items() if who.startswith("hand_")), default=float("nan"))
    print(f'{"":26} {"before":>9} {f"first {window:g} s":>9} {"last min":>9} {"to first":>9} {"to before":>9}'
          f' {"to by hand":>10} {"back after":>10} {"pages: first":>13} {"last min":>9}')
    for who, (before, first, last, back, pages) in found.items():
        after = f"{back:8.0f} s" if back is not None else "not yet"
        # Events of a log are not claims.
        to_hand = "-" if who == "pgq" else ratio(last, by_hand)
        print(f"{labels[who]:26} {before:9.0f} {first:9.0f} {last:9.0f} {ratio(last, first)} {ratio(last, before)}"
              f" {to_hand:>10} {after:>10} {whole(pages[1]):>13} {whole(pages[2]):>9}")
    print("to by hand: to the best one by hand in that minute; back after: until 90 % of the rate before; pages: looked at by a")
    print("transaction, whatever else the machine has to do")


def main():
    name, title = sys.argv[1:3]
    free, pinned, window = map(float, sys.argv[3:])
    labels = dict(line.strip().split("=", 1) for line in sys.stdin)
    points = lines(f"{name}.csv", "rate", labels)
    pages = lines(f"{name}.pages.csv", "pages", labels)
    if not points:
        return
    found = {who: figures(line, pages.get(who, []), free, pinned, window) for who, line in points.items()}
    print_table(found, labels, window)
    chart.lines(
        f"{name}.svg", f"Claims beside an old transaction{title}",
        "8 clients, each claims and finishes one job at a time; synchronous_commit off", "seconds",
        "jobs per second (logarithmic)",
        [(labels[who], STYLES[who], line) for who, line in points.items()],
        (free, free + pinned, "a REPEATABLE READ transaction is open"))
    rows = read(f"{name}.latency.csv")
    three = {share: of_rounds(rows, ("candidate", "phase"), share) for share in ("p50", "p95", "p99")}
    known = lambda key: all(three[share].get(key, float("nan")) == three[share].get(key) for share in three)
    latencies = [(labels[who], {phase: tuple(three[share][who, phase] for share in three)
                                for phase, _, _ in PHASES if known((who, phase))}) for who in points]
    latencies = [(label, phases) for label, phases in latencies if phases]
    if latencies:
        chart.ranges(
            f"{name}.latency.svg", f"Claim and finish of a job beside an old transaction{title}",
            "dot: half of them; thick mark: 95 of 100; end of the line: 99 of 100. 8 clients, synchronous_commit off",
            "milliseconds (logarithmic)", latencies, PHASES)


main()
