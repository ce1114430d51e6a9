"""Laws of N:M operands: compression loses nothing, and ports bring each group when it is needed."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from einsim.sim.arrays.nm import compress, group_words
from einsim.sim.arrays.sorter import prune
from einsim.workloads.sparsity import kept_in_groups

ratios = st.integers(1, 9).flatmap(lambda m: st.tuples(st.integers(1, m), st.just(m)))


@settings(deadline=None)  # the first call compiles
@given(nm=ratios, depth=st.integers(1, 40), width=st.integers(1, 5), seed=st.integers(0, 99))
def test_compressed_values_at_their_places_are_the_matrix(nm, depth, width, seed):
    n, m = nm
    b = prune(np.random.default_rng(seed).integers(-5, 5, (depth, width)), nm)
    small = compress(b, nm)
    assert small.values.shape == (kept_in_groups(*nm, depth), width)
    back = np.zeros((depth + m, width), np.int64)
    for slot in range(len(small.values)):
        for column in range(width):
            back[slot // n * m + small.index[slot, column], column] += small.values[slot, column]
    assert (back[:depth] == b).all()
    assert (back[depth:] == 0).all()


@settings(deadline=None)  # the first call compiles
@given(nm=ratios, depth=st.integers(1, 60), tile=st.none() | st.integers(1, 12))
def test_ports_bring_each_group_once_and_again_in_a_tile_that_starts_inside_it(nm, depth, tile):
    words = group_words(depth, nm, tile)
    slots = len(words)
    expected = 0
    for start in range(0, slots, tile or slots):
        groups = {slot // nm[0] for slot in range(start, min(start + (tile or slots), slots))}
        expected += sum(min(nm[1], depth - g * nm[1]) for g in groups)
    assert words.sum() == expected
    assert tile is not None or words.sum() == depth
