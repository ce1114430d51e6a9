"""The `einsim` command: runs one subcommand and turns every mistake into one line and an exit code.

Exit codes: 0 done, 1 a check failed (`validate`, `doctor`), 2 the user's input is wrong,
130 interrupted with Ctrl-C, 141 the reader of a pipe went away.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Sequence

import click

from einsim.cli.group import CommandList
from einsim.cli.streams import abandon, prepare, say
from einsim.specs.collecting import collected_seldom
from einsim.specs.errors import EinsimError
from einsim.specs.near import near
from einsim.version import VERSION

WRONG_INPUT = 2
INTERRUPTED = 130  # 128 + SIGINT, as a shell reports it
BROKEN_PIPE = 141  # 128 + SIGPIPE

HELP = """Map cascades of Einsums onto accelerators, simulate them at cycle level, explain the result.

\b
  einsim run attention --set model=bert-base seq=4K --accel fusemax-cloud
  einsim passes attention
  einsim report attention --set seq=4K --accel fusemax-cloud -o out.html
"""


@click.group(
    name="einsim",
    cls=CommandList,
    help=HELP,
    no_args_is_help=False,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)
@click.version_option(VERSION, message="einsim %(version)s")
@click.pass_context
def cli(ctx: click.Context) -> None:
    """Show the help when no command is given; otherwise the command runs."""
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())


@collected_seldom
def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code; nothing that a user does wrong raises."""
    with warnings.catch_warnings():
        warnings.showwarning = lambda message, *_, **__: warn(message)
        return run(list(sys.argv[1:] if arguments is None else arguments))


def run(arguments: list[str]) -> int:
    """As `main`, whatever becomes of warnings."""
    prepare()
    try:
        # Not cli.main: it has its own idea of exit codes for a broken pipe and for Ctrl-C.
        with cli.make_context("einsim", arguments) as context:
            code = cli.invoke(context)
        sys.stdout.flush()
        return code if isinstance(code, int) else 0
    except click.exceptions.Exit as stop:
        return stop.exit_code
    except (click.Abort, KeyboardInterrupt):
        say("")
        return INTERRUPTED
    except BrokenPipeError:
        abandon(sys.stdout)
        return BROKEN_PIPE
    except click.ClickException as mistake:
        return complain(usage_line(mistake))
    except EinsimError as mistake:
        return complain(str(mistake))
    except OSError as mistake:
        abandon(sys.stdout)  # files that can't be written are errors of einsim: what is left is stdout
        return complain(f"{mistake.filename or 'stdout'}: {mistake.strerror or mistake}")


def warn(message: Warning | str) -> None:
    """Write `warning: ...` as one line."""
    say(f"warning: {EinsimError(message)}")


def complain(message: str) -> int:
    """Write `error: ...` as one line and return the exit code for wrong input."""
    say(f"error: {EinsimError(message)}")
    return WRONG_INPUT


def usage_line(mistake: click.ClickException) -> str:
    """What is wrong with the command line, in the words of every other error here."""
    if isinstance(mistake, click.NoSuchOption):
        known = option_names(mistake.ctx)
        return f"no option '{mistake.option_name}'; {near(mistake.option_name, known)}"
    if isinstance(mistake, click.MissingParameter) and mistake.param is not None:
        kind = "argument" if mistake.param.param_type_name == "argument" else "option"
        return f"missing {kind} {parameter_name(mistake.param)}{helper(mistake.ctx)}"
    if isinstance(mistake, click.BadParameter) and mistake.param is not None:
        return f"{parameter_name(mistake.param)}: {mistake.message}"
    message = mistake.message.rstrip(".")
    return message[:1].lower() + message[1:]


def option_names(ctx: click.Context | None) -> list[str]:
    """Every option that the command at hand takes."""
    return [name for param in ctx.command.get_params(ctx) for name in param.opts] if ctx else []


def parameter_name(param: click.Parameter) -> str:
    """An argument by its placeholder, an option by its longest name."""
    if param.param_type_name == "argument":
        return param.metavar or (param.name or "").upper()
    return max(param.opts, key=len)


def helper(ctx: click.Context | None) -> str:
    """Where to read more about the command at hand."""
    return f"; see `{ctx.command_path} --help`" if ctx else ""
