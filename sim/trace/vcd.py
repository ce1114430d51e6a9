"""Writes signals as a value change dump (VCD, IEEE 1364-2005 section 18), which every wave viewer opens.

Text values use the `string` variables that GTKWave and Surfer read. One cycle is written as 1 ns in steps of
1 ps, so that changes between two cycles keep three decimals.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Final

import msgspec

from einsim.specs.files import replacing

PS_PER_CYCLE: Final = 1000


class Signal(msgspec.Struct, frozen=True, kw_only=True):
    """A variable. `scope` and `name` are identifiers, `bits` 0 means text, `changes` (ps, value) by time."""

    scope: tuple[str, ...]
    name: str
    bits: int
    changes: tuple[tuple[int, int | str], ...]


def write_vcd(signals: Iterable[Signal], path: Path, *, end: int, comment: str = "") -> None:
    """Write the dump up to `end` in ps; negative numbers are written in two's complement of `bits`."""
    found = sorted(signals, key=lambda signal: (signal.scope, signal.name))
    at: dict[int, list[str]] = {}
    lines = [f"$comment {comment} (1 ns is one cycle) $end", "$timescale 1 ps $end"]
    inside: tuple[str, ...] = ()
    for number, signal in enumerate(found):
        shared = 0
        while shared < min(len(inside), len(signal.scope)) and inside[shared] == signal.scope[shared]:
            shared += 1
        lines += ["$upscope $end"] * (len(inside) - shared)
        lines += [f"$scope module {name} $end" for name in signal.scope[shared:]]
        inside = signal.scope
        code = _code(number)
        kind = f"wire {signal.bits}" if signal.bits else "string 1"
        lines.append(f"$var {kind} {code} {signal.name} $end")
        before: int | str | None = None
        for time, value in signal.changes:
            if value != before:
                at.setdefault(time, []).append(_change(signal.bits, value, code))
            before = value
    lines += ["$upscope $end"] * len(inside)
    lines.append("$enddefinitions $end")
    for time in sorted(at):
        lines += [f"#{time}", *at[time]]
    lines.append(f"#{end}")
    with replacing(path) as part:
        part.write_text("\n".join(lines) + "\n", encoding="ascii", errors="replace")


def _change(bits: int, value: int | str, code: str) -> str:
    if isinstance(value, str):
        return f"s{value.replace(' ', '_')} {code}"
    if bits == 1:
        return f"{value & 1}{code}"
    return f"b{value & ((1 << bits) - 1):b} {code}"


def _code(number: int) -> str:
    """A short identifier of printable characters, `!` to `~`."""
    code = ""
    while True:
        number, digit = divmod(number, 94)
        code += chr(33 + digit)
        if not number:
            return code
