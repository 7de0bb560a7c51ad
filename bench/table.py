"""The tables of docs/performance.md, from the results of one run or of several:

    python3 bench/table.py build/bench/results.json [another/results.json ...]

Of several runs `ours` and `theirs` are those of the run with the middle ratio; every run's ratio is there,
and a goal is met where it was in each of them.
"""

import json
import sys

AT_MOST = ("instructions", "allocations", "stream_memory", "server_memory", "growth", "planner")


def figure(value):
    if value is None:
        return ""
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 100 else f"{value:.2f}" if abs(value) >= 1 else f"{value:.3f}"


def verdict(of_each_run):
    if None in of_each_run:
        return ""
    met = sum(of_each_run)
    if met == len(of_each_run):
        return "met"
    return "**missed**" if met == 0 else f"**missed in {len(of_each_run) - met} of {len(of_each_run)}**"


runs = [{(row["case"], row["against"]): row for row in json.load(open(path))} for path in sys.argv[1:]]
print("| case | against | ours | theirs | | ratio | goal | |")
print("|---|---|--:|--:|---|--:|--:|---|")
for case, against in runs[0]:
    rows = [run[case, against] for run in runs if (case, against) in run]
    middle = sorted(rows, key=lambda row: row["ratio"] or 0)[len(rows) // 2]
    goal = ""
    if middle["goal"] is not None:
        goal = ("<= " if case.startswith(AT_MOST) else ">= ") + f"{middle['goal']:g}"
    ratios = ", ".join(dict.fromkeys(figure(row["ratio"]) for row in rows if row["ratio"] is not None))
    print(
        f"| {case} | {against} | {figure(middle['ours'])} | {figure(middle['theirs'])} "
        f"| {middle['unit']} | {ratios} | {goal} | {verdict([row['met'] for row in rows])} |"
    )
