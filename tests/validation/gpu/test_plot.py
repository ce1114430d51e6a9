"""The scatter plot shows every row that it is given, on every panel."""

from __future__ import annotations

from einsim.validation.gpu.plot import LEVELS, scatter
from einsim.validation.gpu.suite import UNSEEN, points


def test_every_point_is_on_every_panel() -> None:
    some = [point for point in points("h100-sxm", UNSEEN) if point.row.family in {"ffn", "decode"}]
    figure = scatter(some)
    assert len(figure.axes) == len(LEVELS)
    for axes in figure.axes:
        assert sum(len(dots.get_offsets()) for dots in axes.collections) == len(some)
