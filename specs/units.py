"""Quantities with units: sizes, rates, clocks, times, energies, powers, from text or plain numbers."""

from __future__ import annotations

import math
import re
from fractions import Fraction
from typing import ClassVar, Final, Self

from einsim.specs.errors import RuleError
from einsim.specs.near import near

_NUMBER: Final = re.compile(r"([+-]?[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]{1,3})?)\s*([A-Za-z/]*)")
_LONGEST = 60
"""Characters of the longest text read as a quantity; keeps exact arithmetic small."""

_DECIMAL: Final[dict[str, int]] = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12, "P": 10**15}
_BINARY: Final[dict[str, int]] = {"Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40, "Pi": 2**50}


_HERTZ: Final = {prefix + "Hz": Fraction(factor) for prefix, factor in {**_DECIMAL, "k": 1000}.items()}
_SECONDS: Final = {
    "s": Fraction(1),
    "ms": Fraction(1, 10**3),
    "us": Fraction(1, 10**6),
    "ns": Fraction(1, 10**9),
}
_PICOJOULES: Final = {
    "pJ": Fraction(1),
    "fJ": Fraction(1, 1000),
    "nJ": Fraction(10**3),
    "uJ": Fraction(10**6),
}
_WATTS: Final = {"W": Fraction(1), "mW": Fraction(1, 1000), "uW": Fraction(1, 10**6), "kW": Fraction(1000)}


def _scaled(unit: str) -> dict[str, Fraction]:
    """Every decimal (SI) and binary (IEC 80000-13) multiple of a unit; `k` is as good as `K`."""
    table = {prefix + unit: Fraction(factor) for prefix, factor in (_DECIMAL | _BINARY).items()}
    return table | {"k" + unit: Fraction(1000)}


class Quantity:
    """A number that knows its unit: `parse` reads text such as `16MiB`, checks range, gives the type."""

    NOUN: ClassVar[str]
    EXAMPLE: ClassVar[str]
    SUFFIXES: ClassVar[dict[str, Fraction]]
    LOW: ClassVar[float]
    HIGH: ClassVar[float]
    WHOLE: ClassVar[bool] = False

    @classmethod
    def parse(cls, value: object) -> Self:
        """The quantity meant by a number in the base unit or by text with a unit; else RuleError."""
        exact = cls._exact(value)
        if cls.WHOLE and exact.denominator != 1:
            raise RuleError(f"must be a whole number of {cls.NOUN}", got=value)
        if exact < Fraction(cls.LOW):
            raise RuleError(f"must be >= {_plain(cls.LOW)} {cls.NOUN}", got=value)
        if exact > Fraction(cls.HIGH):
            raise RuleError(f"must be <= {_plain(cls.HIGH)} {cls.NOUN}", got=value)
        return cls(int(exact) if cls.WHOLE else float(exact))  # type: ignore[call-arg]

    @classmethod
    def _exact(cls, value: object) -> Fraction:
        rule = f"must be a number of {cls.NOUN} or text such as '{cls.EXAMPLE}'"
        if isinstance(value, bool):
            raise RuleError(rule, got=value)
        if isinstance(value, int | float):
            if not math.isfinite(value):
                raise RuleError("must be a finite number", got=value)
            return Fraction(value)
        if not isinstance(value, str):
            raise RuleError(rule, got=value)
        found = _NUMBER.fullmatch(value.strip()) if len(value) <= _LONGEST else None
        if found is None:
            raise RuleError(rule, got=value)
        number, suffix = found.groups()
        if suffix and suffix not in cls.SUFFIXES:
            hint = near(suffix, cls.SUFFIXES)
            raise RuleError(f"unit '{suffix}' is not one of {cls.NOUN}", got=value, hint=hint)
        return Fraction(number) * (cls.SUFFIXES[suffix] if suffix else 1)


def _plain(number: float) -> str:
    return str(int(number)) if float(number).is_integer() and abs(number) < 1e18 else repr(number)


class Bytes(Quantity, int):
    """A size: 1 to `2**50` bytes; `16MiB` is `16 * 2**20`, `16MB` is `16 * 10**6`."""

    NOUN, EXAMPLE = "bytes", "16MiB"
    SUFFIXES = _scaled("B")
    LOW, HIGH, WHOLE = 1, 2**50, True


class BytesPerSecond(Quantity, int):
    """A rate: 1 to `2**60` bytes/s; `400GiB/s` is `400 * 2**30`."""

    NOUN, EXAMPLE = "bytes/s", "400GB/s"
    SUFFIXES = _scaled("B/s")
    LOW, HIGH, WHOLE = 1, 2**60, True


class Hertz(Quantity, float):
    """A clock: 1 Hz to 100 GHz."""

    NOUN, EXAMPLE = "Hz", "940MHz"
    SUFFIXES = _HERTZ
    LOW, HIGH = 1, 10**11


class Seconds(Quantity, float):
    """A time: 0 to 1e9 s."""

    NOUN, EXAMPLE = "s", "10us"
    SUFFIXES = _SECONDS
    LOW, HIGH = 0, 10**9


class Picojoules(Quantity, float):
    """An energy of one action: 0 to 1e12 pJ; a plain number is pJ."""

    NOUN, EXAMPLE = "pJ", "1.5pJ"
    SUFFIXES = _PICOJOULES
    LOW, HIGH = 0, 10**12


class Watts(Quantity, float):
    """A power: 0 to 1e6 W."""

    NOUN, EXAMPLE = "W", "45W"
    SUFFIXES = _WATTS
    LOW, HIGH = 0, 10**6


def decode_quantity(kind: type, value: object) -> object:
    """The `dec_hook` of msgspec: reads every quantity type of this file, refuses any other type."""
    if issubclass(kind, Quantity):
        return kind.parse(value)
    raise RuleError(f"cannot be read as {kind.__name__}", got=value)


def format_bytes(size: int) -> str:
    """The size in the largest binary unit that divides it: `16MiB`, `1536B`; `Bytes.parse` reads it back."""
    for prefix, factor in sorted(_BINARY.items(), key=lambda item: -item[1]):
        if size and size % factor == 0:
            return f"{size // factor}{prefix}B"
    return f"{size}B"


def format_hertz(clock_hz: float) -> str:
    """The clock in MHz or GHz, shortest text that reads back as the same number."""
    for prefix, factor in (("G", 1e9), ("M", 1e6), ("K", 1e3)):
        if clock_hz >= factor:
            text = f"{clock_hz / factor:.12g}"
            return f"{text}{prefix}Hz"
    return f"{clock_hz:.12g}Hz"
