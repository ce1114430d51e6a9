"""`einsim validate`: einsim's figures held against published ones, RTL and synthesis."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence

import click
import msgspec
from rich.table import Table
from rich.text import Text

from einsim.cli.choice import Named
from einsim.cli.terminal import console, heading, progress
from einsim.specs.errors import SpecError
from einsim.specs.progress import tell
from einsim.validation.fpga import suite as fpga
from einsim.validation.papers import run as papers
from einsim.validation.row import Row
from einsim.validation.rtl import suite as rtl


def gpu(cases: Sequence[str], progress: Callable[[str], None]) -> Iterator[Row]:
    """The GPU suite, imported when it is run, so that start-up stays short."""
    from einsim.validation.gpu import suite

    yield from suite.rows(cases, progress)


def silicon(cases: Sequence[str], progress: Callable[[str], None]) -> Iterator[Row]:
    """The figures of the silicon suite's groups, imported when it is run."""
    from einsim.cli import silicon as chips

    yield from chips.summed(cases)


SILICON, GPU = "silicon", "gpu"
SUITES: dict[str, Callable[..., Iterator[Row]]] = {
    "papers": papers.run,
    SILICON: silicon,
    "rtl": rtl.run,
    "fpga": fpga.run,
    GPU: gpu,
}

EVERY_ROW = " "
"""What `--rows` is without a file."""

HELP = """Hold einsim's figures against published and measured ones. Exit code 1 if one is outside its limit.

\b
  einsim validate papers
  einsim validate silicon --rows measured.csv --json
  einsim validate papers --case fusemax:binding:XLM:256K --json
  einsim validate rtl --case nm_chain --rows
  einsim validate gpu --case gemm-f16
  einsim validate gpu --rows captures/nvidia-h200.csv --json
"""


@click.command(help=HELP)
@click.argument(
    "suite", type=Named((*SUITES, "all"), metavar="[papers|silicon|rtl|fpga|gpu|all]"), default="all"
)
@click.option(
    "--case", "cases", multiple=True, metavar="fusemax:CONFIG:MODEL:SEQ",
    help="Only this case, also one without a stored figure. CONFIG: unfused, flat, cascade, arch, binding; "
    "MODEL: BERT, TrXL, T5, XLM; SEQ: 1K to 1M. With rtl and fpga: a design; with gpu: a kernel family; "
    "with silicon: a machine or network. May be repeated.",
)  # fmt: skip
@click.option(
    "--full",
    is_flag=True,
    help="rtl: the grid of about 1,000 runs, and every simulator that is here; fpga: every size anew.",
)
@click.option("--json", "as_json", is_flag=True, help="Print a JSON list of rows.")
@click.option(
    "--rows", "wanted", metavar="[FILE]", is_flag=False, flag_value=EVERY_ROW, default="",
    help="Print every row, not a summary. With silicon, a FILE.csv of measured figures is judged instead; "
    "with gpu, a capture of any shapes.",
)  # fmt: skip
@click.option(
    "--accel", default="", metavar="GPU",
    help="With gpu and a file: the GPU that its rows are of, a preset or a file; else as they say.",
)  # fmt: skip
def command(suite: str, cases: tuple[str, ...], full: bool, as_json: bool, wanted: str, accel: str) -> int:
    """Run and print; 1 when a row fails."""
    every_row, file = wanted == EVERY_ROW, wanted.strip()
    if accel and not (file and suite == GPU):
        raise SpecError("", "goes with the suite gpu and --rows FILE only", got=accel, where="--accel")
    if file and suite == GPU and not cases:
        from einsim.cli import captured

        return captured.command(file, accel, as_json=as_json)
    if file and suite != SILICON:
        rule = "takes a file with the suites silicon and gpu only, gpu's without --case"
        raise SpecError("", rule, got=file, where="--rows")
    if suite == SILICON:
        from einsim.cli import silicon as chips  # scipy.stats, and a pool: only where they are needed

        return chips.command(cases, file, as_json=as_json, every_row=every_row)
    # A case without a suite is a paper's, as `--case` shows it.
    chosen = [suite] if suite != "all" else ["papers"] if cases else list(SUITES)
    with progress():
        rows = list(gather(chosen, cases, full=full))
    failed = [row for row in rows if not row.ok]
    if as_json:
        click.echo(json.dumps([msgspec.to_builtins(row) for row in rows], indent=1))
        return 1 if failed else 0
    out = console()
    out.print(in_full(rows) if every_row or cases else in_short(rows))
    for row in failed:
        out.print(Text.assemble(("outside its limit", "red"), f": {told(row)}"))
    limited = sum(row.limit is not None for row in rows)
    click.echo(f"{len(rows)} figures, {limited} with a limit, {len(failed)} outside it")
    return 1 if failed else 0


def gather(suites: Sequence[str], cases: Sequence[str], *, full: bool = False) -> Iterator[Row]:
    """The suites' rows; whoever listens is told each case as it begins."""
    for name in suites:
        options = {"full": True} if full and name in {"rtl", "fpga"} else {}
        yield from SUITES[name](cases, tell, **options)


def told(row: Row) -> str:
    """A failed row in words, with its note: of RTL, the first difference."""
    note = f"; {row.note}" if row.note else ""
    return (
        f"{row.case} {row.quantity} ({row.level}): {row.ours:.6g}, reference {row.reference:.6g}, "
        f"error {row.error:+.2%}, limit {row.limit:.0%}{note}"
    )


def in_short(rows: Sequence[Row]) -> Table:
    """One line for each configuration, level and quantity: how many cases, and the worst error."""
    table = heading("configuration", "level", "quantity", "cases", "worst error", "limit", "")
    groups: dict[tuple[str, str, str], list[Row]] = {}
    for row in rows:
        groups.setdefault((":".join(row.case.split(":")[:2]), row.level, row.quantity), []).append(row)
    before = ""
    for (configuration, level, quantity), members in groups.items():
        worst = max(members, key=lambda row: abs(row.error or 0.0))
        table.add_row(
            configuration if configuration != before else "", level, quantity, str(len(members)),
            shown(worst.error), "" if worst.limit is None else f"{worst.limit:.0%}", verdict(members),
        )  # fmt: skip
        before = configuration
    return table


def in_full(rows: Sequence[Row]) -> Table:
    """One line a row, with the note of the rows that have one."""
    table = heading("case", "level", "quantity", "reference", "ours", "error", "limit", "")
    for row in rows:
        table.add_row(
            row.case, row.level, row.quantity, "-" if row.reference is None else f"{row.reference:.6g}",
            f"{row.ours:.6g}", shown(row.error), "" if row.limit is None else f"{row.limit:.0%}",
            verdict([row]),
        )  # fmt: skip
        if row.note:
            table.add_row("", "", Text(f"  {row.note}", style="dim"))
    return table


def shown(error: float | None) -> str:
    """An error in percent; a dash where there is no reference."""
    return "-" if error is None else f"{error:+.3%}"


def verdict(rows: Sequence[Row]) -> Text:
    """ok, outside its limit, or no limit."""
    if not all(row.ok for row in rows):
        return Text("outside", style="red")
    limited = any(row.limit is not None for row in rows)
    return Text("ok", style="green") if limited else Text("no limit", style="dim")
