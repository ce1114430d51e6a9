"""Tiles that stand alike to bounds are counted once: the same kinds, in the same order, as one by one."""

from __future__ import annotations

import random

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from einsim.dataflow import standings
from einsim.dataflow.cut import Cut
from einsim.dataflow.iteration import Path
from einsim.dataflow.lower import lower
from einsim.dataflow.mapping import Compute, Keep, Loop, Mapping, Pipeline, Sequence
from einsim.dataflow.mask import Mask
from einsim.dataflow.program import MOST_EACH, ProgramLoop
from einsim.specs.errors import SpecError
from einsim.workloads.notation import parse
from tests.dataflow import cases
from tests.dataflow.test_iteration import LAWS, random_path

SEEDS = st.integers(0, 2**32)
WORKS = {
    "causal": cases.CASCADES["causal"],
    "window": cases.CASCADES["window"],
    "three": "where m + n <= p\nwhere p - m < 5\nQK[m,p] = Q[e,p] * K[e,m]\nAV[f,p] = QK[m,p] * V[f,m]\n"
    "S[p] = QK[m,p] * T[m,n]",
    "twice": "where m <= p\nQK[m,p] = Q[e,p] * K[e,m]\nB[m] = QK[m,p] * W[p]\nC[p] = QK[m,p] * V[m]",
    "slopes": "where 2*m <= p\nwhere 3*p - 2*m < 9\nQK[m,p] = Q[e,p] * K[e,m]\nAV[f,p] = QK[m,p] * V[f,m]",
}


@pytest.fixture(autouse=True)
def _however_few(monkeypatch):
    monkeypatch.setattr(standings, "FEW", 0)


def same(path):
    """Counts one by one, and held against those of the tiles that stand alike; whether there are some."""
    one_by_one = path._count([], 0)
    if not standings.stands(path):
        return False
    again = Path(
        path.loops, dict(zip([loop.id for loop in path.loops], path.pins, strict=True)), path.sizes, path.key_ranks,
        tuple(path.loops[at].id for at in path.resumed), path.cut, wide=path.sums == 2,
    )  # fmt: skip
    counts = standings.Standings(again).counts()
    assert list(counts.items()) == list(one_by_one.items())
    assert again.tiles == path.tiles
    assert standings.Standings(again).total() == sum(one_by_one.values())
    return True


@LAWS
@given(SEEDS)
def test_counts_are_those_of_one_by_one(seed):
    same(random_path(seed)[0])


def paths(mapping, work, chip, monkeypatch):
    """What is met of paths while a mapping is lowered."""
    met = []

    def instances(path):
        found = path._count([], 0)
        if same(path):
            met.append(path)
        return found

    with monkeypatch.context() as patch:
        patch.setattr(Path, "instances", instances)
        lower(mapping, work, chip)
    return met


def drawn(seed, monkeypatch):
    """What is met of paths of a drawn mapping."""
    rng = random.Random(seed)
    name = rng.choice(list(WORKS))
    monkeypatch.setattr(cases, "CASCADES", WORKS)
    work, chip = cases.cascade(name, rng, 11), cases.machine(rng)
    units = tuple(msgspec.structs.replace(unit, accumulator_bits=32) for unit in chip.units)
    mapping = cases.mapping(rng, work, chip, 30)
    return (mapping and paths(mapping, work, msgspec.structs.replace(chip, units=units), monkeypatch)) or []


def test_those_of_drawn_mappings_are_too(monkeypatch):
    """Loads, stores and computes of several bounds and Einsums, with partial sums that come back."""
    met = [path for seed in range(16) for path in drawn(seed, monkeypatch)]
    assert sum(bool(path.cut.reduced) for path in met) > 10
    assert sum(bool(path.cut.reduced) and path.sums == 2 for path in met) > 5
    assert sum(any(path.pins) for path in met) > 20


def test_those_of_a_load_for_two_einsums_are_too(monkeypatch):
    """QK comes once for both of its readers, each of which bounds cut in its own way."""
    work = parse(WORKS["twice"], name="twice", sizes={"m": 7, "p": 7, "e": 3})
    chip = cases.machine(random.Random(5), levels=1)
    first = Compute(einsum="QK", unit="mm", spatial={"rows": ("m",)})
    readers = Pipeline(
        children=(
            Loop(rank="m", tile=2, body=Compute(einsum="B", unit="mm", spatial={"rows": ("p",)})),
            Loop(rank="m", tile=1, body=Compute(einsum="C", unit="mm", spatial={"rows": ("p",)})),
        )
    )
    both = Keep(tensors=("QK", "B", "C"), memory="gb", body=readers)
    tree = Sequence(children=(first, Loop(rank="p", tile=2, body=both)))
    mapping = Mapping(cascade="twice", machine=chip.name, template="own", tree=tree)
    met = paths(mapping, work, chip, monkeypatch)
    assert any(len(path.cut.masks) > 1 for path in met)


def test_a_long_diagonal_is_counted_at_once():
    """A window over 2**34 pairs of tiles: each tile of one rank meets two or three of the other."""
    size = 2**17
    work = parse(f"rank m = {size}, p = {size}\nwhere m <= p\nwhere p - m < 3\nZ[m,p] = A[m,p]")
    mask = Mask(work, ("m", "p"))
    loops = (
        ProgramLoop(id=0, ranks=("p",), tile=1, extent=size),
        ProgramLoop(id=1, ranks=("m",), tile=1, extent=size),
    )
    path = Path(loops, {}, {"m": size, "p": size}, ("m", "p"), cut=Cut((mask,), ("m", "p")))
    assert sum(path.instances().values()) == path.total() == 3 * size - 3


def test_of_ranks_that_one_loop_walks_together_a_tile_has_one_point_of_each():
    """Heads of all batches in turn, outside a causal bound."""
    work = parse("rank b = 3, h = 4, m = 24, p = 24\nwhere m <= p\nZ[b,h,m,p] = A[b,h,m,p]")
    loops = (
        ProgramLoop(id=0, ranks=("b", "h"), tile=1, extent=12),
        ProgramLoop(id=1, ranks=("p",), tile=4, extent=24),
        ProgramLoop(id=2, ranks=("m",), tile=4, extent=24),
    )
    ranks, sizes = ("b", "h", "m", "p"), {"b": 3, "h": 4, "m": 24, "p": 24}
    path = Path(loops, {}, sizes, ranks, cut=Cut((Mask(work, ranks),), ranks))
    assert same(path)
    assert {key[:2] for key in path.instances()} == {(1, 1)}


def test_more_cut_tiles_than_are_listed_are_refused():
    size = 2 * MOST_EACH
    work = parse(f"rank m = {size}, p = {size}\nwhere m <= p\nZ[m,p] = A[m,p]")
    loops = (ProgramLoop(id=0, ranks=("p",), tile=1, extent=size),)
    path = Path(loops, {}, {"m": size, "p": size}, ("m", "p"), cut=Cut((Mask(work, ("m", "p")),), ("m", "p")))
    with pytest.raises(SpecError, match="at most 1,048,576 are counted"):
        path.instances()
