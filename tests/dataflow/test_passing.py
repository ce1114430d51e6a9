"""What passes along a dimension is what its folds have, place by place."""

from __future__ import annotations

import itertools

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from einsim.dataflow.passing import LACKS, MOVES, passed

RANKS = st.lists(st.tuples(st.integers(1, 6), st.sampled_from([LACKS, MOVES])), min_size=1, max_size=4)


@given(RANKS, st.integers(1, 16), st.integers(1, 4), st.integers(-1, 3), st.booleans())
def test_each_fold_has_its_different_values(
    ranks: list[tuple[int, int]], lanes: int, cores: int, core: int, apart: bool
) -> None:
    core = core if core < len(ranks) else -1
    every = [range(size) for size, _ in ranks]
    found = set()
    for point in itertools.product(*every):
        mine = point[core] % cores if core >= 0 else 0
        place = 0
        for at, (size, _) in enumerate(ranks):
            many = len(range(mine, size, cores)) if at == core else size
            place = place * many + (point[at] // cores if at == core else point[at])
        value = tuple(at for at, (_, kind) in zip(point, ranks, strict=True) if kind == MOVES)
        found.add((value, place // lanes, mine if apart else 0))
    extents, kinds = np.array([float(size) for size, _ in ranks]), np.array([kind for _, kind in ranks])
    before = extents.copy()
    assert passed(extents, kinds, len(ranks), float(lanes), core, float(cores), apart) == len(found)
    assert np.array_equal(extents, before)
