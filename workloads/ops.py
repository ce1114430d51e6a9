"""The scalar operators a cascade may use: their arguments and the primitive operation that each one costs."""

from __future__ import annotations

# Operator -> number of arguments. Reductions take the associative ones.
ARITY: dict[str, int] = {
    "add": 2, "sub": 2, "mul": 2, "div": 2, "max": 2, "min": 2,
    "exp": 1, "log": 1, "sqrt": 1, "rsqrt": 1, "tanh": 1, "sigmoid": 1, "erf": 1, "abs": 1,
    "lt": 2, "le": 2, "gt": 2, "ge": 2, "eq": 2, "ne": 2, "select": 3,
}  # fmt: skip

# Operators that cost as another primitive; the rest cost as themselves.
COSTS_AS: dict[str, str] = {"sub": "add", **dict.fromkeys(("lt", "le", "gt", "ge", "eq", "ne"), "cmp")}

# Named reductions and the value that leaves a reduction unchanged.
IDENTITY: dict[str, float] = {"sum": 0.0, "max": float("-inf"), "min": float("inf")}

# Operators given in the cascade language itself; they are expanded where they are used.
DEFINED: dict[str, str] = {
    "relu(x)": "max(x, 0)",
    "square(x)": "x * x",
    "silu(x)": "x * sigmoid(x)",
    # Hendrycks & Gimpel, arXiv 1606.08415, the exact form and its tanh approximation.
    "gelu(x)": "0.5 * x * (1 + erf(x * 0.7071067811865476))",
    "gelu_tanh(x)": "0.5 * x * (1 + tanh(0.7978845608028654 * (x + 0.044715 * x * x * x)))",
}


def primitive(op: str) -> str:
    """The canonical primitive of an operator: sub costs as add, a comparison as cmp, pruning as select."""
    return "select" if op.startswith("prune[") else COSTS_AS.get(op, op)


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
