"""The least time in which tasks that each go to one of several engines can be done, by branch and bound."""

from __future__ import annotations


def makespan(rows: list[dict[str, int]]) -> int:
    """The least largest load; each row gives a task's time on every engine that can do it.

    0 where some task has no engine.
    """
    if not rows or not all(rows):
        return 0
    rows = sorted(rows, key=lambda row: -min(row.values()))
    rest = [0]
    for row in reversed(rows):
        rest.append(rest[-1] + min(row.values()))
    rest.reverse()
    engines = sorted({engine for row in rows for engine in row})
    best = sum(max(row.values()) for row in rows) + 1

    def place(at: int, loads: dict[str, int]) -> None:
        nonlocal best
        most = max(loads.values())
        if max(most, -(-(sum(loads.values()) + rest[at]) // len(engines))) >= best:
            return
        if at == len(rows):
            best = most
            return
        for engine, ticks in sorted(rows[at].items(), key=lambda item: loads[item[0]] + item[1]):
            place(at + 1, {**loads, engine: loads[engine] + ticks})

    place(0, dict.fromkeys(engines, 0))
    return best
