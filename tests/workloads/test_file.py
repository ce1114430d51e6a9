"""A cascade of one's own in YAML: what it may hold, and every fault with its line."""

from __future__ import annotations

import numpy as np
import pytest

from einsim.specs.errors import SpecError
from einsim.workloads.execute import execute
from einsim.workloads.load import load_workload
from einsim.workloads.sparsity import NM

GOOD = """\
name: clipped
ranks: {b: 2, e: 8, m: 1K, p: 1K, m0: 256}
partitions: {m: [m1, m0]}
parameters: {W: 128, scale: 0.5}
tensors:
  K: {bits: 8, sparse: "2:4 e"}
  Q: {ranks: [b, e, p]}
where: ["m <= p", "p - m < W"]
initial: {R: -inf}
ops:
  clip(x): min(max(x, 0), 6)
einsums: |
  # the scores
  QK[b,m1,m0,p] = Q[b,e,p] * K[b,e,m]

  L[b,m1,p] = max[m0](QK[b,m1,m0,p])
  R[b,m1+1,p] = max(R[b,m1,p], L[b,m1,p])
  Z[b,p] = clip(R[b,M1,p]) * scale
"""


@pytest.fixture
def load(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def load_text(text, **given):
        (tmp_path / "own.yaml").write_bytes(text if isinstance(text, bytes) else text.encode())
        return load_workload("own.yaml", given)

    return load_text


def test_a_file_is_read_whole(load):
    cascade = load(GOOD)
    assert cascade.name == "clipped"
    assert cascade.tensor("K").bits == 8
    assert cascade.tensor("K").sparsity == NM(2, 4, "e")
    assert cascade.points("QK") == 2 * 8 * sum(min(p + 1, 128) for p in range(1024))
    assert cascade.source == "own.yaml"


def test_a_file_declares_outputs(load):
    assert [tensor.name for tensor in load(GOOD + "outputs: [L]").outputs] == ["L", "Z"]
    with pytest.raises(SpecError) as raised:
        load(GOOD + "outputs:\n- L\n- K")
    assert str(raised.value) == "own.yaml:21 outputs.K: is an input, which no Einsum writes"


def test_settings_replace_ranks_and_parameters(load):
    cascade = load(GOOD, m="12", p="12", m0="5", W="4", scale="2", e="3")
    k, q = np.random.default_rng(0).normal(size=(2, 2, 3, 12))
    scores = np.einsum("bep,bem->bmp", q, k)
    m, p = np.arange(12)[:, None], np.arange(12)[None, :]
    seen = np.where((m <= p) & (p - m < 4), scores, -np.inf).max(1)
    np.testing.assert_allclose(execute(cascade, {"K": k, "Q": q})["Z"], np.clip(seen, 0, 6) * 2)


def test_einsums_may_be_a_list(load):
    cascade = load('ranks: {m: 4}\neinsums:\n  - "Y[m] = exp(X[m])"\n  - "Z = sum[m](Y[m])"\n')
    assert cascade.name == "own"
    assert [einsum.name for einsum in cascade.einsums] == ["Y", "Z"]


def changed(old, new):
    assert old in GOOD
    return GOOD.replace(old, new)


FAULTS = [
    (changed("Q[b,e,p] *", "Q[b,x,p] *"), {}, "own.yaml:14 einsums.QK: unknown rank 'x'; known: b, e, m, m1, m0, p, W, scale"),
    (changed("clip(R", "clap(R"), {}, "own.yaml:18 einsums.Z: unknown operator 'clap'; did you mean 'clip'?"),
    (changed("einsums:", "einsum:"), {}, "own.yaml:12 einsum: unknown key; did you mean 'einsums'?"),
    (changed("m: 1K", "m: 0"), {}, "own.yaml:2 ranks.m: must be >= 1 (got 0)"),
    (changed("m: 1K", "m: -5"), {}, "own.yaml:2 ranks.m: must be >= 1 (got -5)"),
    (changed("m: 1K", "m: 9999999999999"), {}, "own.yaml:2 ranks.m: must be <= 2**40 (got 9999999999999)"),
    (changed("m: 1K", "m: many"), {}, "own.yaml:2 ranks.m: must be a whole number such as 4096, 4K or 1M (got 'many')"),
    (changed("m0: 256", "mo: 256"), {}, "own.yaml:3 ranks.m0: rank 'm' is split by it, so it needs a size"),
    (changed("2:4 e", "2:4 z"), {}, "own.yaml:6 tensors.K.sparse: 'z' is not a dimension of K; known: b, e, m"),
    (changed("[b, e, p]", "[b, e]"), {}, "own.yaml:14 einsums.QK: tensor 'Q' has 2 dimensions elsewhere (got 3)"),
    (changed("  Q: {", "  QQ: {"), {}, "own.yaml:7 tensors.QQ: no Einsum uses it; did you mean 'Q'?"),
    (changed("m <= p", "m <= pp"), {}, "own.yaml:8 where: unknown rank 'pp'; did you mean 'p'?"),
    (changed("R: -inf", "RR: 0"), {}, "own.yaml:9 initial.RR: no iterative Einsum writes it; did you mean 'R'?"),
    (changed("R: -inf", "R: low"), {}, "own.yaml:9 initial.R: unknown name 'low'; known: b, e, m, p, m0"),
    (changed("min(max(x, 0), 6)", "min(max(x, 0, 6)"), {}, "own.yaml:11 ops: is not an expression (got 'min(max(x, 0, 6)')"),
    (changed("Z[b,p]", "QK[b,p]"), {}, "own.yaml:18 einsums.QK: tensor 'QK' is written twice; first in own.yaml:14"),
    (changed("K[b,e,m]\n", "K[b,e,m] * L[b,m1,p]\n"), {}, "own.yaml:14 einsums.QK: the cascade is cyclic: QK <- L <- QK"),
    (changed("L[b,m1,p] =", "L[b,m1,p]"), {}, "own.yaml:16 einsums: an Einsum is written Z[m] = ... (got 'L[b,m1,p] max[m0](QK[b,m1,m0,p])'); known: cascade, rank, tensor, initial, where, output, def"),
    (changed("[m1, m0]", "[m1]"), {}, "own.yaml:3 partitions.m: a partition is written m -> m1, m0 (got 'm1')"),
    (changed("W: 128, ", "m: 128, W: 128, "), {}, "own.yaml:2 ranks.m: is a parameter too; rename one of them"),
    (changed("bits: 8", "bits: 8000"), {}, "own.yaml:6 tensors.K.bits: must be 1 to 1024 (got 8000)"),
    (changed("bits: 8", "bits: wide"), {}, "own.yaml:6 tensors.K.bits: must be an integer (got 'wide')"),
    (GOOD, {"mm": "4"}, "--set mm: unknown setting; did you mean 'm'?"),
    (GOOD, {"m": "4X"}, "--set m: must be a whole number such as 4096, 4K or 1M (got '4X')"),
    (GOOD, {"scale": "big"}, "--set scale: must be a number (got 'big')"),
    ("ranks: {m: 4}\n", {}, "own.yaml:1: missing key 'einsums'"),
    ("", {}, "own.yaml: is empty"),
    ("- a\n", {}, "own.yaml:1: must be a mapping at its root (got ['a'])"),
    (b"\x00\xff\xfe", {}, "own.yaml: is not UTF-8 text (byte 1)"),
    ("einsums: []\n", {}, "own.yaml einsums: a cascade needs at least one Einsum"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "given", "message"), FAULTS)
def test_a_fault_is_told_in_one_line_with_its_place(load, text, given, message):
    with pytest.raises(SpecError) as error:
        load(text, **given)
    assert str(error.value) == message
