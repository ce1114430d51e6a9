"""Rules that stand once: Python calls them as they are, on whole numbers, and kernels have them compiled in.

A kernel counts in floats, which are exact below 2^53; `up` and `down` divide for both. A rule takes numbers
or arrays of them and calls nothing but rules, `min`, `max` and, where it has to, kernels.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

Rule = TypeVar("Rule", bound=Callable[..., Any])
Number = TypeVar("Number", int, float)

RULES: list[Callable[..., Any]] = []
"""Rules that `einsim.specs.compiled` has yet to tell numba of."""


def rule(function: Rule) -> Rule:
    """Let kernels call a function of this process; it stays as it is."""
    RULES.append(function)
    return function


def up(amount: Number, part: Number) -> Number:
    """Parts that hold an amount."""
    return -(-amount // part)


def down(amount: Number, part: Number) -> Number:
    """Whole parts in an amount."""
    return amount // part
