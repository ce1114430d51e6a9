"""Volumes along a line of keys are those that are worked out one by one, of which there are few."""

from __future__ import annotations

import random

import msgspec
import pytest

from einsim.accel.load import load_machine
from einsim.dataflow import counted, lines
from einsim.dataflow.legality import check
from einsim.dataflow.lower import lower
from einsim.dataflow.mapping import Compute, Mapping, Sequence, keep
from einsim.dataflow.mapping import chain as nest
from einsim.dataflow.volume import PortWork, Volume
from einsim.specs.errors import EinsimError
from einsim.workloads.notation import parse
from tests.dataflow import cases

STATIONARITY = ("output-stationary", "weight-stationary", "input-stationary")


@pytest.fixture
def compared(monkeypatch):
    """How many keys there are of each operation that is lowered and how many are worked out, once the others
    are what one by one gives.
    """
    plain, met = lines.volumes, []

    def both(keys, boxes, period, make):
        asked = []
        found = plain(keys, boxes, period, lambda key: asked.append(key) or make(key))
        assert list(found.items()) == [(key, make(key)) for key in keys]
        met.append((len(keys), len(asked)))
        return found

    monkeypatch.setattr(counted, "volumes", both)
    return met


def drawn(rng):
    """A product under a bound, by few rows at a time, on an array or a vector unit of few lanes."""
    bound = rng.choice(("m <= p", "m <= 2*p", "2*m <= p", "m <= p + 5"))
    size, tile = rng.randint(80, 160), rng.choice((1, 1, 2, 3))
    text = f"rank m = {size}, p = {size}, e = 3\nwhere {bound}\nZ[m,p] = A[m,e] * B[p,e] + C[p]"
    text = rng.choice((text, text.replace("Z[m,p]", "Z[p,e]"), text.replace("Z[m,p]", "Z[m,e]")))
    work, chip = parse(text, name="drawn"), cases.machine(rng, levels=2)
    unit, ranks = rng.choice(chip.units), rng.sample(("m", "p", "e"), 3)
    spatial = {dim: (ranks.pop(),) for dim in unit.dims if rng.random() < 0.8}
    leaf = Compute(einsum="Z", unit=unit.name, spatial=spatial, stationarity=rng.choice(STATIONARITY))
    ours = [keep("Z", memory) for memory in ("gb", "l1")]
    outer, inner = (ours, []) if rng.random() < 0.5 else ([], ours)
    tree = nest(*outer, ("p", tile), *inner, keep("A B C", "gb"), keep("A B C", "l1"), leaf)
    return work, chip, Mapping(cascade="drawn", machine=chip.name, template="drawn", tree=tree)


def test_they_are_those_of_one_by_one(compared, monkeypatch):
    monkeypatch.setattr(lines, "LONG", 8)
    for seed in range(12):
        work, chip, mapping = drawn(random.Random(seed))
        try:
            check(mapping, work, chip)
        except EinsimError:
            continue
        lower(mapping, work, chip)
    assert sum(asked < many for many, asked in compared) > 10


def test_rows_of_a_causal_bound_are_worked_out_once_a_period(compared):
    """512 blocks of rows, each with eight columns more: folds of 128 lanes are a period of 16 blocks."""
    size = 4096
    work = parse(
        f"rank m = {size}, p = {size}\nwhere m <= p\nS[m,p] = exp(X[m,p])\nD[p] = sum[m](S[m,p])", name="rows"
    )
    leaves = (Compute(einsum=name, unit="array1d", spatial={"lanes": ("m",)}) for name in "SD")
    tree = nest(("p", 8), keep("X S D", "gb"), keep("X S D", "local"), Sequence(children=tuple(leaves)))
    mapping = Mapping(cascade="rows", machine="tpu-v4i", template="file", tree=tree)
    machine = load_machine("tpu-v4i")
    program = lower(mapping, work, machine)
    assert [asked for many, asked in compared if many == size // 8]
    assert all(asked <= 5 * 16 for many, asked in compared if many == size // 8)
    points = sum(op.costs.tiles.tally.points for op in program.ops if op.kind == "compute")
    assert points == 2 * size * (size + 1) // 2


def volume(port):
    return Volume(own=(("unit", 3),), streams=(PortWork("dram", "dram", port),))


@pytest.mark.parametrize(
    "amount",
    [
        lambda at: 5 * at,
        lambda at: max(5 * at, 3 * at + 250),  # another sum becomes the larger one on the way
        lambda at: min(700, 7 * at) + (at // 7) * 3,  # the whole period grows by as much
        lambda at: at * at,  # what never grows evenly is worked out one by one
    ],
)
def test_a_stretch_that_is_not_even_is_divided(amount):
    keys = [(at,) for at in range(400)]
    boxes = {key: {"m": (0, key[0])} for key in keys}
    found = lines.volumes(keys, boxes, 7, lambda key: volume(amount(key[0])))
    assert found == {key: volume(amount(key[0])) for key in keys}


def test_what_changes_its_shape_is_not_one_line():
    keys = [(at,) for at in range(400)]
    boxes = {key: {"m": (0, key[0])} for key in keys}

    def make(key):
        made = volume(key[0])
        return made if key[0] < 123 else msgspec.structs.replace(made, rounded=True)

    assert lines.volumes(keys, boxes, 1, make) == {key: make(key) for key in keys}
