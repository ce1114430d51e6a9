"""A bias belongs with its product: it stands right behind it and counts as no further Einsum of a group."""

from __future__ import annotations

import msgspec
import pytest
from small import BIASED, problem
from test_search import held_against_brute_force

from einsim.accel.load import load_machine
from einsim.dataflow.mapper.beside import in_order, product_of
from einsim.dataflow.mapper.best import default_space
from einsim.dataflow.mapper.space import MapSpace
from einsim.workloads.cascade import Cascade
from einsim.workloads.load import load_workload
from einsim.workloads.notation import parse


def bert() -> Cascade:
    return load_workload("bert-base", {"seq": 512, "b": 1, "passes": 3, "part": "layer"})


@pytest.mark.parametrize("name", ["bert-base", "llama2-7b", "qwen2-7b", "mamba-130m", "t5", "whisper-tiny"])
def test_the_order_is_one_in_which_all_is_there_that_is_read(name: str) -> None:
    work = load_workload(name, {"seq": 64, "part": "layer"})
    order, seen = in_order(work), set[str]()
    assert sorted(e.name for e in order) == sorted(e.name for e in work.einsums)
    for einsum in order:
        reads = {read.tensor for read in einsum.reads if work.producer(read.tensor) not in (None, einsum)}
        late = {name for name in reads if name in work.overwritten}
        assert reads - late <= seen
        seen.add(einsum.name)


def test_each_bias_of_bert_stands_behind_its_product() -> None:
    work = bert()
    biases = {e.name: product_of(work, e) for e in work.einsums if product_of(work, e)}
    assert biases == {"Q": "QA", "K": "KA", "V": "VA", "Z": "ZA", "FF1": "FF1P", "FF2": "FF2P"}
    names = [einsum.name for einsum in in_order(work)]
    assert all(names.index(one) == names.index(product) + 1 for one, product in biases.items())
    space = msgspec.structs.replace(default_space(work, load_machine("tpu-v4i")), longest=3)
    groups = {tuple(e.name for e in group) for group in space.fusions()}
    assert ("KA", "K", "VA", "V") in groups
    assert ("FF2P", "FF2", "R2P", "SX2") in groups
    assert all(sum(biases.get(name) not in group for name in group) <= 3 for group in groups)


@pytest.mark.parametrize(
    "text",
    [
        "H[m,j] = X[m,k] * W[k,j]\nY[m,j] = H[m,j] + R[m,j]",  # as large: a residual
        "H[m,j] = X[m,k] * W[k,j]\nY[m,j] = exp(H[m,j])",  # nothing is added
        "H[m,j] = X[m,k] * W[k,j]\nY[m] = max[j](H[m,j] + B[j])",
        "H[m,j] = exp(X[m,j])\nY[m,j] = H[m,j] + B[j]",  # no product
        "H[m,j] = X[m,k] * W[k,j]\nG[j] = exp(B[j])\nY[m,j] = H[m,j] + G[j]",  # made as well
    ],
)
def test_what_does_not_belong_with_a_product(text: str) -> None:
    sizes = {rank: 4 for rank in "mjk" if f"{rank}," in text or f"{rank}]" in text}
    work = parse(text, name="w", sizes=sizes)
    assert in_order(work) == work.einsums
    assert not any(product_of(work, einsum) for einsum in work.einsums)


@pytest.mark.parametrize("objective", ["latency", "energy"])
@pytest.mark.parametrize("seed", range(6))
def test_the_optimum_with_biases_is_the_brute_force_optimum(seed: int, objective: str) -> None:
    """In groups of two that count, and so of three."""
    space = msgspec.structs.replace(problem(seed, most=3e4, texts=BIASED), most_fused=2)
    assert 3 in {len(group) for group in space.fusions()}
    held_against_brute_force(space, objective, cap=seed % 2 == 0)


def test_one_to_a_group_is_one_with_biases_too() -> None:
    work = bert()
    space = MapSpace(cascade=work, machine=load_machine("tpu-v4i"), menu="steps", most_fused=1)
    assert {len(group) for group in space.fusions()} == {1}
