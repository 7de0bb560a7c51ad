"""The tables of docs/performance.md from results.json: python3 bench/table.py build/bench/results.json"""

import json
import sys


def figure(value):
    if value is None:
        return ""
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 100 else f"{value:.2f}" if abs(value) >= 1 else f"{value:.3f}"


AT_MOST = ("instructions", "allocations", "stream_memory", "server_memory", "growth", "planner")

print("| case | against | ours | theirs | | ratio | goal | |")
print("|---|---|--:|--:|---|--:|--:|---|")
for row in json.load(open(sys.argv[1])):
    at_most = row["case"].startswith(AT_MOST)
    goal = "" if row["goal"] is None else ("<= " if at_most else ">= ") + f"{row['goal']:g}"
    met = {None: "", True: "met", False: "**missed**"}[row["met"]]
    print(
        f"| {row['case']} | {row['against']} | {figure(row['ours'])} | {figure(row['theirs'])} "
        f"| {row['unit']} | {figure(row['ratio'])} | {goal} | {met} |"
    )
