"""The list of commands: each is imported when it is asked for, so that `einsim --help` is quick."""

from __future__ import annotations

from importlib import import_module

import click

from einsim.specs.near import near

# name -> (module that defines `command`, what the list of commands says of it)
COMMANDS: dict[str, tuple[str, str]] = {
    "list": ("einsim.cli.list_names", "What is there: workloads, accelerators, mapping templates."),
    "run": ("einsim.cli.run", "Map a workload onto an accelerator, judge it and explain the result."),
    "map": ("einsim.cli.map", "Search for the best mapping of a workload on an accelerator."),
    "explain": ("einsim.cli.explain", "What limits a mapping, and what one change would gain most."),
    "passes": ("einsim.cli.passes", "How often a cascade must visit each tensor, from the cascade alone."),
    "accuracy": ("einsim.cli.accuracy", "Compute in few bits, and say how far that is from float64."),
    "report": ("einsim.cli.report", "Write the mapping report, one HTML page that needs no network."),
    "trace": ("einsim.cli.trace", "Record a window of a run for a trace viewer, or as a waterfall picture."),
    "validate": ("einsim.cli.validate", "Hold einsim's figures against published ones."),
    "fit": ("einsim.cli.fit", "Fit constants of one's own machine on measured rows."),
    "capture": ("einsim.cli.capture", "Time the kernels on this machine's GPU."),
    "rtl": ("einsim.cli.rtl", "Write the array of a machine as an RTL project with its testbench."),
    "import": (
        "einsim.cli.import_file",
        "Files of AccelForge, Timeloop and SCALE-Sim as machines and workloads.",
    ),
    "schema": ("einsim.cli.schema", "JSON Schema of a YAML file, by which an editor completes its keys."),
    "doctor": ("einsim.cli.doctor", "What is installed, what is missing, how to get it."),
}


class CommandList(click.Group):
    """A click group whose commands are rows of a table."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Every command's name, in the order in which a newcomer needs them."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of that name, imported now, or None."""
        if cmd_name not in COMMANDS:
            return None
        command = import_module(COMMANDS[cmd_name][0]).command
        assert isinstance(command, click.Command)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The command that the first argument names; a UsageError with the nearest name otherwise."""
        name = args[0]
        if name not in COMMANDS and not name.startswith("-"):
            raise click.UsageError(f"no command '{name}'; {near(name, COMMANDS)}", ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The commands and their one-line help, without importing any of them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])
