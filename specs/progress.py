"""How far long work has come, for whoever shows it: what works says it, and nothing hangs on who listens."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Final, TypeVar

T = TypeVar("T")

Listener = Callable[[str, int, int], None]
"""Takes what is being done, how many steps of it are done, and of how many: 0 where nobody knows."""

MANY = 100
"""Steps from which on it is worth a word."""

_LISTENER: Final[ContextVar[Listener | None]] = ContextVar("listener", default=None)


@contextmanager
def listening(listener: Listener) -> Iterator[None]:
    """Tell a listener what is done meanwhile."""
    token = _LISTENER.set(listener)
    try:
        yield
    finally:
        _LISTENER.reset(token)


def heard() -> Listener | None:
    """Whoever listens."""
    return _LISTENER.get()


def tell(what: str, done: int = 0, every: int = 0) -> None:
    """Say to whoever listens what is being done."""
    listener = heard()
    if listener is not None:
        listener(what, done, every)


def telling(what: str, items: Sequence[T]) -> Iterator[T]:
    """Items one by one, each of which is said to be done when the next is asked for."""
    listener = heard() if len(items) >= MANY else None
    for at, item in enumerate(items):
        if listener is not None:
            listener(what, at, len(items))
        yield item
