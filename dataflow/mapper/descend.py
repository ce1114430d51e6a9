"""The best choice that a judge can be shown: all of them where they are few, else from one to a better one.

Neither chance nor a clock takes part: what is judged, and how much of it, is the same on every machine.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Generic, TypeVar

import msgspec

C = TypeVar("C")

#: Smaller is better, first figures first; None: refused.
Judge = Callable[[C], tuple[float, ...] | None]
#: What one step may lead to.
Move = Callable[[C], Iterable[C]]
#: Values by name.
Choice = tuple[tuple[str, Hashable], ...]
Menus = Mapping[str, Sequence[Hashable]]


class Ranking(msgspec.Struct, Generic[C], frozen=True, kw_only=True):
    """What was judged and not refused, the best first, of equals what was judged first; `complete`: of every
    choice that there is.
    """

    found: tuple[tuple[tuple[float, ...], C], ...]
    judged: int
    complete: bool = False


class _Seen(Generic[C]):
    """Choices with what a judge said of them, at most so many; those that are the `same` are one."""

    def __init__(self, judge: Judge[C], most: int, same: Callable[[C], Hashable]) -> None:
        self.judge, self.most, self.same = judge, most, same
        self.keys: dict[Hashable, tuple[tuple[float, ...] | None, C]] = {}

    def key(self, choice: C) -> tuple[float, ...]:
        """What a choice is compared by; infinite where it is refused, or one too many."""
        name = self.same(choice)
        if name not in self.keys and len(self.keys) < self.most:
            self.keys[name] = self.judge(choice), choice
        key, _ = self.keys.get(name, (None, choice))
        return key or (math.inf,)

    def ranking(self) -> Ranking[C]:
        """All of them that were not refused."""
        found = [(key, choice) for key, choice in self.keys.values() if key is not None]
        found.sort(key=lambda pair: pair[0])
        return Ranking(found=tuple(found), judged=len(self.keys))


def descend(
    starts: Iterable[C],
    moves: Sequence[Move[C]],
    judge: Judge[C],
    most: int,
    same: Callable[[C], Hashable] = lambda choice: choice,
) -> Ranking[C]:
    """From the best start to the best of the first of the `moves` that leads to a better choice, and so on
    until none does; at most `most` choices are judged, of those that are the `same` one.
    """
    seen = _Seen(judge, most, same)
    here = min(starts, key=seen.key)
    at = 0
    while at < len(moves) and len(seen.keys) < most:
        there = min(moves[at](here), key=seen.key, default=here)
        better = seen.key(there) < seen.key(here)
        here, at = (there, 0) if better else (here, at + 1)
    return seen.ranking()


def choose(
    menus: Menus,
    judge: Judge[Choice],
    most: int,
    same: Callable[[Choice], Hashable] = lambda choice: choice,
) -> Ranking[Choice]:
    """The best values by name, each from its menu; the first choice says nothing, so that all is the judge's
    default. Every combination where `most` is enough, else from there by one name at a time, and by two where
    one leads no further.
    """
    if math.prod(map(len, menus.values())) < most:
        every = descend([(), *_with((), menus, tuple(menus))], (), judge, most, same)
        return msgspec.structs.replace(every, complete=True)
    names = [some for count in (1, 2) for some in itertools.combinations(menus, count)]
    return descend([()], [partial(_with, menus=menus, names=some) for some in names], judge, most, same)


def _with(choice: Choice, menus: Menus, names: tuple[str, ...]) -> Iterator[Choice]:
    """A choice with every combination of values of some names."""
    for values in itertools.product(*(menus[name] for name in names)):
        said = {**dict(choice), **dict(zip(names, values, strict=True))}
        yield tuple((name, said[name]) for name in menus if name in said)
