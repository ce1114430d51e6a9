"""A mapping is checked at a smaller size that does what the real one does; a planted fault is found there."""

from __future__ import annotations

import msgspec
import pytest

from einsim.accel.load import load_machine
from einsim.dataflow.legality import check
from einsim.dataflow.lower import lower
from einsim.dataflow.mapping import Compute, Loop, Mapping, chain, keep, walk
from einsim.dataflow.templates import build_mapping
from einsim.evaluation import evaluate
from einsim.validation.oracle import compare
from einsim.validation.oracle.check import check_mapping
from einsim.validation.oracle.shrink import shrink
from einsim.workloads.notation import parse
from tests.dataflow.read_text import parse_text

CASES = {
    "partitions": ("attention", "fusemax-cloud", {"b": 1, "h": 1, "e": 64, "p": 256, "m": 257, "passes": 1}),
    "documents": ("attention", "sa8295p", {"b": 1, "h": 2, "e": 64, "seq": 1024, "documents": 128}),
    "a window": ("attention-decode", "tpu-v4i", {"b": 1, "h": 32, "kv_heads": 8, "e": 128, "seq": "16K", "window": 4096}),
    "n:m": ("linear-training", "vcu1525-sat", {"n": 512, "i": 768, "o": 512, "sparsity": "2:8"}),
    "a halo": ("conv", "eyeriss-like", {"b": 1, "c": 16, "k": 16, "y": 56, "x": 56, "stride": 2}),
    "pixels": ("conv", "kv260-dpu", {"b": 1, "c": 40, "k": 48, "y": 27, "x": 27, "stride": 2, "bits": 8}),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_the_librarys_mappings_are_as_the_oracle_has_them(case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("einsim.validation.oracle.check.SECONDS", 0.3)
    workload, accel, settings = CASES[case]
    found = evaluate(workload, accel, settings=settings, level="analytical")
    report = check_mapping(found.cascade, found.mapped.machine, found.mapped.mapping)
    assert report.differences == ()
    assert report.equal
    assert min(report.compared[kind] for kind in ("values", "actions", "points", "bytes", "energy")) > 0
    assert report.sizes


def test_loops_tiles_and_units_keep_their_proportions() -> None:
    work = parse("Z[m,n] = A[m,k] * B[k,n]", sizes={"m": 4096, "n": 1000, "k": 512})
    chip = load_machine("tpu-v4i", {"cores": 1})
    tree = parse_text("gemm on tpu-v4i (test)\nfor m/512\n  keep A B Z in gb x2\n    for n/256\n      Z on array2d rows=m cols=n weight-stationary")  # fmt: skip
    small = shrink(work, chip, tree, points=8, rounds=3)
    loops = {node.rank: node.tile for node, _ in walk(small.mapping.tree) if isinstance(node, Loop)}
    assert small.sizes == {
        "m": (4096, 24),
        "n": (1000, 23),
        "k": (512, 8),
    }  # 8 rounds are 3, the last of n is short
    assert loops == {"m": 8, "n": 8}
    assert small.units == {"array2d rows": (128, 3), "array2d cols": (128, 4)}  # 4 folds are 3, 2 folds are 2
    check(small.mapping, small.work, small.chip)


def test_strides_windows_and_documents_shrink_with_their_ranks() -> None:
    text = """
    rank n = 1024, c = 16, i = 64, j = 64, m = 1024
    n -> c, i
    where j <= i
    where n <= m+255
    where same[128](n, m)
    Q[c,j] = K[c*I+j] * L[c*I+j]
    P[c,i,j] = A[c*I+i] * Q[c,j]
    S[n,m] = A[n] * L[m]
    """
    work = parse("\n".join(line.strip() for line in text.strip().splitlines()))
    chip = load_machine("fusemax-cloud")
    small = shrink(work, chip, build_mapping(work, chip), points=8, rounds=4).work
    i, n = small.size("i"), small.size("n")
    assert (small.size("j"), small.size("m"), n) == (i, n, small.size("c") * i)
    assert f"K[c*{'J' if i == small.size('j') else i}+j]" in str(small)
    assert f"same[{round(128 * n / 1024)}]" in str(small)
    assert parse(str(small)) == msgspec.structs.replace(small, source="")


def test_what_can_not_shrink_is_said() -> None:
    work = parse(
        "tensor X[p,e] sparse topk 4:64 e\nZ[p,f] = X[p,e] * W[e,f]", sizes={"p": 256, "e": 64, "f": 64}
    )
    chip = load_machine("fusemax-cloud")
    small = shrink(work, chip, build_mapping(work, chip), points=4, rounds=2)
    assert small.kept == ("e 64: X keeps the top k of it",)
    assert small.work.size("e") == 64


def test_a_timed_dram_is_checked_as_a_pipe() -> None:
    work = parse("Y[p] = exp(X[p])", sizes={"p": 64})
    chip = load_machine("fusemax-cloud", {"dram.timing": "hbm2e"})
    report = check_mapping(work, chip, build_mapping(work, chip))
    assert report.kept == ("dram: as a pipe of its bandwidth, not by the commands of hbm2e",)
    assert report.equal


def test_a_fault_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    work = parse("Z[m,n] = A[m,k] * B[k,n]", sizes={"m": 16, "n": 16, "k": 16})
    chip = load_machine("fusemax-cloud")
    tree = build_mapping(work, chip)
    whole = check_mapping(work, chip, tree)
    assert (whole.sizes, whole.differences) == ({}, ())
    analyse = compare.analyse

    def wrong(*arguments: object) -> object:
        result = analyse(*arguments)  # type: ignore[arg-type]
        traffic = {**result.traffic, "dram": {**result.traffic["dram"], "A": 1}}
        return msgspec.structs.replace(result, traffic=traffic)

    monkeypatch.setattr(compare, "analyse", wrong)
    report = check_mapping(work, chip, tree)
    assert report.differences == ("bytes dram less: dram A 1, oracle 512",)
    assert not report.equal


def test_every_leaf_is_still_there() -> None:
    found = evaluate("attention", "fusemax-cloud", settings={"b": 1, "h": 2, "seq": 1024}, level="analytical")
    tree = found.mapped.mapping
    small = shrink(found.cascade, found.mapped.machine, tree, points=4, rounds=2).mapping
    leaves = [
        [(node.einsum, node.unit, node.spatial) for node, _ in walk(one.tree) if isinstance(node, Compute)]
        for one in (tree, small)
    ]
    assert leaves[0] == leaves[1]


def test_bounds_beside_a_merged_loop_of_a_sum() -> None:
    """Ranks that bounds don't touch are one loop, which is no rank of theirs (a traceback, drawn input 202:695)."""
    text = "where m <= M-2\nT = Z[c*I+i] * X[m,p]"
    work = parse(text, name="merged", sizes={"m": 6, "p": 6, "c": 3, "i": 2})
    chip = load_machine("eyeriss-like")
    leaf = Compute(einsum="T", unit="array2d", spatial={"rows": ("m",)})
    tree = chain(keep("T", "gb"), ("c", 1), ("i", 1), keep("Z X", "gb"), ("p", 2), leaf)
    mapping = Mapping(cascade=work.name, machine=chip.name, template="file", tree=tree)
    assert next(loop.ranks for loop in lower(mapping, work, chip).loops) == ("c", "i")
    report = check_mapping(work, chip, mapping)
    assert report.differences == ()
