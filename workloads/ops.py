"""The scalar operators a cascade may use: arguments, meaning, and the primitive operation that each costs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from einsim.specs.registry import Registry

Array = NDArray[np.float64]


class ScalarOp(msgspec.Struct, frozen=True):
    """`arity` arguments; `meaning` takes as many arrays and works on each element.

    `costs_as` names the primitive that the op costs as, "" for itself.
    """

    arity: int
    meaning: Callable[..., Any]
    costs_as: str = ""


def _quotient(x: Array, y: Array) -> Array:
    """0 / 0 is 0: what a row without any point has, shared among as many. Other divisors of 0 give inf."""
    result: Array = np.where((x == 0) & (y == 0), 0.0, x / np.where((x == 0) & (y == 0), 1.0, y))
    return result


def _sigmoid(x: Array) -> Array:
    from scipy.special import expit  # scipy is only needed where values are computed

    result: Array = expit(x)
    return result


def _erf(x: Array) -> Array:
    from scipy.special import erf

    result: Array = erf(x)
    return result


# Operators given in the cascade language itself; they are expanded where they are used.
DEFINED: dict[str, str] = {
    "relu(x)": "max(x, 0)",
    "square(x)": "x * x",
    "silu(x)": "x * sigmoid(x)",
    # Hendrycks & Gimpel, arXiv 1606.08415, the exact form and its approximations by tanh and by a sigmoid.
    "gelu(x)": "0.5 * x * (1 + erf(x * 0.7071067811865476))",
    "gelu_tanh(x)": "0.5 * x * (1 + tanh(0.7978845608028654 * (x + 0.044715 * x * x * x)))",
    "gelu_quick(x)": "x * sigmoid(1.702 * x)",
}


def _reserved() -> tuple[str, ...]:
    """Names that mean something else where an operator stands, or in a unit's table of ops."""
    return ("sum", "prune", "position", "mac", "cmp", "inf", *(head.partition("(")[0] for head in DEFINED))


OPS: Final = Registry(
    "op",
    {
        "add": ScalarOp(2, np.add),
        "sub": ScalarOp(2, np.subtract, "add"),
        "mul": ScalarOp(2, np.multiply),
        "div": ScalarOp(2, _quotient),
        "max": ScalarOp(2, np.maximum),
        "min": ScalarOp(2, np.minimum),
        "exp": ScalarOp(1, np.exp),
        "log": ScalarOp(1, np.log),
        "sqrt": ScalarOp(1, np.sqrt),
        "rsqrt": ScalarOp(1, lambda x: 1 / np.sqrt(x)),
        "tanh": ScalarOp(1, np.tanh),
        "sigmoid": ScalarOp(1, _sigmoid),
        "erf": ScalarOp(1, _erf),
        "abs": ScalarOp(1, np.abs),
        "lt": ScalarOp(2, np.less, "cmp"),
        "le": ScalarOp(2, np.less_equal, "cmp"),
        "gt": ScalarOp(2, np.greater, "cmp"),
        "ge": ScalarOp(2, np.greater_equal, "cmp"),
        "eq": ScalarOp(2, np.equal, "cmp"),
        "ne": ScalarOp(2, np.not_equal, "cmp"),
        "select": ScalarOp(3, lambda chooses, one, other: np.where(chooses != 0, one, other)),
    },
    reserved=_reserved,
    words=True,
)
"""Operators by name. Reductions take the associative ones."""

# Named reductions and the value that leaves a reduction unchanged.
IDENTITY: dict[str, float] = {"sum": 0.0, "max": float("-inf"), "min": float("inf")}


def primitive(op: str) -> str:
    """The canonical primitive of an operator: sub costs as add, a comparison as cmp, pruning as select."""
    if op.startswith("prune["):
        return "select"
    row = OPS.get(op)
    return op if row is None else row.costs_as or op


def position_op(rank: str) -> str:
    """The operator whose value is the rank's own position; a loop has it at hand, so it costs nothing."""
    return f"position[{rank}]"


def position_rank(op: str) -> str | None:
    """The rank of a position operator, None for any other."""
    return op[len("position[") : -1] if op.startswith("position[") else None


def prune_op(kept: int, group: int, rank: str) -> str:
    """The operator that keeps the `kept` largest magnitudes of every `group` along `rank`."""
    return f"prune[{kept}:{group},{rank}]"


def prune_parts(op: str) -> tuple[int, int, str] | None:
    """(kept, group, rank) of a pruning operator, None for any other."""
    if not op.startswith("prune["):
        return None
    pattern, rank = op[len("prune[") : -1].split(",")
    kept, group = pattern.split(":")
    return int(kept), int(group), rank
