"""What stays on chip between cascades: the oracle does it point by point, and both levels count alike."""

from __future__ import annotations

import random

import msgspec
import pytest

from einsim.accel.load import load_machine
from einsim.dataflow.analytical import analyse
from einsim.dataflow.legality import check, legal
from einsim.dataflow.lower import lower
from einsim.dataflow.mapper.best import best_mapping
from einsim.dataflow.mapping_file import dump_mapping, load_mapping
from einsim.dataflow.mapping_text import mapping_text
from einsim.dataflow.staying import may_stay, places_to_stay, stayers, staying
from einsim.dataflow.templates import build_mapping
from einsim.specs.errors import EinsimError, SpecError
from einsim.validation.oracle.compare import draw, judge
from einsim.workloads.notation import parse


def drawn(seed: int, count: int):
    """Legal drawn cases with some inputs and results that stay, and as they were."""
    for number in range(count):
        case = draw(seed, number)
        if case is None or not legal(case.mapping, case.work, case.chip):
            continue
        rng = random.Random(f"{seed}/{number}")
        read = {access.tensor for einsum in case.work.einsums for access in einsum.reads}
        every = [one.name for one in case.work.inputs if one.name in read]
        every += [one.name for one in case.work.outputs if may_stay(case.work, one.name)]
        for memory in places_to_stay(case.chip):
            some = [name for name in every if rng.random() < 0.6]
            there = staying(case.mapping, some, memory, case.chip)
            yield case, msgspec.structs.replace(case, mapping=there), some


def held(seed: int, count: int) -> int:
    """The law: right values, the same figures at all levels, and exactly the bytes of what stays are gone."""
    found = 0
    for before, case, some in drawn(seed, count):
        verdict = judge(case)
        assert not verdict.found, (case.name, some, verdict.found)
        if not verdict.legal:
            continue
        old, new = (analyse(lower(one.mapping, one.work, one.chip), one.chip) for one in (before, case))
        moved = old.traffic[case.chip.dram.name]
        assert new.dram_bytes == old.dram_bytes - sum(moved.get(name, 0) for name in some), case.name
        found += bool(some)
    return found


def test_oracle_and_levels_agree_on_what_stays():
    assert held(771, 40) > 10


@pytest.mark.slow
def test_oracle_and_levels_agree_on_more_that_stays():
    assert held(772, 600) > 200


@pytest.fixture
def product():
    cascade, machine = (
        parse("Z[m,n] = A[m,k] * W[k,n]\n", name="product", sizes={"m": 64, "n": 32, "k": 48}),
        load_machine("tpu-v4i"),
    )
    names = [tensor.name for tensor in cascade.inputs] + [tensor.name for tensor in cascade.outputs]
    return cascade, machine, build_mapping(cascade, machine), names


def test_a_file_keeps_what_stays(product, tmp_path):
    cascade, machine, mapping, names = product
    there = staying(mapping, names, "gb", machine)
    check(there, cascade, machine)
    assert lower(there, cascade, machine) is not None
    assert analyse(lower(there, cascade, machine), machine).dram_bytes == 0
    path = tmp_path / "there.yaml"
    path.write_text(dump_mapping(there))
    assert load_mapping(path, cascade, machine) == there
    assert f"stays={','.join(sorted(names))}" in mapping_text(there)
    assert stayers(there) == dict.fromkeys(names, "gb")


@pytest.mark.parametrize(
    ("memory", "change", "rule"),
    [
        ("local", {}, "must be in a memory on chip that all cores share, which local is not"),
        ("gb", {"stays": ("Q",)}, "must be one of the tensors that are kept here"),
        ("gb", {"spill": 0.5}, "not modelled: a tensor stays in bytes that it spills from or shares"),
    ],
)
def test_what_may_not_stay_is_told(product, memory, change, rule):
    cascade, machine, mapping, names = product
    there = staying(mapping, names[:1], memory, machine)
    there = msgspec.structs.replace(there, tree=msgspec.structs.replace(there.tree, **change))
    with pytest.raises(SpecError, match=rule):
        check(there, cascade, machine)


def test_a_search_starts_from_no_mapping_of_which_something_stays(product):
    cascade, machine, mapping, names = product
    with pytest.raises(SpecError, match="has tensors that stay on chip"):
        best_mapping(cascade, machine, starts=[staying(mapping, names, "gb", machine)])


def test_what_stays_takes_room_as_a_whole(product):
    cascade, machine, mapping, names = product
    size = 64 * 48 * 2 - 1
    memories = tuple(
        msgspec.structs.replace(one, capacity_bytes=size) if one.name == "gb" else one
        for one in machine.memories
    )
    small = msgspec.structs.replace(machine, memories=memories)
    with pytest.raises(EinsimError, match="bytes are needed in gb"):
        check(staying(mapping, names[:1], "gb", small), cascade, small)
