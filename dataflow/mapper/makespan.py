"""The least time in which tasks that each go to one of several engines can be done, whole or split."""

from __future__ import annotations

import numpy as np
from scipy.optimize import linprog


def makespan(rows: list[dict[str, int]]) -> int:
    """The least largest load, by branch and bound; each row gives a task's time on every engine that
    can do it.

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


def split_makespan(times: list[dict[str, float]]) -> float:
    """The same where jobs may be split, by linear programming (HiGHS), from each job's seconds by unit."""
    jobs = [job for job in times if job]
    units = sorted({unit for job in jobs for unit in job})
    if not jobs:
        return 0.0
    pairs = [(at, unit) for at, job in enumerate(jobs) for unit in job]
    scale = max(min(job.values()) for job in jobs) or 1.0
    busy = np.zeros((len(units), len(pairs) + 1))
    done = np.zeros((len(jobs), len(pairs) + 1))
    for column, (at, unit) in enumerate(pairs):
        busy[units.index(unit), column] = jobs[at][unit] / scale
        done[at, column] = 1.0
    busy[:, -1] = -1.0
    goal = np.zeros(len(pairs) + 1)
    goal[-1] = 1.0
    solved = linprog(goal, A_ub=busy, b_ub=np.zeros(len(units)), A_eq=done, b_eq=np.ones(len(jobs)))
    return float(solved.fun or 0.0) * scale * (1 - 1e-9) if solved.success else 0.0
