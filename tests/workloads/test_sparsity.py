"""Sparsity formulas equal counting what an encoder of the format keeps."""

from __future__ import annotations

import math
from fractions import Fraction

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from einsim.workloads.cascade import Tensor
from einsim.workloads.sparsity import (
    DENSE,
    NM,
    Block,
    Density,
    TopK,
    dense_bytes,
    stored_bytes,
)

EXTENT = st.integers(0, 200)
BITS = st.sampled_from([1, 4, 8, 16, 32])


@st.composite
def patterns(draw: st.DrawFn):
    m = draw(st.integers(1, 32))
    share = draw(st.integers(0, 20)) / 20
    return draw(
        st.sampled_from(
            [
                DENSE, NM(draw(st.integers(1, m)), m, "k"), TopK(draw(st.integers(1, m)), m, "k"),
                Block(m, share, "k"), Density(share),
            ]
        )
    )  # fmt: skip


@given(st.integers(1, 32), st.data(), EXTENT, BITS)
def test_n_of_m_keeps_n_of_every_group_and_a_place_for_each(m, data, extent, bits):
    n = data.draw(st.integers(1, m))
    sparsity = NM(n, m, "k")
    groups = [min(m, extent - start) for start in range(0, extent, m)]
    kept = sum(min(n, group) for group in groups)
    place_bits = math.ceil(math.log2(m))
    assert sparsity.kept(extent) == kept == extent // m * n + min(extent % m, n)
    assert stored_bytes(Tensor("W", ("k",), bits, sparsity), extent) == math.ceil(
        kept * (bits + place_bits) / 8
    )


def test_two_of_four_takes_two_bits_a_kept_value():
    tensor = Tensor("W", ("k",), 16, NM(2, 4, "k"))
    assert tensor.sparsity.metadata_bits(1024) == 512 * 2
    assert stored_bytes(tensor, 1024) == 512 * 2 + 512 * 2 // 8


@given(st.integers(1, 16), st.integers(0, 20), EXTENT)
def test_blocks_are_kept_whole_with_one_bit_each(size, twentieths, extent):
    sparsity = Block(size, twentieths / 20, "k")
    blocks = math.ceil(Fraction(extent, size))
    kept = math.ceil(Fraction(blocks * twentieths, 20))
    assert sparsity.kept(extent) == min(extent, kept * size)
    assert sparsity.metadata_bits(extent) == blocks


@given(st.integers(0, 1000), EXTENT)
def test_an_unstructured_share_keeps_its_ceiling_and_a_bitmap(thousandths, extent):
    sparsity = Density(thousandths / 1000)
    assert sparsity.kept(extent) == math.ceil(Fraction(extent * thousandths, 1000))
    assert sparsity.metadata_bits(extent) == extent


@given(patterns(), EXTENT, BITS)
def test_no_pattern_keeps_more_than_there_is_and_more_elements_never_take_fewer_bytes(sparsity, extent, bits):
    tensor = Tensor("W", ("k",), bits, sparsity)
    assert 0 <= sparsity.kept(extent) <= extent
    assert stored_bytes(tensor, extent) <= stored_bytes(tensor, extent + 1)
    assert (
        stored_bytes(Tensor("W", ("k",), bits), extent)
        == dense_bytes(tensor, extent)
        == -(-extent * bits // 8)
    )


@given(patterns())
def test_a_pattern_survives_being_written_and_read(sparsity):
    kinds = type(DENSE) | NM | TopK | Block | Density
    assert msgspec.json.decode(msgspec.json.encode(sparsity), type=kinds) == sparsity
