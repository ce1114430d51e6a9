"""Which operand plays which role, where a unit finds it, and mappings that leave it elsewhere."""

from __future__ import annotations

import re

import pytest

from einsim.accel.machine import Machine, OpCost, Unit
from einsim.accel.memory import Memory
from einsim.accel.registers import RegisterFile
from einsim.dataflow.holds import paths, role_of, roles_of
from einsim.dataflow.legality import check
from einsim.dataflow.mapper.best import best_mapping
from einsim.dataflow.mapper.space import MapSpace
from einsim.dataflow.mapping import Compute, Keep, walk
from einsim.specs.errors import EinsimError, SpecError
from einsim.workloads.notation import parse
from tests.dataflow.read_text import parse_text

OPS = {op: OpCost() for op in ("mac", "mul", "add", "max", "exp")}


def memory(name: str, *parents: str, **more: object) -> Memory:
    sizes = {"capacity_bytes": None, "read_bytes_per_s": None, "write_bytes_per_s": None}
    parent = None if not parents else parents[0] if len(parents) == 1 else parents
    return Memory(name=name, parent=parent, **{**sizes, **more})  # type: ignore[arg-type]


def chip(**reads: object) -> Machine:
    """Scratchpad and weight buffer filled from DRAM, accumulators that empty to either scratchpad or DRAM."""
    memories = (
        memory("dram"), memory("spad", "dram"), memory("wbuf", "dram"), memory("acc", "spad", "dram"),
    )  # fmt: skip
    of = {"mm": {"inputs": "spad", "weights": "wbuf", "outputs": "acc"}, "vec": "spad", **reads}
    kinds = {"mm": ("systolic", {"rows": 4, "cols": 4}), "vec": ("vector", {"lanes": 4})}
    units = tuple(
        Unit(
            name=name, kind=kind, dims=dims, ops=OPS, reads_from=of[name],  # type: ignore[arg-type]
            registers=RegisterFile(bytes_per_pe=64),
        )
        for name, (kind, dims) in kinds.items()
    )  # fmt: skip
    return Machine(name="chip", family="generic", clock_hz=1e9, memories=memories, units=units)


def roles(text: str, flow: str, kind: str = "systolic", **spatial: str) -> dict[str, str]:
    work = parse(text, name="w", sizes=dict.fromkeys("mnkpr", 4))
    einsum = work.einsums[0]
    dims = {"cores": 2, "rows": 4, "cols": 4} if kind != "vector" else {"lanes": 4}
    unit = Unit(name="u", kind=kind, dims=dims, ops=OPS, reads_from="gb")  # type: ignore[arg-type]
    laid = {dim: tuple(ranks) for dim, ranks in spatial.items()}
    return roles_of(unit, Compute(einsum=einsum.name, unit="u", spatial=laid, stationarity=flow), einsum)  # type: ignore[return-value]


PRODUCT = "Z[m,n] = A[m,k] * B[k,n]"
OS, WS, IS = "output-stationary", "weight-stationary", "input-stationary"


@pytest.mark.parametrize(
    ("text", "flow", "spatial", "weights"),
    [
        # the table of docs/mappings.md
        (PRODUCT, WS, {"rows": "k", "cols": "n"}, "B"),
        (PRODUCT, WS, {"rows": "k", "cols": "m"}, "A"),
        (PRODUCT, IS, {"rows": "k", "cols": "m"}, "B"),
        (PRODUCT, OS, {"rows": "m", "cols": "n"}, "B"),
        (PRODUCT, OS, {"rows": "n", "cols": "m"}, "A"),
        (PRODUCT, OS, {"rows": "m"}, ""),
        # a reduced rank along the rows: results can't stay, B does
        (PRODUCT, OS, {"rows": "k", "cols": "n"}, "B"),
        # cores don't count
        (PRODUCT, OS, {"cores": "m", "rows": "m", "cols": "n"}, "B"),
        # the order in which factors are written decides nothing where they move apart
        ("Z[m,n] = B[k,n] * A[m,k]", WS, {"rows": "k", "cols": "n"}, "B"),
        ("Z[m,n] = B[k,n] * A[m,k]", OS, {"rows": "m", "cols": "n"}, "B"),
        # what moves along several dimensions stays nowhere and is no weight
        ("Z[p,m] = A[p,m,k] * B[m,k]", OS, {"rows": "p", "cols": "m"}, "B"),
        ("Z[p,m] = A[p,m,k] * B[m,k]", OS, {"rows": "m", "cols": "p"}, ""),
        # three factors
        ("Z[m,n] = A[m,k] * B[k,n] * S[n]", OS, {"rows": "m", "cols": "n"}, "BS"),
        ("Z[m,n] = A[m,k] * B[k,n] * S[n]", WS, {"rows": "k", "cols": "n"}, "B"),
        ("Z[m,n] = A[m,k] * B[k,n] * S[n]", IS, {"rows": "k", "cols": "m"}, "BS"),
        # a window over its input: output row p and filter row r along the array
        ("O[p] = I[p+r] * W[r]", IS, {"rows": "r", "cols": "p"}, "W"),
        ("O[p] = I[p+r] * W[r]", OS, {"cols": "p"}, "I"),
        # read in both roles, one operand, no product
        ("Z[m,n] = A[m,k] * A[n,k]", OS, {"rows": "m", "cols": "n"}, ""),
        ("Z[m] = max[k](A[m,k])", WS, {"rows": "k", "cols": "m"}, ""),
        ("Z[m,n] = A[m,n] + B[m,n]", WS, {"rows": "m", "cols": "n"}, ""),
        ("Z[m,n] = A[m,n] * B[n]", OS, {"rows": "m", "cols": "n"}, ""),
    ],
)  # fmt: skip
def test_the_layout_says_which_operand_is_weights(text, flow, spatial, weights) -> None:
    found = roles(text, flow, **spatial)
    assert {name for name, role in found.items() if role == "weights"} == set(weights)
    assert next(iter(role for name, role in found.items() if name in "ZO")) == "outputs"


def test_a_vector_unit_has_no_weights() -> None:
    assert roles(PRODUCT, OS, "vector", lanes="n") == {"A": "inputs", "B": "inputs", "Z": "outputs"}


def test_a_state_of_its_own_is_an_output() -> None:
    found = roles("initial R = 0\nR[m+1,p] = R[m,p] + X[m,p]", OS, cols="p")
    assert found == {"R": "outputs", "X": "inputs"}


def test_paths_go_by_every_parent() -> None:
    made = chip()
    assert paths(made, "mm", "outputs") == (("spad", "acc"), ("acc",))
    assert paths(made, "mm", "weights") == (("wbuf",),)
    assert paths(made, "vec", "weights") == (("spad",),)
    assert paths(chip(mm={"inputs": "spad", "weights": "dram", "outputs": "acc"}), "mm", "weights") == ((),)


def test_a_path_leaves_out_what_does_not_hold_the_role() -> None:
    made = chip(mm="acc")
    some = tuple(
        memory("acc", "spad", "dram", holds=("inputs", "outputs")) if one.name == "acc" else one
        for one in made.memories
    )
    made = Machine(name="c", family="generic", clock_hz=1.0, memories=some, units=made.units)
    assert paths(made, "mm", "weights") == (("spad",),)
    assert paths(made, "mm", "inputs") == (("spad", "acc"), ("acc",))


WORK = parse(PRODUCT, name="product", sizes={"m": 8, "n": 8, "k": 8})
LEAF = "Z on mm rows=k cols=n weight-stationary"
TWO = parse(f"{PRODUCT}\nY[m] = sum[n](Z[m,n])", name="two", sizes={"m": 8, "n": 8, "k": 8})


@pytest.mark.parametrize(
    ("work", "text", "message"),
    [
        (WORK, f"keep A in spad\n  keep B in wbuf\n    keep Z in acc\n      {LEAF}", None),
        (WORK, f"keep A in spad\n  keep B in wbuf\n    keep Z in spad\n      keep Z in acc\n        {LEAF}", None),
        (WORK, f"keep A B in spad\n  keep Z in acc\n    {LEAF}", "mapping.compute Z: operand B is in spad, but unit mm reads weights from wbuf; keep B in wbuf above it"),
        (WORK, f"keep A in spad\n  keep Z in acc\n    {LEAF}", "mapping.compute Z: operand B is in dram only, but unit mm reads weights from wbuf; keep B in wbuf above it"),
        (WORK, f"keep A Z in spad\n  keep B in wbuf\n    {LEAF}", "mapping.compute Z: operand Z is in spad, but unit mm writes outputs to acc; keep Z in acc above it"),
        (WORK, f"keep A in spad\n  keep B in wbuf\n    keep Z in wbuf\n      keep Z in acc\n        {LEAF}", "mapping.keep Z.in: Z is kept in wbuf further out, which is not outside acc; outside it: spad, dram"),
        (WORK, f"keep A in spad\n  keep B in wbuf\n    keep Z in acc\n      keep Z in spad\n        {LEAF}", "mapping.keep Z.in: Z is kept in acc further out, which is not outside spad; outside it: dram"),
        (WORK, "keep A in spad\n  keep B in wbuf\n    keep Z in acc\n      Z on mm rows=k cols=m input-stationary", None),
        (WORK, "keep A in spad\n  keep B in wbuf\n    keep Z in acc\n      Z on mm rows=k cols=m weight-stationary", "mapping.compute Z: operand A is in spad, but unit mm reads weights from wbuf; keep A in wbuf above it"),
        # into registers by the memory of its role, and not past it
        (WORK, f"keep A in spad\n  keep B in wbuf\n    keep B in mm\n      keep Z in acc\n        {LEAF}", None),
        (WORK, f"keep A in spad\n  keep B in mm\n    keep Z in acc\n      {LEAF}", "mapping.compute Z: operand B is in dram only, but unit mm reads weights from wbuf; keep B in wbuf above it"),
        # a spill has one place to go
        (WORK, f"keep A in spad\n  keep B in wbuf\n    keep Z in acc spill=0.25\n      {LEAF}", "mapping.keep Z.spill: acc has several memories outside it to spill to: spad, dram (got 0.25)"),
        # a result that is read elsewhere passes through what is outside both
        (TWO, f"keep Z Y in spad\n  pipeline\n    keep A in spad\n      keep B in wbuf\n        keep Z in acc\n          {LEAF}\n    Y on vec lanes=m", None),
        (TWO, f"keep Y in spad\n  keep Z in acc\n    pipeline\n      keep A in spad\n        keep B in wbuf\n          {LEAF}\n      Y on vec lanes=m", "mapping.compute Y: operand Z is in acc, but unit vec reads from spad; keep Z in spad above it"),
    ],
)  # fmt: skip
def test_operands_follow_a_path_to_their_role(work, text, message) -> None:
    text = re.sub(r"(keep [A-Z ]+ in \w+)(?! x)( spill=\S+)?$", r"\1 x1\2", text, flags=re.MULTILINE)
    made = parse_text(f"w on chip (test)\n{text}")
    if message is None:
        check(made, work, chip())
        return
    with pytest.raises(EinsimError) as caught:
        check(made, work, chip())
    assert str(caught.value) == message


def test_the_search_keeps_each_role_in_its_memory() -> None:
    answer = best_mapping(WORK, chip(), "latency", templates=False)
    check(answer.mapping, WORK, chip())
    assert answer.proven
    kept = {
        (t, node.memory)
        for node, _ in walk(answer.mapping.tree)
        if isinstance(node, Keep)
        for t in node.tensors
    }
    near = {"inputs": "spad", "weights": "wbuf", "outputs": "acc"}
    (node,) = answer.mapping.computes()
    assert {(t, near[role_of(WORK, chip(), node, t)]) for t in "ABZ"} <= kept


@pytest.mark.parametrize(
    ("keep", "message"),
    [
        ({"A": "spad"}, None),
        ({"B": "wbuf"}, None),
        ({"A": "wbuf"}, None),  # another layout has A stay
        ({"Z": "spad"}, None),  # on the way to acc
        ({"A": "acc"}, "space.keep.A: must be a memory on the way to a unit that uses it (got 'acc'); those are spad, wbuf"),
        ({"Z": "wbuf"}, "space.keep.Z: must be a memory on the way to a unit that uses it (got 'wbuf'); those are spad, acc"),
    ],
)  # fmt: skip
def test_a_tensor_can_be_asked_for_only_where_a_unit_finds_it(keep, message) -> None:
    if message is None:
        assert dict(MapSpace(cascade=WORK, machine=chip(), keep=keep).keep) == keep
        return
    with pytest.raises(SpecError) as caught:
        MapSpace(cascade=WORK, machine=chip(), keep=keep)
    assert str(caught.value) == message


def test_several_steps_of_a_state_are_found_in_a_keep_of_the_readers_own() -> None:
    text = "initial R = 0\nR[s+1,p] = R[s,p] + X[s,p]\nY[s,p] = {} + X[s,p]"
    tree = (
        "keep X Y R in spad x1\n  for s/1\n    pipeline\n      R on vec lanes=p\n"
        "      keep R in acc x1\n        Y on vec lanes=p"
    )
    made, on = parse_text(f"w on chip (test)\n{tree}"), chip(vec="acc")
    for read in ("R[s+1,p]", "R[s+1,p] + R[s,p]"):  # as many bytes as the oracle moves: test_carried.py
        check(made, parse(text.format(read), name="w", sizes={"s": 4, "p": 4}), on)
