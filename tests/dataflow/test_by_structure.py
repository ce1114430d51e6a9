"""Templates look at what a cascade computes: another hand's attention runs as the library's, look-alikes don't."""

from __future__ import annotations

import msgspec
import pytest

from einsim.accel.load import load_machine
from einsim.dataflow.analytical import analyse
from einsim.dataflow.lower import lower
from einsim.dataflow.mapper.best import template_mapping
from einsim.dataflow.mapping import Mapping
from einsim.dataflow.result import Result
from einsim.dataflow.templates import build_mapping
from einsim.dataflow.templates.attention import fused_attention
from einsim.sim.engine import simulate
from einsim.specs.errors import EinsimError
from einsim.workloads.blocks.attention import attention_text
from einsim.workloads.cascade import Cascade
from einsim.workloads.load import load_workload
from einsim.workloads.notation import parse
from einsim.workloads.recognised import attentions
from einsim.workloads.settings import Settings
from tests.workloads.renamed import ANOTHER_HAND

ONE_QUERY = """
QK[h,m] = Q[h,e] * K[h,m,e]
GM[h]   = max[m](QK[h,m])
SN[h,m] = exp(QK[h,m] - GM[h])
SD[h]   = sum[m](SN[h,m])
A[h,m]  = SN[h,m] / SD[h]
AV[h,f] = A[h,m] * V[h,m,f]
"""


def figures(cascade: Cascade, accel: str, template: str = "template") -> tuple[Mapping, list[float]]:
    machine = load_machine(accel)
    mapping = build_mapping(cascade, machine, template)
    program = lower(mapping, cascade, machine)
    results: list[Result] = [analyse(program, machine), simulate(program, machine)]
    return mapping, [f for one in results for f in (one.cycles, one.energy_stated_j, one.dram_bytes)]


@pytest.mark.parametrize("accel", ["flat-cloud", "fusemax-cloud", "tpu-v4i"])
def test_attention_by_another_hand_costs_what_the_librarys_does(accel: str) -> None:
    """The same Einsums on the same sizes: only the names S, X, N, D, W and O are others."""
    mine = parse(ANOTHER_HAND, name="mine", sizes={"b": 1, "h": 8, "e": 64, "f": 64, "m": 1024, "p": 1024})
    theirs = load_workload("attention", {"b": "1", "h": "8", "e": "64", "seq": "1K", "passes": "3"})
    one, other = figures(mine, accel), figures(theirs, accel)
    assert one[0].template == other[0].template
    assert one[1] == other[1]


@pytest.mark.parametrize(
    ("accel", "template"),
    [
        ("flat-cloud", "template"), ("fusemax-cloud", "template"), ("tpu-v4i", "template"),
        ("u280-flightllm", "template"), ("flat-cloud", "flat"),
    ],
)  # fmt: skip
def test_one_query_needs_no_rank_for_it(accel: str, template: str) -> None:
    """Every key of every head is multiplied once: 8 heads of 512 keys of 64 elements, values as well."""
    cascade = parse(ONE_QUERY, name="decode-head", sizes={"h": 8, "m": 512, "e": 64, "f": 64})
    machine = load_machine(accel)
    mapping = build_mapping(cascade, machine, template)
    result = simulate(lower(mapping, cascade, machine), machine)
    assert result.by_einsum["QK"].points == result.by_einsum["AV"].points == 8 * 512 * 64
    assert {"K", "V"} <= {name for name, size in result.traffic["dram"].items() if size >= 8 * 512 * 64 * 2}


def test_flats_search_needs_no_names_and_no_queries() -> None:
    machine = load_machine("flat-edge")
    sizes = {"b": 1, "h": 2, "e": 32, "f": 32, "m": 256, "p": 256}
    theirs = load_workload("attention-3pass", {"b": "1", "h": "2", "e": "32", "seq": "256"})
    mine = parse(ANOTHER_HAND, name="mine", sizes=sizes)
    found = [template_mapping("flat", work, machine, most=12) for work in (theirs, mine)]
    assert found[0].result.cycles == found[1].result.cycles
    assert found[0].nodes == found[1].nodes == 12
    one_query = parse(ONE_QUERY, name="q", sizes={"h": 2, "m": 512, "e": 64, "f": 64})
    assert template_mapping("flat", one_query, machine, most=12).result.cycles > 0


def test_both_attentions_of_a_decode_step_are_fused() -> None:
    step = load_workload("t5", {"phase": "decode", "passes": "1", "seq": "512", "b": "2"})
    machine = load_machine("fusemax-cloud")
    fused = fused_attention(step, machine)
    assert [len(one.mapping.computes()) for one in fused] == [13, 12]  # the first with biases of scores
    mapping = build_mapping(step, machine)
    assert {node.einsum for node in mapping.computes()} == {einsum.name for einsum in step.einsums}
    assert simulate(lower(mapping, step, machine), machine).cycles > 0


@pytest.mark.parametrize(
    ("passes", "accel", "template"),
    [("3", "flat-cloud", "flat"), ("1", "fusemax-cloud", "fusemax-interleaved")],
)
def test_a_bias_of_scores_is_added_in_the_fused_block_by_default(
    passes: str, accel: str, template: str
) -> None:
    """An op more a point on top of 10 and more of softmax, or of 64 and more of FuseMax's array."""
    cycles = []
    for score in ("", "{s} + REL[h,m-p+P-1]"):
        text = attention_text(Settings({"passes": passes, "m0": 256}, "test"), "b,h", 1024, score)
        sizes = {"b": 1, "h": 8, "e": 64, "f": 64, "m": 1024, "p": 1024}
        work, machine = parse(text, name="biased", sizes=sizes), load_machine(accel)
        mapping = build_mapping(work, machine)
        cycles.append(analyse(lower(mapping, work, machine), machine).cycles)
    assert mapping.template == template
    assert cycles[0] <= cycles[1] <= 1.3 * cycles[0]


def test_a_fused_tile_that_does_not_fit_leaves_the_default_another() -> None:
    """108 KiB hold no block of 256 keys with its values twice beside the tiles of FuseMax's mapping."""
    machine = load_machine("eyeriss-like")
    cascade = load_workload("attention-1pass", {"b": "1", "h": "4", "e": "32", "seq": "256"})
    with pytest.raises(EinsimError, match="bytes are needed in gb"):
        build_mapping(cascade, machine, "fusemax-on-flat")
    mapping = build_mapping(cascade, machine)
    assert mapping.template == "resident"
    assert simulate(lower(mapping, cascade, machine), machine).cycles > 0


def test_names_of_attention_on_something_else_are_refused_a_template() -> None:
    text = "QK[h,p] = sum[e](Q[h,p,e])\nGM[h,p] = max[e](Q[h,p,e])\nSN[h] = sum[p](QK[h,p])\nSD[h] = sum[p](GM[h,p])\n"
    text += "A[h] = SN[h] / SD[h]\nAV[h,m] = A[h] * V[h,m]"
    cascade = parse(text, name="attention-3pass", sizes={"h": 2, "p": 8, "e": 4, "m": 8})
    assert attentions(cascade, 3) == ()
    assert build_mapping(cascade, load_machine("flat-cloud")).template == "resident"
    for template, words in (("flat", "3-pass attention"), ("fusemax-stalled", "1-pass attention")):
        with pytest.raises(EinsimError, match=words):
            build_mapping(cascade, load_machine("flat-cloud"), template)


def test_groups_and_elements_may_be_several_ranks() -> None:
    """Heads of 4 x 16 elements are heads of 64, and 2 groups on 3 query ranks are walked as 6 heads."""
    split = ANOTHER_HAND.replace(",e,", ",c,e,").replace(",f,", ",d,f,")
    sizes = {"b": 1, "h": 2, "c": 4, "e": 16, "d": 4, "f": 16, "m": 512, "p": 512}
    whole = parse(ANOTHER_HAND, name="w", sizes={**sizes, "e": 64, "f": 64, "c": 1, "d": 1})
    parts = parse(split, name="s", sizes=sizes)
    (one,), (other,) = attentions(whole, 3), attentions(parts, 3)
    assert (one.size("e"), one.size("f")) == (other.size("e"), other.size("f")) == (64, 64)
    fused = [figures(cascade, "flat-cloud", "flat") for cascade in (whole, parts)]
    assert fused[0][1][2] == fused[1][1][2]  # bytes of DRAM
    grouped = load_workload("attention-3pass", {"b": "1", "h": "6", "kv_heads": "2", "e": "32", "seq": "256"})
    assert attentions(grouped, 3)[0].heads == ("b", "h", "g")
    assert msgspec.structs.asdict(attentions(grouped, 3)[0].matching)["ranks"]["p"] == ("g", "p")
