"""An option or argument whose value is one of a few names; a near miss is answered with the name meant."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import click

from einsim.specs.near import near


class Named(click.ParamType[str]):
    """One of `names`, which may be a function so that a preset list is only read when it is needed."""

    name = "name"

    def __init__(self, names: Sequence[str] | Callable[[], Sequence[str]], metavar: str = "") -> None:
        self.source = names
        self.metavar = metavar

    @property
    def names(self) -> tuple[str, ...]:
        """The names that are accepted."""
        return tuple(self.source() if callable(self.source) else self.source)

    def get_metavar(self, param: click.Parameter, ctx: click.Context) -> str | None:
        """What the help shows for the value: the names themselves unless told otherwise."""
        return self.metavar or f"[{'|'.join(self.names)}]"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """The value itself when it is one of the names; a BadParameter otherwise."""
        names = self.names
        if value in names:
            return value
        self.fail(f"unknown name (got '{value}'); {near(value, names)}", param, ctx)
