"""Scales and zero points beside matrices: the same values as with the matrix made wide, and their bytes."""

from __future__ import annotations

import numpy as np
import pytest

from einsim.workloads.execute import execute
from einsim.workloads.models.cascades import layer_cascade
from einsim.workloads.models.mixture import routed
from einsim.workloads.models.network import (
    LatentAttention,
    Layer,
    Mlp,
    Moe,
    Quantization,
    SoftmaxAttention,
)
from einsim.workloads.models.quantized import form_of, quantized
from einsim.workloads.models.roles import matrices
from einsim.workloads.models.step import Step

HIDDEN = 12
MLP = Mlp(inner=10, activation="silu", gated=True)
GROUPED = Layer(mixer=SoftmaxAttention(heads=4, kv_heads=2, head_dim=6, rotary=True), mlp=MLP, norm="rmsnorm")
LATENT = Layer(
    mixer=LatentAttention(heads=2, rank=6, query_rank=5, key_dim=4, rope_dim=2, value_dim=3), mlp=MLP,
    norm="rmsnorm",
)  # fmt: skip
STEPS = {
    "decode": Step(phase="decode", tokens=1, cached=3),
    "prompt": Step(phase="prefill", tokens=7, batch=2, passes="2", m0=3),
    "short": Step(phase="prefill", tokens=3, passes="1", m0=3),
}
FORM = Quantization(bits=4, group=4, zero_bits=4)


def cascades():
    for name, step in STEPS.items():
        yield pytest.param(layer_cascade(GROUPED, HIDDEN, step), id=f"grouped-{name}")
        yield pytest.param(layer_cascade(LATENT, HIDDEN, step), id=f"latent-{name}")
    yield pytest.param(routed(Moe(experts=3, per_token=2, expert=MLP), HIDDEN, STEPS["decode"]), id="experts")


def wide(name, values, narrow, cascade):
    """(W - ZP) * SC, a group's along the dimension that is shorter in the scales."""
    scale = values[f"SC{name}"]
    axis = next(at for at, of in enumerate(narrow.shape(name)) if scale.shape[at] != of)
    extent = cascade.shape(name)[axis]
    size = min(FORM.group, extent)
    spread = [np.repeat(values[f"{kind}{name}"], size, axis=axis) for kind in ("SC", "ZP")]
    scale, zero = (np.take(each, range(extent), axis=axis) for each in spread)
    return (values[name] - zero) * scale


@pytest.mark.parametrize("cascade", [*cascades()])
def test_values_are_those_of_the_wide_matrix(cascade):
    narrow, rng = quantized(cascade, FORM), np.random.default_rng(3)
    values = {tensor.name: rng.normal(size=narrow.shape(tensor.name)) for tensor in narrow.inputs}
    dense = {
        name: wide(name, values, narrow, cascade) if f"SC{name}" in values else value
        for name, value in values.items()
        if name[:2] not in {"SC", "ZP"}
    }
    assert {name for name in matrices(cascade) if f"SC{name}" in values}
    found, expected = execute(narrow, values), execute(cascade, dense)
    for tensor in cascade.outputs:
        np.testing.assert_allclose(found[tensor.name], expected[tensor.name], rtol=1e-7, atol=1e-9)


def test_few_tokens_scale_sums_of_groups_and_many_make_the_matrix_wide_once():
    few, many = (
        quantized(layer_cascade(GROUPED, HIDDEN, step), FORM) for step in (STEPS["decode"], STEPS["prompt"])
    )
    assert few.tensor("FF1GR").ranks[-1] == "dg"
    assert many.elements("DQW1") == many.elements("W1")
    assert "DQW1" not in {tensor.name for tensor in few.tensors}


def test_bytes_are_those_of_values_scales_and_zero_points():
    plain = layer_cascade(GROUPED, HIDDEN, STEPS["decode"])
    narrow = quantized(plain, FORM)
    kept = {tensor.name: tensor for tensor in narrow.inputs}
    assert (kept["W1"].bits, kept["SCW1"].bits, kept["ZPW1"].bits) == (4, 16, 4)
    assert narrow.elements("SCW1") == plain.elements("W1") // FORM.group
    stored = sum(narrow.elements(name) * kept[name].bits for name in ("W1", "SCW1", "ZPW1"))
    assert stored == plain.elements("W1") * (4 + (16 + 4) / 4)


def test_scales_of_whole_blocks_and_matrices_are_left_out():
    plain = layer_cascade(GROUPED, HIDDEN, STEPS["decode"])
    for group in (0, 128 * 128):
        narrow = quantized(plain, Quantization(bits=8, group=group))
        assert narrow.einsums == plain.einsums
        assert {narrow.tensor(name).bits for name in matrices(plain)} == {8}


def test_routers_and_tables_stay_as_they_are():
    layer = Layer(
        mixer=GROUPED.mixer, norm="rmsnorm",
        mlp=Moe(experts=5, per_token=2, expert=MLP, shared=MLP, shared_gate=True),
    )  # fmt: skip
    plain = layer_cascade(layer, HIDDEN, STEPS["decode"])

    def wide(form, tables=()):
        narrow = quantized(plain, form, tables)
        kept = {name for name in matrices(plain) if narrow.tensor(name).bits == 16}
        assert not {f"SC{name}" for name in kept} & {tensor.name for tensor in narrow.inputs}
        return kept

    for group in (0, 4):
        assert wide(Quantization(bits=8, group=group)) == {"WR", "WSG"}
        assert wide(Quantization(bits=8, group=group, routers=True)) == set()
        assert wide(Quantization(bits=8, group=group, routers=True), ["W2"]) == {"W2"}


def test_what_is_given_goes_before_what_is_stored():
    stored = Quantization(bits=4, group=32, experts_only=True)
    assert form_of(FORM, stored, layer=False, chosen=False) == FORM
    assert form_of(None, stored, layer=True, chosen=True) == stored
    assert form_of(None, stored, layer=True, chosen=False) is None
    assert form_of(None, FORM, layer=False, chosen=False) is None
