"""A cascade of several kernels: every Einsum is in one part, by what it computes, and the parts' costs add up."""

from __future__ import annotations

import pytest

from einsim.accel.gpu.machine import load_gpu
from einsim.evaluation import evaluate
from einsim.sim.gpu.joined import joined
from einsim.sim.gpu.parts import KernelPart, parts
from einsim.sim.gpu.result import choose
from einsim.specs.errors import SpecError
from einsim.workloads.load import load_workload
from einsim.workloads.notation import parse

GPU = load_gpu("h200-sxm")


def by_einsum(found: tuple[KernelPart, ...]) -> dict[str, str]:
    """The family that computes each Einsum; "" where none does."""
    return {name: part.found.cases[0].family if part.known else "" for part in found for name in part.einsums}


@pytest.mark.parametrize("passes", ["1", "3"])
def test_a_llama_layer_is_norms_products_rotations_attention_and_a_gate(passes: str) -> None:
    cascade = load_workload("decoder-layer", {"model": "llama3-8b", "seq": "512", "passes": passes})
    family = by_einsum(parts(cascade))
    assert set(family) == {einsum.name for einsum in cascade.einsums}
    named = {
        name: family[name]
        for name in ("N1", "QA", "KA", "V", "Q", "K", "AV", "Z", "R1", "N2", "ACT", "FF2", "Y")
    }
    attention = "attention-wgmma" if passes == "1" else "attention-unfused"
    assert named == {
        "N1": "rmsnorm", "QA": "gemm-wgmma", "KA": "gemm-wgmma", "V": "gemm-wgmma", "Q": "rope", "K": "rope",
        "AV": attention, "Z": "gemm-wgmma", "R1": "", "N2": "rmsnorm", "ACT": "swiglu", "FF2": "gemm-wgmma", "Y": "",
    }  # fmt: skip


def test_sizes_of_parts_are_those_of_the_model() -> None:
    """Llama 3 8B by its configuration: 32 query heads of 128, 8 key heads, width 4096, hidden width 14336."""
    cascade = load_workload("decoder-layer", {"model": "llama3-8b", "seq": "512"})
    sizes = {part.einsums[-1]: part.found.cases[0].sizes for part in parts(cascade)}
    assert sizes["QA"] == {"m": 512, "n": 4096, "k": 4096}
    assert set(sizes["KA"].values()) == {512, 1024, 4096}
    assert (sizes["Q"], sizes["K"]) == ({"p": 512, "h": 32, "e": 128}, {"p": 512, "h": 8, "e": 128})
    assert sizes["AV"] == {"h": 32, "g": 4, "m": 512, "p": 512, "e": 128, "f": 128, "causal": 1}
    assert sizes["ACT"] == {"p": 512, "s": 14336}
    assert sizes["N1"] == {"p": 512, "d": 4096}


def test_costs_of_parts_add_up_and_what_no_kernel_computes_is_said() -> None:
    settings = {"model": "llama3-8b", "seq": "512", "passes": "1"}
    cascade = load_workload("decoder-layer", settings)
    found = parts(cascade)
    whole = joined(found, GPU, cascade).result
    single = [choose(part.found.cases, GPU).prediction for part in found]
    assert whole.latency_s == pytest.approx(sum(one.seconds for one in single))
    assert sum(whole.energy_by.values()) == pytest.approx(sum(one.joules for one in single))
    busy = min(whole.bound_by[whole.bottleneck], whole.cycles)
    assert busy + sum(whole.stalls.values()) == whole.cycles
    assert whole.timeline[-1].end_cycle == pytest.approx(whole.cycles, rel=1e-3)
    said = [note for note in whole.notes if "no kernel was captured" in note]
    assert [note.split(":")[0] for note in said] == ["R1", "Y"]
    assert evaluate("decoder-layer", "h200-sxm", settings=settings).result.cycles == whole.cycles


def test_a_rotation_is_known_by_what_it_exchanges() -> None:
    text = "Q[h,c*64+j,p] = X[h,c*64+j,p] * C[c*64+j,p] + X[h,{other},p] * S[c*64+j,p]\nZ[p,n] = Q[h,e,p] * W[h,e,n]"
    sizes = {"h": 4, "c": 2, "j": 64, "p": 256, "n": 512, "e": 128}
    turned = parse(text.format(other="-c*64+j+64"), name="turned", sizes=sizes)
    shifted = parse(text.format(other="c*64+j"), name="shifted", sizes=sizes)
    assert by_einsum(parts(turned)) == {"Q": "rope", "Z": "gemm-wgmma"}
    assert by_einsum(parts(shifted)) == {"Q": "", "Z": "gemm-wgmma"}


def test_what_no_kernel_computes_any_of_has_no_parts_and_is_refused() -> None:
    lone = parse("Y[p,d] = X[p,d] + B[p,d]", name="lone", sizes={"p": 64, "d": 64})
    assert parts(lone) == ()
    with pytest.raises(SpecError, match="no kernel computes this"):
        evaluate(lone, "h200-sxm")
