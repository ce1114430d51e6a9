"""A piece of a cascade: statements and the sizes of the ranks that they bring, which pieces add up to."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import msgspec

Stage = Callable[[str, str], str]
"""Statements from a tensor to another, both by name."""


class Fragment(msgspec.Struct, frozen=True):
    """Statements, and sizes of ranks."""

    text: str
    sizes: Mapping[str, int] = {}

    def __add__(self, other: Fragment) -> Fragment:
        return Fragment(self.text + other.text, {**self.sizes, **other.sizes})


def chain(result: str, *stages: Stage) -> str:
    """The stages one after the other, the first from nothing, the last one to `result`."""
    text, source = "", ""
    for at, stage in enumerate(stages, 1):
        target = result if at == len(stages) else f"{result}{'ABCD'[at - 1]}"
        text += stage(source, target)
        source = target
    return text


def product(left: str, weight: str, full: str) -> Stage:
    """`[full] = left * weight`."""
    return lambda _, result: f"{result}[{full}] = {left} * {weight}\n"


def bias(tensor: str, full: str) -> Stage:
    """A bias, subscript and all, added."""
    return lambda source, result: f"{result}[{full}] = {source}[{full}] + {tensor}\n"
