"""Python's collector of reference cycles, called seldom while einsim works.

What is remembered from one evaluation to the next is many small objects, and the collector looks at all of
them again and again: a tenth to a fifth of a sweep's CPU time, in which it frees next to nothing, since
hardly anything here refers back to itself. Its thresholds are the process's, so they are raised inside
calls only.
"""

from __future__ import annotations

import functools
import gc
import threading
from collections.abc import Callable
from typing import Final, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

YOUNG: Final = 100_000
"""Objects that have come to be, and are there, before the collector looks at the young ones: some 10 MB."""

_LOCK: Final = threading.Lock()
_inside: list[tuple[int, int, int]] = []  # for each call that goes on the thresholds that it found


def collected_seldom(function: Callable[P, T]) -> Callable[P, T]:
    """A function in which garbage of cycles is collected seldom; afterwards it is as often as before it. A
    collector that is off, or is called less often, stays so, and so does what somebody sets meanwhile.
    """

    @functools.wraps(function)
    def call(*arguments: P.args, **named: P.kwargs) -> T:
        _enter()
        try:
            return function(*arguments, **named)
        finally:
            _leave()

    return call


def _enter() -> None:
    with _LOCK:
        _inside.append(gc.get_threshold())
        young, *others = _inside[0]
        if len(_inside) == 1 and 0 < young < YOUNG:
            gc.set_threshold(YOUNG, *others)


def _leave() -> None:
    """Calls of several threads may end in any order: the last one restores what the first one found."""
    with _LOCK:
        first = _inside[0]
        _inside.pop()
        if not _inside and gc.get_threshold() == (YOUNG, *first[1:]):
            gc.set_threshold(*first)
