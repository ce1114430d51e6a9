"""Which cores have what: counted, and held against every place of small tiles gone through one by one."""

from __future__ import annotations

import itertools
import math

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from einsim.accel.load import load_machine
from einsim.accel.machine import OpCost, Unit
from einsim.accel.memory import Memory
from einsim.dataflow.analytical import analyse
from einsim.dataflow.cores import copied, going_round, most_places
from einsim.dataflow.legality import check
from einsim.dataflow.lower import lower
from einsim.dataflow.mapping import Compute
from einsim.dataflow.spatial import places
from einsim.workloads.notation import parse
from tests.dataflow.read_text import parse_text


@st.composite
def shared_out(draw: st.DrawFn) -> tuple[tuple[int, ...], tuple[bool, ...], int]:
    """Extents of some ranks along the cores, which of them are chosen, and how many cores there are."""
    extents = tuple(draw(st.lists(st.integers(1, 7), min_size=1, max_size=3)))
    return extents, tuple(draw(st.booleans()) for _ in extents), draw(st.integers(1, 9))


def by_core(
    extents: tuple[int, ...], chosen: tuple[bool, ...], cores: int
) -> set[tuple[int, tuple[int, ...]]]:
    """(core, places of the chosen ranks): all places as one number, the last rank fastest, go round the cores."""
    every = itertools.product(*(range(size) for size in extents))
    return {
        (number % cores, tuple(at for at, one in zip(place, chosen, strict=True) if one))
        for number, place in enumerate(every)
    }


@settings(max_examples=80, deadline=None)
@given(shared_out())
def test_the_fullest_core_is_found(case: tuple[tuple[int, ...], tuple[bool, ...], int]) -> None:
    extents, chosen, cores = case
    pairs = by_core(extents, chosen, cores)
    fullest = max(sum(core == one for core, _ in pairs) for one in range(cores))
    assert most_places(extents, chosen, cores) == fullest


@settings(max_examples=80, deadline=None)
@given(shared_out())
def test_every_element_is_wanted_by_as_many_cores(
    case: tuple[tuple[int, ...], tuple[bool, ...], int],
) -> None:
    extents, chosen, cores = case
    ranks = tuple("abc"[: len(extents)])
    unit = Unit(
        name="u", kind="vector", dims={"cores": cores, "lanes": 1}, ops={"add": OpCost()}, reads_from="m"
    )
    node = Compute(einsum="Z", unit="u", spatial={"cores": ranks})
    moved = [rank for rank, one in zip(ranks, chosen, strict=True) if one]
    elements = math.prod(n for n, one in zip(extents, chosen, strict=True) if one)
    sizes = dict(zip(ranks, extents, strict=True))
    assert copied(unit, node, moved, sizes) * elements == len(by_core(extents, chosen, cores))


def test_a_million_places_are_counted_at_once() -> None:
    # 131072 x 2^20 places round 4 cores: every core has every place of the first rank, a quarter of the second's
    assert most_places((131072, 2**20), (True, False), 4) == 131072
    assert most_places((131072, 2**20), (False, True), 4) == 2**18


def test_a_rank_that_is_not_iterated_goes_round_no_cores():
    node = Compute(einsum="Z", unit="u", spatial={"cores": ("m", "p")})
    assert going_round(node, {"m": 6}, 4) == ("m",)
    assert going_round(node, {"m": 6, "p": 4}, 4) == ("p",)


def test_what_two_einsums_find_on_the_same_cores_comes_once_however_large() -> None:
    """64 rows of 131,072 bytes, 16 on each core: too many points to visit, and nothing is sent twice."""
    text = "rank h = 64, n = 131072\nA[h] = max[n](X[h,n])\nB[h,n] = exp(X[h,n])"
    work, chip = parse(text, name="two"), load_machine("tpu-v4i")
    chip = msgspec.structs.replace(chip, memories=tuple(map(_endless, chip.memories)))
    tree = parse_text("""two on tpu-v4i (own)
keep X A B in local x1
  pipeline
    A on array1d cores=h lanes=n
    for h/8
      B on array1d cores=h lanes=n
""")
    check(tree, work, chip)
    traffic = analyse(lower(tree, work, chip), chip).traffic
    assert traffic["dram"]["X"] == 64 * 131072 * work.tensor("X").bits // 8


def _endless(memory: Memory) -> Memory:
    return msgspec.structs.replace(memory, capacity_bytes=None)


@pytest.mark.parametrize(("rows", "along"), [(256, "n"), (4096, "m")])
def test_few_rows_stay_together_where_each_core_would_load_an_array_for_longer(rows: int, along: str) -> None:
    work = parse("Z[m,n] = A[m,k] * B[k,n]", sizes={"m": rows, "n": 2048, "k": 512})
    extents = {rank.name: np.array([rank.size], np.float64) for rank in work.ranks}
    node = places(work, load_machine("tpu-v4i"), work.einsums[0], extents, spread=True)[0]
    assert node.spatial["cores"] == (along,)
