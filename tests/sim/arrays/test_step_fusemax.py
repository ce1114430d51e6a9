"""Laws of the stepped FuseMax array: bit-exact maxima, sums and products, and attention when put together."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from einsim.sim.arrays.exp_fixed import exp_fixed
from einsim.sim.arrays.fusemax import FuseMaxSpec, HeadShape, busy_cycles, fusemax_cycles
from einsim.sim.arrays.step_fusemax import step_fusemax
from einsim.specs.errors import RuleError


@settings(max_examples=24, deadline=None)
@given(data=st.data())
def test_every_value_is_that_of_the_cascade_in_integers(data):
    rows, cols, e, f = (data.draw(st.integers(1, 9)) for _ in range(4))
    m, p, depth = data.draw(st.integers(1, 40)), data.draw(st.integers(1, 20)), data.draw(st.integers(1, 5))
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    q, k, v = rng.integers(-8, 8, (p, e)), rng.integers(-8, 8, (m, e)), rng.integers(-50, 50, (m, f))
    spec, work = FuseMaxSpec(rows=rows, cols=cols, depth=depth), HeadShape(m=m, p=p, e=e, f=f)
    run = step_fusemax(spec, q, k, v, score_fraction_bits=6)
    scores, running = k @ q.T, np.full(p, -(2**62))
    for tile, start in enumerate(range(0, m, rows)):
        block = scores[start : start + rows]
        running = np.maximum(running, block.max(axis=0))
        s = np.array([[exp_fixed(int(x), 6) for x in row] for row in block - running])
        assert (run.maxima[tile] == running).all()
        assert (run.denominators[tile] == s.sum(axis=0)).all()
        assert (run.numerators[tile] == v[start : start + rows].T @ s).all()
    assert run.cycles == fusemax_cycles(spec, work) == len(run.busy_per_cycle)
    assert run.busy_per_cycle.sum() == m * p * busy_cycles(work)
    assert run.macs == m * p * (e + 6 + f)
    assert run.counts.tolist() == [0, *(m * p * each for each in (e, 1, 1, 6, 1, f))]


def test_tiles_put_together_are_attention():
    rng = np.random.default_rng(2)
    q, k, v = (rng.integers(-16, 16, (n, 16)) for n in (12, 50, 50))
    run = step_fusemax(FuseMaxSpec(rows=8, cols=4, depth=2), q, k, v, score_fraction_bits=7)
    last = run.maxima[-1]
    scale = np.exp((run.maxima - last) / 2**7)  # what the 1D array multiplies earlier tiles by
    ours = (run.numerators * scale[:, None, :]).sum(axis=0) / (run.denominators * scale).sum(axis=0)
    weights = np.exp((k @ q.T - (k @ q.T).max(axis=0)) / 2**7)
    assert np.abs(ours - v.T @ (weights / weights.sum(axis=0))).max() < 0.005


def test_malformed_operands_are_refused():
    q = np.ones((2, 3), int)
    with pytest.raises(RuleError, match="need queries"):
        step_fusemax(FuseMaxSpec(rows=2, cols=2), q, np.ones((2, 4), int), q, score_fraction_bits=4)
    with pytest.raises(RuleError, match="score_fraction_bits: must be between 2 and 32"):
        step_fusemax(FuseMaxSpec(rows=2, cols=2), q, q, q, score_fraction_bits=1)
