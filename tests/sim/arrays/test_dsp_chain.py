"""Laws of the DSP chain: exact sums, the closed form's cycles, and N:M faster by its ratio but its fill."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from einsim.sim.arrays.dsp_chain import ChainSpec, beats, chain_cycles, step_chain
from einsim.sim.arrays.gemm import Gemm
from einsim.sim.arrays.sorter import prune
from einsim.specs.errors import RuleError


def twin(length, a, b):
    """One chain in plain Python, dense: every register by name, updated from the last to the first."""
    depth, count = len(a), -(-len(a) // length)
    a_reg, b_reg, product, total = ([0] * length for _ in range(4))
    accumulator, history = 0, []
    for cycle in range(count + length + 2):
        accumulator += total[-1] if 0 <= cycle - length - 2 < count else 0
        for i in reversed(range(length)):
            total[i] = product[i] + (total[i - 1] if i else 0)
            product[i] = a_reg[i] * b_reg[i]
            k = (cycle - i) * length + i
            inside = 0 <= cycle - i < count and k < depth
            a_reg[i], b_reg[i] = (int(a[k]), int(b[k])) if inside else (0, 0)
        history.append(accumulator)
    return accumulator, history


@settings(deadline=None)  # the first call compiles
@given(length=st.integers(1, 9), depth=st.integers(1, 30), seed=st.integers(0, 99))
def test_one_output_ends_in_the_cycle_in_which_a_plain_python_chain_ends(length, depth, seed):
    rng = np.random.default_rng(seed)
    a, b = rng.integers(1, 99, depth), rng.integers(1, 99, depth)  # positive: the sum grows to the last beat
    spec = ChainSpec(rows=1, cols=1, length=length)
    run = step_chain(spec, a[None, :], b[:, None])
    total, history = twin(length, a, b)
    assert run.outputs.tolist() == [[total]]
    assert history.index(total) + 1 == run.cycles == chain_cycles(spec, Gemm(m=1, n=1, k=depth))


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_chains_compute_the_product_in_the_closed_forms_cycles(data):
    size = st.integers(1, 14)
    m, n, k, rows, cols, length = (data.draw(size) for _ in range(6))
    nm = data.draw(
        st.none() | st.integers(1, 8).flatmap(lambda g: st.tuples(st.integers(1, min(g, length)), st.just(g)))
    )
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    a, b = rng.integers(-99, 99, (m, k)), rng.integers(-99, 99, (k, n))
    b = b if nm is None else prune(b, nm)
    spec, gemm = ChainSpec(rows=rows, cols=cols, length=length), Gemm(m=m, n=n, k=k, nm=nm)
    run = step_chain(spec, a, b, nm=nm)
    assert (run.outputs == a @ b).all()
    assert run.cycles == chain_cycles(spec, gemm) == len(run.macs_per_cycle)
    assert run.macs_per_cycle.sum() == gemm.macs


@pytest.mark.parametrize(("nm", "ratio"), [((2, 4), 2), ((1, 4), 4), ((2, 8), 4)])
def test_n_to_m_approaches_its_ratio_within_the_fill(nm, ratio):
    spec = ChainSpec(rows=2, cols=16, length=8)
    dense, sparse = (chain_cycles(spec, Gemm(m=64, n=64, k=1024, nm=x)) for x in (None, nm))
    fill = spec.length + 2
    assert (dense - fill) == ratio * (sparse - fill)
    assert ratio * 0.98 < dense / sparse < ratio


def test_groups_never_straddle_a_beat():
    spec = ChainSpec(rows=1, cols=1, length=8)
    assert beats(spec, Gemm(m=1, n=1, k=32, nm=(3, 4))) == 4  # 8 groups of 3, two a beat
    with pytest.raises(RuleError, match="a chain of 8 cannot hold a group of 9 slots"):
        beats(spec, Gemm(m=1, n=1, k=32, nm=(9, 16)))


def test_sums_wrap_at_48_bits():
    run = step_chain(ChainSpec(rows=1, cols=1, length=2), np.full((1, 2), 2**23), np.full((2, 1), 2**23))
    assert run.outputs.tolist() == [[-(2**47)]]
