"""What an array is asked to do, and what it is: Gemm, ArraySpec and the fold of one onto the other.

Axes. A GEMM is out[m, n] = sum over k of A[m, k] * B[k, n]. An array of `rows` x `cols` holds two of the
three ranks in space and streams the third in time:

    output-stationary   rows hold m   cols hold n   k streams
    weight-stationary   rows hold k   cols hold n   m streams
    input-stationary    rows hold k   cols hold m   n streams

N:M. B may keep at most n of every m consecutive values along k in each column. Only kept slots take time:
k becomes floor(k / m) * n + min(k mod m, n), SCALE-Sim 3.0's layer-wise rule.
"""

from __future__ import annotations

from typing import Final, Literal, get_args

import msgspec
import numpy as np

from einsim.dataflow.array_time import Tiles
from einsim.specs.errors import RuleError
from einsim.workloads.sparsity import kept_in_groups

Dataflow = Literal["output-stationary", "weight-stationary", "input-stationary"]
Convention = Literal["scale-sim", "edge-aware", "overlapped"]

DATAFLOWS: Final[tuple[Dataflow, ...]] = get_args(Dataflow)
CONVENTIONS: Final[tuple[Convention, ...]] = get_args(Convention)


class Gemm(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """out[m, n] = sum_k A[m, k] B[k, n]; `nm` = (n, m) when B keeps n of every m values along k.

    Raises RuleError if a size is below 1 or if `nm` is not 1 <= n <= m.
    """

    m: int
    n: int
    k: int
    nm: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        for name in ("m", "n", "k"):
            at_least_one(name, getattr(self, name))
        if self.nm is not None and not 1 <= self.nm[0] <= self.nm[1]:
            raise RuleError("must be [n, m] with 1 <= n <= m", got=self.nm, at=("nm",))

    @property
    def slots(self) -> int:
        """Values of B in a column that take time: k, or what N:M leaves of it."""
        return self.k if self.nm is None else kept_in_groups(*self.nm, self.k)

    @property
    def macs(self) -> int:
        """Multiplications that the array performs: m * n * slots."""
        return self.m * self.n * self.slots


class ArraySpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A systolic array: `rows` x `cols` elements, how operands move, and what happens between tiles.

    Conventions (the tile times are in `einsim.sim.arrays.systolic`):
    scale-sim: every tile costs the whole array's time, tiles never overlap, and the reported total is the
        index of the last cycle, one less than the count, as SCALE-Sim 3.0 prints it.
    edge-aware: a tile costs the rows and columns that it really uses plus STONNE's fixed overhead.
    overlapped: tiles stream back to back and hide one another's skew; edge tiles are padded to the array.

    Raises RuleError if a size is below 1 or a name is unknown.
    """

    rows: int
    cols: int
    dataflow: Dataflow
    convention: Convention = "scale-sim"

    def __post_init__(self) -> None:
        at_least_one("rows", self.rows)
        at_least_one("cols", self.cols)
        one_of("dataflow", self.dataflow, DATAFLOWS)
        one_of("convention", self.convention, CONVENTIONS)

    @property
    def stationary(self) -> bool:
        """Whether one operand stays in the elements (weight- and input-stationary)."""
        return self.dataflow != "output-stationary"


def fold(spec: ArraySpec, gemm: Gemm) -> Tiles:
    """The GEMM laid over the array, as the table at the top of this file says."""
    if spec.dataflow == "output-stationary":
        rows, cols, stream = gemm.m, gemm.n, gemm.slots
    elif spec.dataflow == "weight-stationary":
        rows, cols, stream = gemm.slots, gemm.n, gemm.m
    else:
        rows, cols, stream = gemm.slots, gemm.m, gemm.n
    return Tiles(
        rows=spec.rows, cols=spec.cols, along_rows=rows, along_cols=cols, stream=stream,
        stationary=spec.stationary,
    )  # fmt: skip


def at_least_one(name: str, value: object) -> None:
    """RuleError unless `value` is an integer of 1 or more."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < 1:
        raise RuleError("must be an integer >= 1", got=value, at=(name,))


def one_of(name: str, value: str, allowed: tuple[str, ...]) -> None:
    """RuleError unless `value` is one of `allowed`."""
    if value not in allowed:
        raise RuleError(f"must be one of {', '.join(allowed)}", got=value, at=(name,))
