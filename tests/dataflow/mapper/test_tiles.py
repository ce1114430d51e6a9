"""Menus of tile sizes, and that leaving sizes out loses nothing."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from einsim.accel.load import load_machine
from einsim.dataflow.mapper.best import default_space
from einsim.dataflow.mapper.tiles import RankUse, menu, undominated
from einsim.specs.errors import SpecError
from einsim.workloads.notation import parse


def test_menus() -> None:
    assert menu(6, "all") == (1, 2, 3, 4, 5, 6)
    assert menu(12, "perfect") == (1, 2, 3, 4, 6, 12)
    assert menu(100, "steps", 16) == (1, 16, 32, 64, 100)
    assert menu(5120, "steps", 128, 4) == (1, 4, 128, 256, 384, 640, 1280, 2560, 5120)
    assert menu(1, "steps", 16) == (1,)


@given(size=st.integers(1, 200), dim=st.integers(0, 40), refetch=st.booleans(), gathers=st.booleans())
def test_every_size_has_one_kept_that_is_no_worse(size: int, dim: int, refetch: bool, gathers: bool) -> None:
    use = RankUse(size=size, dim=dim, refetch=refetch, gathers=gathers)
    kept = undominated(menu(size, "all"), use)

    def figures(tile: int) -> tuple[int, int, int, int]:
        tiles = [min(tile, size - at) for at in range(0, size, tile)]
        folds = sum(-(-one // dim) for one in tiles) if dim else 0
        held = tile * (2 if len(tiles) > 1 else 1)
        return held, len(tiles) if refetch else 0, folds, -tiles.count(1) if gathers else 0

    for tile in range(1, size + 1):
        mine = figures(tile)
        assert any(all(a <= b for a, b in zip(figures(other), mine, strict=True)) for other in kept)


def test_large_ranks_keep_few() -> None:
    kept = undominated(menu(4096, "all"), RankUse(size=4096, dim=128, refetch=True, gathers=False))
    assert len(kept) < 200
    assert {128, 256, 4096} <= set(kept)


def test_sizes_are_not_listed_without_end() -> None:
    """All sizes of a rank of billions took all memory (drawn input 404:5287)."""
    assert menu(2**20, "all")[-1] == 2**20
    with pytest.raises(SpecError, match="tiles: all sizes are listed of ranks of up to 1,048,576 points"):
        menu(2**20 + 1, "all")
    work = parse("Z[m] = X[m]", name="long", sizes={"m": 2**40})
    assert default_space(work, load_machine("flat-edge")).menu == "perfect"
