"""Quantities: text and number agree, ranges hold, formats read back."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from einsim.specs.errors import RuleError
from einsim.specs.units import (
    Bytes,
    BytesPerSecond,
    Hertz,
    Picojoules,
    Seconds,
    Watts,
    decode_quantity,
    format_bytes,
    format_hertz,
)

KINDS = [Bytes, BytesPerSecond, Hertz, Seconds, Picojoules, Watts]


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        (Bytes, "16MiB", 16 * 2**20),
        (Bytes, "16MB", 16 * 10**6),
        (Bytes, "16 kB", 16_000),
        (Bytes, "1.5KiB", 1536),
        (Bytes, " 7 ", 7),
        (BytesPerSecond, "400GiB/s", 400 * 2**30),
        (BytesPerSecond, "819.2GB/s", 819_200_000_000),
        (Hertz, "940MHz", 940e6),
        (Hertz, "1.05GHz", 1.05e9),
        (Seconds, "10us", 1e-5),
        (Picojoules, "1.5nJ", 1500.0),
        (Picojoules, "17.1645pJ", 17.1645),
        (Watts, "38W", 38.0),
        (Watts, "5mW", 0.005),
    ],
)
def test_text_is_exact(kind, text, value):
    assert kind.parse(text) == value
    assert type(kind.parse(text)) is kind


@given(st.integers(1, 2**50))
def test_a_plain_number_and_its_text_agree(number):
    assert Bytes.parse(number) == Bytes.parse(str(number)) == Bytes.parse(f"{number}B") == number


@given(st.integers(1, 2**40))
def test_binary_is_1024_and_decimal_1000(number):
    assert Bytes.parse(f"{number}KiB") == 1024 * number
    assert Bytes.parse(f"{number}KB") == 1000 * number


@given(st.integers(1, 2**50))
def test_format_bytes_reads_back(size):
    assert Bytes.parse(format_bytes(size)) == size


@given(st.integers(1, 10**11))
def test_format_hertz_reads_back(clock):
    assert math.isclose(Hertz.parse(format_hertz(clock)), clock, rel_tol=1e-11)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "value", [True, None, [], {}, "", "fast", "1e", "1e9999B", "--1", "0x10", "1" * 100, math.inf, math.nan]
)
def test_everything_else_is_refused(kind, value):
    with pytest.raises(RuleError):
        kind.parse(value)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("value", [-1, "-1", -1e-3, 1e30, "1" + "0" * 30])
def test_negative_and_absurd_figures_are_refused(kind, value):
    with pytest.raises(RuleError, match="must be"):
        kind.parse(value)


@pytest.mark.parametrize("kind", [Bytes, BytesPerSecond, Hertz])
def test_zero_is_refused_where_nothing_works_with_it(kind):
    with pytest.raises(RuleError, match=r"must be >= 1 .* \(got 0\)"):
        kind.parse(0)


def test_whole_messages():
    with pytest.raises(RuleError) as caught:
        Bytes.parse("16Mib")
    assert str(caught.value) == "unit 'Mib' is not one of bytes (got '16Mib'); did you mean 'MiB'?"
    with pytest.raises(RuleError) as caught:
        Bytes.parse("1.3B")
    assert str(caught.value) == "must be a whole number of bytes (got '1.3B')"
    with pytest.raises(RuleError) as caught:
        Hertz.parse("fast")
    assert str(caught.value) == "must be a number of Hz or text such as '940MHz' (got 'fast')"
    with pytest.raises(RuleError) as caught:
        BytesPerSecond.parse("16MiB")
    assert "unit 'MiB' is not one of bytes/s" in str(caught.value)


def test_decode_hook_refuses_other_types():
    assert decode_quantity(Bytes, "1KiB") == 1024
    with pytest.raises(RuleError):
        decode_quantity(complex, 3)
