"""Laws of dispatch: bounds from both sides, conservation of whole waves, balance and monotonicity."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from einsim.sim.gpu.dispatch import duration, makespan


def span(
    counts: list[int], alone: list[float], local: list[float], shared: list[float], sms: int, residents: int,
    *, phased: bool = False,
) -> float:  # fmt: skip
    arrays = (np.array(x, dtype=np.float64) for x in (alone, local, shared))
    return float(makespan(np.array(counts, dtype=np.int64), *arrays, False, phased, sms, residents))


RUNS = st.lists(
    st.tuples(st.integers(1, 12), st.floats(0.1, 5), st.floats(0.01, 1), st.floats(0, 0.02)),
    min_size=1,
    max_size=5,
)


@settings(max_examples=24, deadline=None)
@given(runs=RUNS, sms=st.integers(1, 6), residents=st.integers(1, 4))
def test_never_faster_than_the_sms_the_device_or_the_longest_block(
    runs: list[tuple[int, float, float, float]], sms: int, residents: int
) -> None:
    runs = [(n, max(a, w), w, g) for n, a, w, g in runs]
    counts, alone, local, shared = (list(x) for x in zip(*runs, strict=True))
    got = span(counts, alone, local, shared, sms, residents)
    work = sum(n * w for n, _, w, _ in runs) / sms
    device = sum(n * g for n, _, _, g in runs)
    assert got >= max(*alone, work, device) * (1 - 1e-3)
    assert got <= sum(
        n * duration(a, w, g, False, False, residents, sms * residents, sms) for n, a, w, g in runs
    ) * (1 + 1e-6)


@pytest.mark.parametrize("residents", [1, 2, 4])
def test_skipped_waves_take_what_simulated_ones_take(residents: int) -> None:
    slots = 3 * residents
    one = span([6 * slots + 1], [1.0], [0.4], [0.01], 3, residents)
    two = span([6 * slots, 1], [1.0, 1.0], [0.4, 0.4], [0.01, 0.01], 3, residents)
    assert one == pytest.approx(two, rel=1e-6)


def test_a_tail_is_spread_over_the_sms() -> None:
    full, tail = span([8], [1.0], [1.0], [0.0], 4, 2), span([12], [1.0], [1.0], [0.0], 4, 2)
    assert full == pytest.approx(2.0)
    assert tail == pytest.approx(3.0)


def test_a_long_block_last_costs_more_than_first() -> None:
    alone = [4.0, 1.0]
    first = span([1, 9], alone, alone, [0.0, 0.0], 3, 1)
    last = span([9, 1], alone[::-1], alone[::-1], [0.0, 0.0], 3, 1)
    assert first == pytest.approx(5.0)
    assert last == pytest.approx(7.0)


@given(alone=st.floats(0.1, 9), local=st.floats(0.01, 1), here=st.integers(1, 15))
def test_a_neighbour_never_makes_a_block_faster(alone: float, local: float, here: int) -> None:
    alone = max(alone, local)
    few, more = (duration(alone, local, 0.0, False, False, n, n, 1) for n in (here, here + 1))
    assert more >= few * (1 - 1e-12)
    assert duration(alone, local, 0.0, False, False, 1, 1, 1) == pytest.approx(alone)


@given(alone=st.floats(0.1, 9), local=st.floats(0.01, 1), shared=st.floats(1e-4, 0.1), here=st.integers(1, 8))
def test_passes_never_make_a_block_faster_and_cost_most_where_pipes_and_memory_need_the_same(
    alone: float, local: float, shared: float, here: int
) -> None:
    alone = max(alone, local)
    whole, passes = (
        duration(alone, local, shared, True, phased, here, 4 * here, 4) for phased in (False, True)
    )
    assert passes >= whole * (1 - 1e-12)
    pressed = max(local * here, shared * 4 * here)
    assert passes <= max(whole, (whole**4 + (4 - 1) * pressed**4) ** 0.25) * (1 + 1e-9)
