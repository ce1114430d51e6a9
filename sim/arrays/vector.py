"""A vector unit: lanes that run a straight program of elementwise operations and reductions.

A vector of `length` values takes B = ceil(length / lanes) beats. One issue port, in program order: an
operation starts a beat every `issue_cycles` and writes it `latency_cycles` after its start; a beat starts
when the port is free and the same beat of its sources is written (registers are forwarded: readable from
the cycle in which they are complete). A reduction adds every beat to one accumulator per lane, so its
beats start `latency_cycles` apart or more; then a tree of ceil(log2(lanes)) levels, `latency_cycles` each,
joins the lanes, and every beat of the result holds the same value.

Closed form: ready times are maxima of straight lines in the beat number, so start and end of each
operation follow exactly in O(operations), whatever the length.
"""

from __future__ import annotations

from typing import Final, Literal, get_args

import msgspec
import numpy as np

from einsim.sim.arrays.gemm import at_least_one, one_of
from einsim.specs.arrays import Ints
from einsim.specs.compiled import njit
from einsim.specs.errors import RuleError

VectorOpName = Literal["add", "sub", "mul", "max", "min", "sum", "row-max", "row-min"]
OPS: Final[tuple[str, ...]] = get_args(VectorOpName)
REDUCTIONS: Final = ("sum", "row-max", "row-min")


class VectorOp(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """target = op(sources): two register numbers, or one for a reduction."""

    op: VectorOpName
    target: int
    sources: tuple[int, ...]
    issue_cycles: int = 1
    latency_cycles: int = 1

    def __post_init__(self) -> None:
        one_of("op", self.op, OPS)
        at_least_one("issue_cycles", self.issue_cycles)
        at_least_one("latency_cycles", self.latency_cycles)
        if len(self.sources) != (1 if self.op in REDUCTIONS else 2):
            raise RuleError("takes 2 sources, or 1 when it reduces", got=self.sources, at=("sources",))
        if min(self.target, *self.sources) < 0:
            raise RuleError("register numbers must be >= 0", got=(self.target, self.sources))


class VectorRun(msgspec.Struct, frozen=True, kw_only=True):
    """registers int64 [registers, length] at the end; cycles; lanes busy issuing in each cycle [cycles]."""

    registers: Ints
    cycles: int
    lanes_per_cycle: Ints


def vector_cycles(lanes: int, length: int, program: tuple[VectorOp, ...]) -> int:
    """Cycles until the last result is written; 0 for an empty program. RuleError for sizes below 1."""
    last = _beats(lanes, length) - 1
    # Per register {slope: offset}: a beat can be read from max(offset + slope * beat) on.
    ready: dict[int, dict[int, int]] = {}
    port = end = 0
    for op in program:
        gap = _gap(op)
        lines = [(slope, offset) for r in op.sources for slope, offset in ready.get(r, {}).items()]
        starts = {gap: port}
        for slope, offset in lines:
            key = max(slope, gap)
            starts[key] = max(starts.get(key, 0), offset)
        issued = max(offset + slope * last for slope, offset in starts.items())
        port = issued + gap
        if op.op in REDUCTIONS:
            ready[op.target] = {0: issued + op.latency_cycles * (1 + _levels(lanes))}
        else:
            ready[op.target] = {slope: offset + op.latency_cycles for slope, offset in starts.items()}
        end = max(end, *(offset + slope * last for slope, offset in ready[op.target].items()))
    return end


def step_vector(lanes: int, registers: Ints, program: tuple[VectorOp, ...]) -> VectorRun:
    """Steps the program over registers [registers, length] (int64, wrapping) cycle by cycle.

    RuleError if the program names a register that is not there.
    """
    held = np.array(registers, np.int64)
    if held.ndim != 2 or held.shape[1] < 1:
        raise RuleError("must be a matrix [registers, length]", got=held.shape, at=("registers",))
    if any(max(op.target, *op.sources) >= len(held) for op in program):
        raise RuleError(f"the program names a register beyond the {len(held)} given", at=("program",))
    cycles = vector_cycles(lanes, held.shape[1], program)
    busy = np.zeros(cycles, np.int64)
    table = np.array(
        [
            (OPS.index(op.op), op.target, op.sources[0], op.sources[-1], _gap(op), op.latency_cycles)
            for op in program
        ],
        np.int64,
    ).reshape(-1, 6)
    used = _step(table, held, lanes, _levels(lanes), busy)
    return VectorRun(registers=held, cycles=int(used), lanes_per_cycle=busy)


def _gap(op: VectorOp) -> int:
    """Cycles between two beats of the operation; a reduction waits for its accumulator."""
    return max(op.issue_cycles, op.latency_cycles) if op.op in REDUCTIONS else op.issue_cycles


def _levels(lanes: int) -> int:
    return (lanes - 1).bit_length()


def _beats(lanes: int, length: int) -> int:
    at_least_one("lanes", lanes)
    at_least_one("length", length)
    return -(-length // lanes)


@njit()
def _apply(op: int, x: int, y: int) -> int:
    if op in (0, 5):
        return x + y
    if op == 1:
        return x - y
    if op == 2:
        return x * y
    if op in (3, 6):
        return max(x, y)
    return min(x, y)


@njit()
def _step(table: Ints, held: Ints, lanes: int, levels: int, busy: Ints) -> int:
    """Walks the cycles: at most one beat starts in each; returns the cycle of the last write."""
    length = held.shape[1]
    beats = (length + lanes - 1) // lanes
    written = np.zeros((held.shape[0], beats), np.int64)  # the cycle from which a beat can be read
    at, beat, port, end, cycle = 0, 0, 0, 0, 0
    total = 0
    fresh = np.zeros(beats, np.int64)
    while at < table.shape[0]:
        op, target, left, right, gap, latency = table[at]
        if cycle >= port and cycle >= written[left, beat] and cycle >= written[right, beat]:
            first, last = beat * lanes, min((beat + 1) * lanes, length)
            if cycle < busy.shape[0]:
                busy[cycle] = last - first
            for i in range(first, last):
                if op < 5:
                    held[target, i] = _apply(op, held[left, i], held[right, i])
                else:
                    total = held[left, i] if i == 0 else _apply(op, total, held[left, i])
            fresh[beat] = cycle + latency
            port = cycle + gap
            beat += 1
            if beat == beats:
                if op >= 5:
                    held[target, :] = total
                    fresh[:] = cycle + latency * (1 + levels)
                written[target, :] = fresh
                end = max(end, fresh.max())
                beat = 0
                at += 1
        cycle += 1
    return end
