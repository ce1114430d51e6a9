"""Fused trees of attention whose scores or denominators are changed: legal, and right in the oracle."""

from __future__ import annotations

import itertools

import msgspec
import pytest

from einsim.accel.machine import Machine, OpCost
from einsim.dataflow.mapping import Mapping
from einsim.dataflow.templates.flat import FlatChoice, flat
from einsim.dataflow.templates.fusemax import interleaved, on_flat, stalled
from einsim.validation.oracle.compare import DrawnCase, judge
from einsim.workloads.blocks.attention import attention_text, mask_text
from einsim.workloads.cascade import Cascade
from einsim.workloads.notation import parse
from einsim.workloads.settings import Settings
from tests.validation.oracle.small import machine

SCORES = {
    "bias": "{s} + REL[h,m-p+P-1]",
    "table": "{s} + BIAS[h,m,p]",
    "cap and slope": "3 * tanh({s} / 3) + SLOPE[h] * m",
}
OPS = ("mac", "mul", "add", "sub", "max", "exp", "div", "select", "cmp", "tanh")


def attention(passes: str, score: str = "", *, sink: bool = False, causal: bool = False) -> Cascade:
    settings = Settings({"passes": passes, "m0": 4, "causal": causal}, "test")
    text = attention_text(settings, "b,h", 8, score, sink=sink) + "\n" + mask_text(settings, 8, 8)
    return parse(text, name="changed", sizes={"b": 1, "h": 2, "e": 3, "f": 3, "m": 8, "p": 8})


def chip(**more: object) -> Machine:
    return machine(ops={op: OpCost(energy_pj=0.5) for op in OPS}, **more)


def hold(work: Cascade, on: Machine, mapping: Mapping) -> None:
    found = judge(DrawnCase(name="", kind="", work=work, chip=on, mapping=mapping))
    assert found.legal
    assert found.right
    assert not found.found, found.found
    assert {node.einsum for node in mapping.computes()} == {einsum.name for einsum in work.einsums}


CHOICES = (
    FlatChoice(), FlatChoice(rows=4), FlatChoice(rows=4, keys=8, lanes="p", k="head"), FlatChoice(through=4),
)  # fmt: skip


@pytest.mark.parametrize("choice", CHOICES)
@pytest.mark.parametrize(
    ("score", "sink", "causal"),
    [("", True, False), (SCORES["table"], False, False), (SCORES["bias"], True, True),
     *(pytest.param(score, False, False, marks=pytest.mark.slow) for score in SCORES.values())],
)  # fmt: skip
def test_flat_computes_changes_in_its_block(score: str, sink: bool, causal: bool, choice: FlatChoice) -> None:
    work, on = attention("3", score, sink=sink, causal=causal), chip()
    hold(work, on, flat(work, on, **msgspec.structs.asdict(choice)))


@pytest.mark.parametrize(
    ("template", "kind"),
    [
        (interleaved, "bias"),
        (on_flat, "cap and slope"),
        *(
            pytest.param(*case, marks=pytest.mark.slow)
            for case in itertools.product((interleaved, stalled, on_flat), SCORES)
        ),
    ],
)
def test_fusemax_computes_changes_with_each_tile(template, kind: str) -> None:
    work, on = attention("1", SCORES[kind]), chip()
    hold(work, on, template(work, on))


@pytest.mark.parametrize("template", [interleaved, pytest.param(on_flat, marks=pytest.mark.slow)])
def test_fusemax_computes_a_sink_after_the_last_tile(template) -> None:
    work, on = attention("1", SCORES["bias"], sink=True), chip()
    hold(work, on, template(work, on))


def test_what_the_array_cannot_do_of_a_change_the_vector_unit_does() -> None:
    """The array has no tanh, so scores go through the buffer."""
    work, on = attention("1", SCORES["cap and slope"]), chip()
    array = msgspec.structs.replace(on.units[0], ops={op: on.units[0].ops[op] for op in OPS if op != "tanh"})
    on = msgspec.structs.replace(on, units=(array, on.units[1]))
    mapping = interleaved(work, on)
    hold(work, on, mapping)
    units = {node.einsum: node.unit for node in mapping.computes()}
    assert (units["RAWBQK"], units["BQK"], units["SLN"]) == ("grid", "lanes", "grid")
