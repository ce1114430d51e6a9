"""The contract of whoever watches a run: what the engine tells it, and when. By default nobody watches."""

from __future__ import annotations

from typing import Protocol

from einsim.sim.actor import Actor


class Watch(Protocol):
    """Told of everything that happens; times are in ticks of the program.

    The run may jump until `begin`, goes step by step from there, and stops before the first event at `end` or
    later, which may move while it runs. What happens before `begin` is told as well, with gaps.
    """

    begin: int
    end: int

    def attach(self, actors: list[Actor]) -> None:
        """The run begins with these operations."""

    def begun(self) -> None:
        """All that happens before `begin` has happened, and nothing that happens later."""

    def started(self, actor: Actor, now: int) -> None:
        """An operation has got its engine."""

    def ended(self, actor: Actor, now: int) -> None:
        """An operation gives its engine back; it got it at `actor.started_at`."""

    def streamed(self, actor: Actor, port: str, start: int, end: int) -> None:
        """A port has moved an operation's bytes."""

    def completed(self, actor: Actor, now: int) -> None:
        """The result of the operation's latest instance is visible."""

    def stalled(self, unit: str, start: int, end: int, cause: str, what: str) -> None:
        """A unit stood still for this reason; told when it works again."""
