"""Cascades in integer formats give what numpy gives that is written out, and keep the laws of precision."""

from __future__ import annotations

import numpy as np
import pytest

from einsim.specs.errors import SpecError
from einsim.workloads import library
from einsim.workloads.formats import AFFINE, CHANNEL, GROUP, Format
from einsim.workloads.load import load_workload
from einsim.workloads.low_precision import (
    Quantised,
    blocks_of,
    compare,
    formats_of,
    grids_of,
    named_format,
    plain_roles,
)
from einsim.workloads.models import roles
from einsim.workloads.notation import parse
from einsim.workloads.sample import seeded

RNG = np.random.default_rng(11)
LINEAR = "rank n = 5, i = 12, o = 7\nY[n,o] = X[n,i] * W[i,o]"


def run(cascade, values, **by_role):
    return compare(cascade, values, formats_of(cascade, by_role, plain_roles(cascade)))


def symmetric(values, bits, axis=None):
    """Codes and scale, written out."""
    scale = np.abs(values).max(axis=axis, keepdims=True) / (2 ** (bits - 1) - 1)
    return np.rint(values / scale).astype(np.int64), scale


def stored(values, reference, bits):
    most = 2 ** (bits - 1) - 1
    scale = np.abs(reference).max() / most
    return np.clip(np.rint(values / scale), -most, most) * scale


def test_a_linear_layer_is_that_of_numpy():
    cascade = parse(LINEAR)
    x, w = RNG.normal(size=(5, 12)), RNG.normal(size=(12, 7))
    found = run(cascade, {"X": x, "W": w}, weights=Format(bits=8, per=CHANNEL), activations=Format(bits=6))
    (xq, xs), (wq, ws) = symmetric(x, 6), symmetric(w, 8, axis=0)
    expected = stored((xq @ wq) * (xs * ws), x @ w, 6)
    np.testing.assert_allclose(found.found["Y"], expected, rtol=1e-13)
    error = expected - x @ w
    assert found.differences[0].rms == pytest.approx(np.sqrt(np.mean(error**2)))
    assert found.differences[0].sqnr_db == pytest.approx(
        10 * np.log10(np.mean((x @ w) ** 2) / np.mean(error**2))
    )


def test_groups_along_the_summed_rank_are_summed_one_by_one():
    cascade = parse(LINEAR)
    x, w = RNG.normal(size=(5, 12)), RNG.normal(size=(12, 7))
    form = Format(bits=4, per=GROUP, group=5)
    found = run(cascade, {"X": x, "W": w}, weights=form, activations=Format(bits=16))
    xq, xs = symmetric(x, 16)
    total = np.zeros((5, 7))
    for part in (slice(0, 5), slice(5, 10), slice(10, 12)):
        wq, ws = symmetric(w[part], 4, axis=0)
        total += (xq[:, part] @ wq) * xs * ws
    np.testing.assert_allclose(found.found["Y"], stored(total, x @ w, 16), rtol=1e-13)


def test_affine_operands_have_their_zero_points_taken_off():
    cascade = parse(LINEAR)
    x, w = RNG.uniform(2, 3, size=(5, 12)), RNG.uniform(-1, 4, size=(12, 7))
    form = Format(bits=8, scheme=AFFINE)
    found = run(cascade, {"X": x, "W": w}, weights=form, activations=form)

    def codes(values):
        low, high = min(values.min(), 0), max(values.max(), 0)
        scale = (high - low) / 255
        zero = -np.rint(low / scale)
        return np.clip(np.rint(values / scale) + zero, 0, 255).astype(np.int64), zero, scale

    (xq, xz, xs), (wq, wz, ws) = codes(x), codes(w)
    sums = xq @ wq - xz * wq.sum(axis=0) - wz * xq.sum(axis=1)[:, None] + 12 * xz * wz
    scale = (x @ w).max() / 255
    expected = np.clip(np.rint(sums * xs * ws / scale), 0, 255) * scale
    np.testing.assert_allclose(found.found["Y"], expected, rtol=1e-13)


def test_attention_is_that_of_numpy():
    cascade = library.build("attention-3pass", b="1", h="2", e="8", f="8", m="6", p="5")
    values = seeded(cascade, plain_roles(cascade), seed=4)
    act = Format(bits=8)
    found = run(cascade, values, kv=Format(bits=8, per=CHANNEL), activations=act)
    q, k, v = (values[name] for name in "QKV")
    (qq, qs), (kq, ks), (vq, vs) = symmetric(q, 8), symmetric(k, 8, axis=2), symmetric(v, 8, axis=3)

    def both(exact, low):
        return exact, stored(low, exact, 8)

    sums = np.einsum("bhep,bhem->bhmp", qq, kq)
    qk, qkl = both(np.einsum("bhep,bhem->bhmp", q, k), sums * qs * ks[:, :, 0, :, None])
    gm, gml = both(qk.max(axis=2), qkl.max(axis=2))
    sn, snl = both(np.exp(qk - gm[:, :, None]), np.exp(qkl - gml[:, :, None]))
    sd, sdl = both(sn.sum(axis=2), snl.sum(axis=2))
    a, al = both(sn / sd[:, :, None], snl / sdl[:, :, None])
    aq, scale = symmetric(a, 8)
    aq = np.rint(al / scale).astype(np.int64)
    sums = np.einsum("bhmp,bhfm->bhfp", aq, vq)
    av, avl = both(np.einsum("bhmp,bhfm->bhfp", a, v), sums * scale * vs)
    for name, exact, low in (("QK", qk, qkl), ("A", a, al), ("AV", av, avl)):
        np.testing.assert_allclose(found.exact[name], exact, rtol=1e-12)
        np.testing.assert_allclose(found.found[name], low, rtol=1e-9, atol=1e-12, err_msg=name)


def test_sums_beyond_float64s_whole_numbers_are_summed_in_int64():
    """Three factors of 16 bits: products near 2^45, sums past 2^53, each to the last digit."""
    cascade = parse("rank i = 6000, o = 8\nY[o] = A[i,o] * B[i,o] * C[i,o]")
    most = 2**15 - 1
    codes = {name: RNG.integers(most - 9, most + 1, size=(6000, 8)) for name in "ABC"}
    for each in codes.values():
        each[0] = most
    values = {name: each.astype(float) for name, each in codes.items()}
    grids = grids_of(cascade, values, dict.fromkeys("ABC", Format(bits=16)))
    einsum = cascade.einsums[0]
    found = Quantised(grids).summed(cascade, einsum, einsum.reads, values, {"o": (0, 8), "i": (0, 6000)})
    exact = [
        sum(int(a) * int(b) * int(c) for a, b, c in zip(*(codes[n][:, o] for n in "ABC"), strict=True))
        for o in range(8)
    ]
    assert min(exact) > 2**53
    assert [int(value) for value in found] == [int(float(value)) for value in exact]


@pytest.mark.parametrize("seed", [1, 2])
def test_float64_is_exact_and_more_bits_are_no_worse(seed):
    """Recurrences and bounds too."""
    text = """
        rank t = 6, b = 2, i = 8, j = 8
        initial H = 0
        where j <= i
        U[t,b,i] = X[t,b,j] * W[j,i]
        H[t+1,b,i] = H[t,b,i] * 0.5 + U[t,b,i]
        Y[t,b,i] = H[t+1,b,i] * G[i]
    """
    cascade = parse(text)
    values = seeded(cascade, plain_roles(cascade), seed=seed)
    assert all(
        each.exact and each.sqnr_db is None and each.rms == 0 for each in run(cascade, values).differences
    )
    before = -np.inf
    for bits in range(3, 17):
        form = Format(bits=bits)
        found = run(cascade, values, weights=Format(bits=bits, per=CHANNEL), activations=form).differences[-1]
        assert found.sqnr_db is not None
        assert found.sqnr_db > before - 1  # a draw of the noise
        assert found.sqnr_db > 6.02 * bits - 20
        before = found.sqnr_db


def test_a_model_layer_is_computed_by_roles():
    cascade = load_workload("llama3.2-1b", {"part": "layer", "seq": "4"})
    role = roles.roles_of(cascade)
    assert role["WQ"] == "weights"
    assert {role[name] for name in ("G1", "G2")} == {"others"}
    assert {role[name] for name in ("K", "V")} == {"kv"}
    assert {role[name] for name in ("X", "COS", "A", "Y")} == {"activations"}
    forms = formats_of(cascade, {"weights": Format(bits=8, per=CHANNEL)}, role)
    assert set(forms) == set(roles.matrices(cascade))


def test_a_channel_is_what_no_sum_runs_over_and_a_group_lies_along_the_longest_that_does():
    cascade = parse("""
        rank b = 2, c = 6, y = 5, r = 3, k = 4
        Z[b,k,y] = I[b,c,y+r] * W[k,c,r]
        M[b,k] = max[y](Z[b,k,y])
    """)
    channel, group = Format(bits=8, per=CHANNEL), Format(bits=8, per=GROUP, group=4)
    assert blocks_of(cascade, "W", channel) == (1, 6, 3)
    assert blocks_of(cascade, "I", channel) == (1, 6, 7)  # y + r is summed over in part
    assert blocks_of(cascade, "W", group) == (1, 4, 1)
    assert blocks_of(cascade, "Z", channel) == (2, 4, 5)
    values = seeded(cascade, plain_roles(cascade))
    for form in (channel, group):
        low = run(cascade, values, weights=form, activations=Format(bits=16)).differences[0].sqnr_db
        assert low is not None
        assert low > 38


def test_a_format_is_named_by_what_shares_a_scale():
    """Z = X W, then Y = exp(Z): no sum of products reads Z or Y, so one scale is theirs whatever is asked."""
    cascade = parse("Z[i,j] = X[i,k] * W[k,j]\nY[i,j] = exp(Z[i,j])\n", sizes={"i": 3, "j": 4, "k": 8})
    asked = Format(bits=8, per=CHANNEL)
    assert [named_format(cascade, name, asked) for name in ("X", "W", "Z", "Y")] == [
        "int8 per channel", "int8 per channel", "int8 per tensor", "int8 per tensor",
    ]  # fmt: skip
    grouped = Format(bits=4, per=GROUP, group=4)
    assert [named_format(cascade, name, grouped) for name in ("W", "Z")] == [
        "int4 per 4 values", "int4 per tensor",
    ]  # fmt: skip
    assert named_format(cascade, "W", Format(bits=4, per=GROUP, group=8)) == "int4 per channel"
    inputs = seeded(cascade, plain_roles(cascade), seed=1)
    found = compare(cascade, inputs, dict.fromkeys(("X", "W", "Z", "Y"), asked))
    assert [each.format for each in found.differences] == ["int8 per tensor"] * 2


def test_operands_only_leaves_what_no_contraction_reads():
    cascade = library.build("attention-3pass", b="1", h="1", e="4", f="4", m="4", p="4")
    form = {"activations": Format(bits=8), "kv": Format(bits=8)}
    every = formats_of(cascade, form, plain_roles(cascade))
    assert set(every) == {tensor.name for tensor in cascade.tensors}
    assert set(formats_of(cascade, form, plain_roles(cascade), operands_only=True)) == {
        "Q",
        "K",
        "V",
        "A",
        "AV",
    }


def test_a_maximum_over_nothing_stays_infinite_and_is_no_difference():
    """The running maximum of 1-pass attention begins at minus infinity; warnings are errors here."""
    cascade = library.build("attention-1pass", b="1", h="1", e="8", f="8", m="16", p="4", m0="4")
    values = seeded(cascade, plain_roles(cascade))
    found = run(cascade, values, kv=Format(bits=12), activations=Format(bits=12))
    assert np.isneginf(found.exact["RM"]).any()
    np.testing.assert_array_equal(np.isneginf(found.found["RM"]), np.isneginf(found.exact["RM"]))
    assert all(each.sqnr_db is not None and each.sqnr_db > 40 for each in found.differences)


def test_values_that_overflow_are_a_fault_of_the_data():
    cascade = parse("rank i = 2\nY[i] = exp(X[i]) - exp(X[i])")
    with pytest.raises(SpecError, match=r"^Y: must be finite \(got nan\); --data gives other values$"):
        run(cascade, {"X": np.full(2, 1e4)})
