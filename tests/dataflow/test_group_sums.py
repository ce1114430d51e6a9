"""Sums of groups of narrow weights are scaled and added where they are made: decode stays bound by its bytes."""

from __future__ import annotations

import pytest

from einsim.dataflow.templates.outline import sums_of_groups
from einsim.evaluation import evaluate
from einsim.workloads.load import load_workload
from einsim.workloads.notation import parse

LAYER = {"part": "layer", "phase": "decode", "seq": 256}


def test_a_product_its_scaling_and_its_sum_stand_together():
    found = set(sums_of_groups(load_workload("llama3-8b", {**LAYER, "weights": 4, "group": 128})))
    assert {("QAGR", "QAGZ", "QA"), ("GATEGR", "GATEGZ", "GATE"), ("FF2GR", "FF2GZ", "FF2")} <= found
    assert not any("QK" in names or "AV" in names for names in found)


@pytest.mark.parametrize("name", ["llama3-8b", "mamba-130m", "attention-1pass", "conv"])
def test_no_other_products_are_taken_for_such(name):
    settings = LAYER if name == "llama3-8b" else {}
    assert not list(sums_of_groups(load_workload(name, settings)))


def test_a_chain_of_products_is_none():
    chain = parse("H[p,s] = X[p,d] * W[d,s]\nY[p,o] = H[p,s] * V[s,o]\n", name="chain",
                  sizes={"p": 2, "d": 3, "s": 4, "o": 5})  # fmt: skip
    assert not list(sums_of_groups(chain))


@pytest.mark.parametrize(
    "accel",
    [
        "sa8295p",
        "vcu1525-sat",
        *(pytest.param(name, marks=pytest.mark.slow) for name in ("u280-flightllm", "tpu-v4i")),
    ],
)
def test_decode_by_four_bits_takes_the_time_of_its_bytes(accel):
    """No sum of groups passes DRAM, and time falls as bytes do (to 5 %: what computes beside)."""
    wide = evaluate("llama3-8b", accel, settings=LAYER, level="analytical").result
    found = evaluate("llama3-8b", accel, settings={**LAYER, "weights": 4, "group": 128}, level="analytical")
    sums = {einsum.name for einsum in found.cascade.einsums if einsum.name.endswith(("GR", "GZ"))}
    assert len(sums) == 14
    assert sums.isdisjoint(found.result.traffic["dram"])
    assert wide.cycles / found.result.cycles > 0.95 * wide.dram_bytes / found.result.dram_bytes > 3.3
