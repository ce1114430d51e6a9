"""Operands straight from DRAM in the default's list: legal and right, and never a loss in energy."""

from __future__ import annotations

import pytest

from einsim.accel.load import load_machine
from einsim.dataflow.mapping import Keep, Mapping, placed
from einsim.dataflow.structure import alike
from einsim.dataflow.templates import choice, layerwise, listed
from einsim.dataflow.templates import outline as outlines
from einsim.dataflow.templates.attention import fused_attention
from einsim.dataflow.templates.layerwise import Branches
from einsim.dataflow.templates.nest import LoopNest, UnitChoices
from einsim.specs.remembered import Remembered
from einsim.validation.oracle.compare import DrawnCase, judge
from einsim.workloads.load import load_workload
from einsim.workloads.notation import parse

#: Slower vectors than arrays, of which small products fill some folds.
SMALL_ARRAY = {"array.rows": 2, "array.cols": 3, "vector.lanes": 1}

SMALL = [
    ("S[b,m,n] = A[b,m,k] * B[b,k,n]", {"b": 2, "m": 5, "n": 6, "k": 4}),
    ("S[m,n] = A[m,k] * B[k,n]\nY[m,n] = S[m,n] + C[n]", {"m": 3, "n": 7, "k": 5}),
    ("G[p,s] = X[p,d] * W[d,s]\nU[p,s] = X[p,d] * V[d,s]\nH[p,s] = G[p,s] * U[p,s]", {"p": 3, "d": 5, "s": 4}),
    ("where n >= m\nS[m,n] = A[m,k] * B[k,n]", {"m": 6, "n": 6, "k": 3}),
]  # fmt: skip


@pytest.mark.parametrize("accel", ["tpu-v4i", "fusemax-cloud", "eyeriss-like"])
@pytest.mark.parametrize(("text", "sizes"), SMALL)
def test_every_point_with_an_operand_from_dram_is_right(text: str, sizes: dict[str, int], accel: str) -> None:
    """By the oracle: values, bytes, actions, both levels; the operand is kept nowhere."""
    work, machine = parse(text, name="small", sizes=sizes), load_machine(accel, SMALL_ARRAY)
    structure, key = alike(machine)
    made, seen = outlines.outline(work, structure, key, ()), 0
    if (whole := (0, len(made.order))) in made.runs[whole[1]]:
        known, names = made.listed(whole)
        for nest in [one for one in known.nests if one.nest.straight][::3]:
            ours = dict(zip(known.names, names, strict=True))
            tree = choice.renamed(nest.tree(2, ()), ours)
            kept = {name for _, node in placed(tree) if isinstance(node, Keep) for name in node.tensors}
            assert not kept & {ours[name] for name in nest.nest.straight}
            mapping = Mapping(cascade=work.name, machine=machine.name, template="", tree=tree)
            found = judge(DrawnCase(name="", kind="", work=work, chip=machine, mapping=mapping))
            assert found.legal
            assert found.right
            assert not found.found
            seen += 1
    assert seen


CASES = [
    ("ffn", {"b": 1, "p": 256, "d": 512, "s": 1024}),
    ("bert-base", {"seq": 512, "b": 1, "passes": 3}),
    ("attention-decode", {"model": "llama2-7b", "seq": 512, "b": 1, "passes": 3}),
]


@pytest.mark.slow
@pytest.mark.parametrize("objective", ["latency", "energy"])
@pytest.mark.parametrize("accel", ["tpu-v4i", "fusemax-cloud", "eyeriss-like", "flat-edge"])
@pytest.mark.parametrize(("name", "sizes"), CASES)
def test_the_default_costs_no_more_than_without_them(
    name: str, sizes: dict[str, object], accel: str, objective: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Exactly, by what it is chosen by."""
    work, machine = load_workload(name, sizes), load_machine(accel)
    fused = fused_attention(work, machine)
    cost, *_ = Branches(work, machine, fused, objective).best()

    def without(leaves: UnitChoices, nests: list[LoopNest]) -> list[LoopNest]:
        return [nest for nest in nests if not nest.still]

    monkeypatch.setattr(listed, "with_straight", without)
    monkeypatch.setattr(listed, "_LISTS", Remembered(1000))
    monkeypatch.setattr(outlines, "_OUTLINES", Remembered(8))
    monkeypatch.setattr(choice, "_POINTS", Remembered(8))
    monkeypatch.setattr(layerwise, "_FOUND", Remembered(16))
    other, *_ = Branches(work, machine, fused, objective).best()
    assert cost <= other * (1 + 1e-9)
