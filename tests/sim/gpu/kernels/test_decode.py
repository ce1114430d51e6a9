"""The decode schedules deal every tile once; stream-K deals them evenly."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from einsim.sim.gpu.kernels.decode import SCHEDULES, TILE, fixed_splits, launches, shares, stream_grid

SIZES = st.integers(1, 300), st.integers(1, 2**17), st.sampled_from(sorted(TILE)), st.integers(1, 200)


@given(*SIZES)
def test_every_schedule_deals_every_tile_once(heads: int, tokens: int, dim: int, sms: int) -> None:
    tiles = -(-tokens // TILE[dim])
    for schedule in SCHEDULES:
        assert launches(schedule, heads, tokens, dim, sms)[0].steps == heads * tiles


@given(*SIZES)
def test_stream_k_is_even_and_resident(heads: int, tokens: int, dim: int, sms: int) -> None:
    launch = launches("stream-k", heads, tokens, dim, sms)[0]
    assert max(run.steps for run in launch.runs) - min(run.steps for run in launch.runs) <= 1
    assert launch.grid == stream_grid(heads, -(-tokens // TILE[dim]), sms) <= 2 * sms


@given(st.integers(0, 10**6), st.integers(1, 500))
def test_shares_add_up(total: int, blocks: int) -> None:
    dealt = shares(total, blocks)
    assert sum(dealt) == total
    assert max(dealt) - min(dealt) <= 1


@given(st.integers(1, 300), st.integers(1, 4096), st.integers(1, 200))
def test_fixed_split_never_has_an_empty_split(heads: int, tiles: int, sms: int) -> None:
    assert 1 <= fixed_splits(heads, tiles, sms) <= tiles
