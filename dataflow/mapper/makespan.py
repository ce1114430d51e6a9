"""The least time in which tasks that each go to one of several units can be done."""

from __future__ import annotations

import numpy as np

#: Nodes of the tree of choices that are looked at; with fewer than it has, the least time is bounded.
MOST_NODES = 300


def makespan(times: list[dict[str, float]]) -> float:
    """What no way to give each task to a unit takes less than, by integer programming (HiGHS): the least
    time where that is found soon. Each task has its seconds by unit; one without any takes none.
    """
    from scipy.optimize import Bounds, LinearConstraint, milp  # a third of what `einsim map` would import

    tasks = [task for task in times if task]
    units = sorted({unit for task in tasks for unit in task})
    if not tasks:
        return 0.0
    pairs = [(at, unit) for at, task in enumerate(tasks) for unit in task]
    scale = max(min(task.values()) for task in tasks) or 1.0
    busy = np.zeros((len(units), len(pairs) + 1))
    done = np.zeros((len(tasks), len(pairs) + 1))
    for column, (at, unit) in enumerate(pairs):
        busy[units.index(unit), column] = tasks[at][unit] / scale
        done[at, column] = 1.0
    busy[:, -1] = -1.0
    goal = np.zeros(len(pairs) + 1)
    goal[-1] = 1.0
    whole = np.append(np.ones(len(pairs)), 0)
    solved = milp(
        goal, integrality=whole, bounds=Bounds(0, np.append(np.ones(len(pairs)), np.inf)),
        constraints=(LinearConstraint(busy, -np.inf, 0), LinearConstraint(done, 1, 1)),
        options={"node_limit": MOST_NODES, "mip_rel_gap": 0},
    )  # fmt: skip
    return float(solved.mip_dual_bound or 0.0) * scale * (1 - 1e-9)
