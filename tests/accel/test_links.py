"""Memories as a graph: ways inward, what is outside, and graphs that can't be."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from einsim.accel.links import check_links, outside, paths
from einsim.specs.errors import RuleError

DIAMOND = {"dram": (), "a": ("dram",), "b": ("dram",), "both": ("b", "a"), "last": ("both", "dram")}


def test_a_diamond_has_two_ways_and_one_order() -> None:
    assert paths(DIAMOND, "both") == (("b", "both"), ("a", "both"))
    assert paths(DIAMOND, "last") == (("b", "both", "last"), ("a", "both", "last"), ("last",))
    assert outside(DIAMOND, "last") == ("both", "b", "a", "dram")
    assert paths(DIAMOND, "dram") == ((),)


@st.composite
def graphs(draw: st.DrawFn) -> dict[str, tuple[str, ...]]:
    found: dict[str, tuple[str, ...]] = {"m0": ()}
    for number in range(1, draw(st.integers(1, 5))):
        some = st.lists(st.sampled_from(sorted(found)), min_size=1, max_size=2, unique=True)
        found[f"m{number}"] = tuple(draw(some))
    return found


@given(graphs())
def test_what_is_outside_is_on_some_way_and_comes_before_its_own_outside(links) -> None:
    check_links(links)
    for name in links:
        around = outside(links, name)
        on_ways = {one for way in paths(links, name) for one in way} - {name}
        assert set(around) == on_ways | ({"m0"} if name != "m0" else set())
        assert len(set(around)) == len(around)
        for at, one in enumerate(around):
            assert not set(outside(links, one)) & set(around[:at])


LADDER = {"m0": (), "m1": ("m0",)} | {f"m{at}": (f"m{at - 1}", f"m{at - 2}") for at in range(2, 9)}


@pytest.mark.parametrize(
    ("links", "message"),
    [
        (
            {"dram": (), "gb": ("drum",)},
            "memories.gb.parent: no memory of this name (got 'drum'); did you mean",
        ),
        ({"dram": (), "gb": ("dram", "dram")}, "memories.gb.parent: names a memory twice (got 'dram')"),
        (
            {"dram": (), "a": ("dram", "c"), "b": ("a",), "c": ("b",)},
            "memories.b.parent: memories form a ring (a -> c -> b -> a)",
        ),
        (LADDER, "memories.m7.parent: must leave at most 16 ways from DRAM to it (got 21)"),
    ],
)
def test_graphs_that_cannot_be(links, message) -> None:
    with pytest.raises(RuleError) as caught:
        check_links(links)
    assert message in str(caught.value)
