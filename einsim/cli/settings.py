"""`--set key=value key=value ...`: one option that takes every pair that follows it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from einsim.settings import read_pairs

F = TypeVar("F", bound=Callable[..., Any])


class SettingsCommand(click.Command):
    """A command whose `--set` may be followed by several pairs, as in `--set model=bert-base seq=4K`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Give every pair after a `--set` a `--set` of its own, which is what click can read.

        A UsageError for an option that takes one value and is given two: the last would win silently.
        """
        spelled = spread(args)
        _, _, given = self.make_parser(ctx).parse_args(args=list(spelled))
        for param in dict.fromkeys(given):
            single = isinstance(param, click.Option) and not (param.multiple or param.is_flag or param.count)
            if single and given.count(param) > 1:
                raise click.UsageError(
                    f"{param.opts[-1]} is given {given.count(param)} times; it takes one value", ctx
                )
        return super().parse_args(ctx, spelled)


def spread(args: list[str]) -> list[str]:
    """`--set a=1 b=2 c` as `--set a=1 --set b=2 c`; what comes after `--` stays as it is."""
    out: list[str] = []
    taking = False
    for place, arg in enumerate(args):
        if arg == "--":
            return [*out, *args[place:]]
        if taking and "=" in arg and not arg.startswith("-"):
            if out[-1] != "--set":
                out.append("--set")
        else:
            taking = arg == "--set" or arg.startswith("--set=")
        out.append(arg)
    return out


def settings_option(function: F) -> F:
    """Adds `--set`, which gives the command `settings: tuple[str, ...]`."""
    return click.option(
        "--set",
        "settings",
        multiple=True,
        metavar="KEY=VALUE ...",
        help="Parameters of the workload, such as seq=4K, or of the machine, such as accel.array.rows=128.",
    )(function)


def pairs_with_layer(settings: tuple[str, ...], layer: int | None) -> dict[str, str]:
    """The pairs of `--set`, and `--layer` as the setting that it stands for."""
    return read_pairs([*settings, *([f"layer={layer}"] if layer is not None else [])])
