"""What was computed once and may be needed again: so much of it, the oldest goes first."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

T = TypeVar("T")


class Remembered(Generic[T]):
    """Values by key that weigh no more than `most` together; a value is `weighed` when it is kept."""

    def __init__(self, most: int, weighed: Callable[[T], int] = lambda _: 1) -> None:
        self.most, self.weighed = most, weighed
        self._known: dict[Hashable, T] = {}
        self._weights: dict[Hashable, int] = {}
        self._weight = 0

    def get(self, key: Hashable, make: Callable[[], T]) -> T:
        """The value of a key, made if it is not known."""
        if key in self._known:
            return self._known[key]
        made = make()
        self._known[key], self._weights[key] = made, self.weighed(made)
        self._weight += self._weights[key]
        while self._weight > self.most and len(self._known) > 1:
            oldest = next(iter(self._known))
            del self._known[oldest]
            self._weight -= self._weights.pop(oldest)
        return made
