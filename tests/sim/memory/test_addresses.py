"""Where tiles lie: loops move them by the strides of their tensors, and by whole rows when it is said so."""

from __future__ import annotations

import numpy as np
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from einsim.dataflow.iteration import path_of
from einsim.dataflow.lower import lower
from einsim.sim.dram.bursts import SIZE, START, TENSOR
from einsim.sim.memory.addresses import Addresses
from tests.dataflow.cases import program_case
from tests.sim.memory.small_dram import SMALL, timed

SEEDS = st.integers(0, 2**32)


def drawn(seed):
    case = program_case(seed, largest=24)
    assume(case is not None)
    work, chip, mapping = case
    _, chip = timed(chip, "ddr4-3200")
    program = lower(mapping, work, chip)
    return work, program, Addresses(program, "dram", SMALL)


def instances(program, op, most=200):
    path = path_of(op, program.loops, program.sizes)
    position = path.first()
    while position is not None and most:
        yield path, list(position)
        most -= 1
        if not path.advance(position):
            return


@settings(max_examples=12)
@given(SEEDS)
def test_the_tiles_of_a_tensor_begin_where_its_first_element_lies(seed):
    """The first element of every tile, by its indices and the tensor's shape, is at the tile's first byte."""
    work, program, where = drawn(seed)
    for op in program.ops:
        for path, position in instances(program, op):
            key = path.key(position)
            used = [a for a in op.costs[key].accesses if a.memory == "dram" and a.read_bytes + a.write_bytes]
            if not used:
                continue
            pieces = where.pieces(op.id, key, position)
            starts = [access for access in used for size in (access.read_bytes, access.write_bytes) if size]
            for piece, access in zip(pieces, starts, strict=True):
                tensor = work.tensor(access.tensor)
                if len(tensor.sparsity.patterns):
                    continue
                first = {}
                for slot, loop in enumerate(path.loops):
                    at = path.interval(position, slot)[0]
                    inner = at
                    for rank in reversed(loop.ranks):
                        inner, first[rank] = (
                            divmod(inner, work.size(rank)) if len(loop.ranks) > 1 else (0, at)
                        )
                einsum = next(e for e in work.einsums if any(
                    a.tensor == access.tensor for a in (e.output, *e.reads)) and e.name == op_einsum(work, op))  # fmt: skip
                mine = next(a for a in (einsum.output, *einsum.reads) if a.tensor == access.tensor)
                state = set(work.producer(access.tensor).iterative) if work.producer(access.tensor) else set()
                element = 0
                for index, size in zip(mine.indices, work.shape(access.tensor), strict=True):
                    terms = (t.coefficient * first.get(t.rank, 0) for t in index.terms if t.rank not in state)
                    element = element * size + sum(terms)
                assert piece[START] == element * tensor.bits // 8


def op_einsum(work, op):
    """The Einsum of a compute, or one that uses the tensor that a transfer moves."""
    if op.kind == "compute":
        return op.subject
    using = [e.name for e in work.einsums if any(a.tensor == op.subject for a in e.reads)]
    return op.subject if op.kind == "store" or not using else using[0]


@settings(max_examples=12)
@given(SEEDS)
def test_every_and_shift_say_when_all_pieces_move_by_whole_rows(seed):
    _, program, where = drawn(seed)
    for op in program.ops:
        path = path_of(op, program.loops, program.sizes)
        position = path.first()
        if position is None or not any(a.memory == "dram" for c in op.costs.values() for a in c.accesses):
            continue
        key = path.key(position)
        here = where.pieces(op.id, key, position)
        for slot in range(path.depth):
            every = where.every(op.id, slot, 10**6)
            for stride in (1, 2, 3, every):
                moved = list(position)
                moved[slot] += stride
                ahead = where.pieces(op.id, key, moved)[:, START] - here[:, START]
                rows = where.shift(op.id, slot, stride)
                if rows is not None:
                    assert (ahead == [rows[number] * where.row_set for number in here[:, TENSOR]]).all()
                if every and stride == every:
                    whole = (ahead % where.row_set == 0).all()
                    alike = all(len(set(ahead[here[:, TENSOR] == n])) == 1 for n in set(here[:, TENSOR]))
                    assert whole
                    assert (rows is not None) == alike
                elif every and stride < every and stride == 1 and rows is not None:
                    assert every == 1
        assert (here[:, SIZE] > 0).all()
        assert here.dtype == np.int64
