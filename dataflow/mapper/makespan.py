"""The least time in which tasks that each go to one of several units can be done."""

from __future__ import annotations

import numpy as np

from einsim.dataflow.mapper.objective import nondominated

#: Nodes of the tree of choices that are looked at; with fewer than it has, the least time is bounded.
MOST_NODES = 300


def makespan(times: list[list[dict[str, float]]]) -> float:
    """What no way to do each task takes less than, by integer programming (HiGHS): the least time where that
    is found soon. Each task has its ways, each with its seconds by unit; one without any takes none.
    """
    from scipy.optimize import Bounds, LinearConstraint, milp  # a third of what `einsim map` would import

    units = sorted({unit for task in times for way in task for unit in way})
    tasks = [nondominated(task, lambda way: tuple(way.get(u, 0.0) for u in units)) for task in times if task]
    if not tasks:
        return 0.0
    pairs = [(at, way) for at, task in enumerate(tasks) for way in task]
    scale = max(min(max(way.values(), default=0.0) for way in task) for task in tasks) or 1.0
    busy = np.zeros((len(units), len(pairs) + 1))
    done = np.zeros((len(tasks), len(pairs) + 1))
    for column, (at, way) in enumerate(pairs):
        for unit, seconds in way.items():
            busy[units.index(unit), column] = seconds / scale
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
