"""The value of an Einsum's expression at each of its points, and sums, maxima and minima of those."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from einsim.validation.oracle.points import Ints, Points
from einsim.workloads.expression import Access, Apply, Expr, Literal

Floats = NDArray[np.float64]
Read = Callable[[Access], Floats]
"""The value that each point finds where an operand is held; NaN where nothing was ever put."""


def _select(chooses: Floats, one: Floats, other: Floats) -> Floats:
    return np.where(chooses != 0, one, other)


def _shared(x: Floats, y: Floats) -> Floats:
    """A quotient; of nothing among none it is nothing."""
    found = np.divide(x, y)
    found[np.logical_and(x == 0, y == 0)] = 0.0
    return found


FUNCTIONS: dict[str, Callable[..., Floats]] = {
    "add": np.add, "sub": np.subtract, "mul": np.multiply, "div": _shared, "max": np.maximum,
    "min": np.minimum, "exp": np.exp, "log": np.log, "sqrt": np.sqrt, "tanh": np.tanh, "abs": np.abs,
    "rsqrt": lambda x: 1 / np.sqrt(x), "sigmoid": lambda x: 1 / (1 + np.exp(-x)),
    "erf": lambda x: np.array([math.erf(value) for value in x]),
    "lt": np.less, "le": np.less_equal, "gt": np.greater, "ge": np.greater_equal,
    "eq": np.equal, "ne": np.not_equal, "select": _select,
}  # fmt: skip
CHOOSING = {"lt", "le", "gt", "ge", "eq", "ne", "select"}
GATHER: dict[str, tuple[float, np.ufunc]] = {
    "sum": (0.0, np.add), "max": (-math.inf, np.maximum), "min": (math.inf, np.minimum)
}  # fmt: skip


def evaluate(expr: Expr, points: Points, read: Read, sizes: dict[str, int]) -> Floats:
    """The expression at each point; a comparison gives 1 or 0."""
    if isinstance(expr, Literal):
        return np.full(points.count, expr.value)
    if isinstance(expr, Access):
        return read(expr)
    if expr.op.startswith("position["):
        return points.at[expr.op[len("position[") : -1]].astype(np.float64)
    arguments = [evaluate(argument, points, read, sizes) for argument in expr.args]
    if expr.op.startswith("prune["):
        return _prune(expr, arguments[0], points, sizes)
    with np.errstate(all="ignore"):
        result = np.asarray(FUNCTIONS[expr.op](*arguments), dtype=np.float64)
    if expr.op in CHOOSING:  # numpy would call what compares with an unknown value false, and choose
        result[np.isnan(arguments[0]) | (np.isnan(arguments[1]) & (expr.op != "select"))] = math.nan
    return result


def _prune(expr: Apply, value: Floats, points: Points, sizes: dict[str, int]) -> Floats:
    """Of each group along a rank the largest magnitudes stay, of equals the first; the others become 0.

    Who wins is known only when the whole group is there: a group of which a part is missing is NaN.
    """
    pattern, rank = expr.op[len("prune[") : -1].split(",")
    kept, of = map(int, pattern.split(":"))
    others = [places for name, places in points.at.items() if name != rank]
    result = np.full(points.count, math.nan)
    groups: dict[tuple[int, ...], list[int]] = {}
    for point in range(points.count):
        key = (*(int(places[point]) for places in others), int(points.at[rank][point]) // of)
        groups.setdefault(key, []).append(point)
    for key, members in groups.items():
        if len(members) == min(of, sizes[rank] - key[-1] * of):
            members.sort(key=lambda point: (-abs(value[point]), points.at[rank][point]))
            result[members] = 0.0
            result[members[:kept]] = value[members[:kept]]
    return result


def gather(reduce: str | None, value: Floats, target: Ints, before: Floats) -> Floats:
    """`before` with the value of every point joined to the target that it belongs to."""
    joined = before.copy()
    if reduce is None:
        joined[target] = value
    else:
        with np.errstate(all="ignore"):
            GATHER[reduce][1].at(joined, target, value)
    return joined
