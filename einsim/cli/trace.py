"""`einsim trace`: a window of a run for a trace viewer or a wave viewer, or as a waterfall picture."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import click
import numpy as np

from einsim.accel.machine import Machine
from einsim.cli.long import long_option
from einsim.cli.output import check_output, force_option
from einsim.cli.settings import SettingsCommand, settings_option
from einsim.cli.terminal import progress
from einsim.dataflow.lower import lower
from einsim.evaluation import TEMPLATE, Evaluation, evaluate
from einsim.patience import patience, too_long
from einsim.report.palette import slice_colours, work_colours
from einsim.settings import read_pairs
from einsim.specs.errors import RuleError, SpecError
from einsim.specs.near import near
from einsim.workloads.cascade import Cascade

HELP = """Record what every unit, memory port and buffer does in a window of the run.

The name of the output says what is written: .pftrace for Perfetto's viewer, .json for Chrome's trace format,
.png or .svg for a waterfall picture, .vcd for a wave viewer. The run jumps to the window.

\b
  einsim trace attention --set seq=4K --accel fusemax-cloud -o out.pftrace
  einsim trace attention-1pass --accel fusemax-cloud --mapping fusemax-stalled --to 3000 -o out.png
  einsim trace gemm.yaml --accel eyeriss-like --registers -o array.vcd
"""

SUFFIXES: Final = (".pftrace", ".json", ".png", ".svg", ".vcd")
PICTURE_SPANS: Final = 150  # what a picture's default window holds: bars that can still be read
OPERAND_LIMIT: Final = 8  # the waves' operands are small, so that they can be followed by eye


@click.command(cls=SettingsCommand, help=HELP)
@click.argument("workload")
@click.option("--accel", required=True, metavar="ACCEL", help="A preset's name or a machine's YAML file.")
@settings_option
@click.option(
    "--mapping", default=TEMPLATE, show_default=True, metavar="FILE|auto|TEMPLATE", help="As in `einsim run`."
)
@click.option(
    "--from", "from_cycle", type=int, default=0, show_default=True, help="The window's first cycle."
)
@click.option(
    "--to", "to_cycle", type=int,
    help="The cycle that ends it; by default it ends with the run, or where the output is full.",
)  # fmt: skip
@click.option(
    "--registers", is_flag=True,
    help="For .vcd: every register of the array, for a workload that is one matrix product.",
)  # fmt: skip
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    required=True,
    help="The file to write.",
)
@long_option
@force_option
def command(
    *,
    workload: str,
    accel: str,
    settings: tuple[str, ...],
    mapping: str,
    from_cycle: int,
    to_cycle: int | None,
    registers: bool,
    long: bool,
    output: Path,
    force: bool,
) -> None:
    """Record and write."""
    if output.suffix not in SUFFIXES:
        rule = f"must end in one of {', '.join(SUFFIXES)}"
        hint = near(output.suffix, SUFFIXES)
        raise SpecError("", rule, got=output.name, where="--output", hint=hint)
    check_output(output, "a trace", inputs=(workload, accel, mapping), force=force)
    if registers and output.suffix != ".vcd":
        raise SpecError("", "writes a .vcd file", got=output.name, where="--registers")
    with progress():
        found = evaluate(workload, accel, settings=read_pairs(settings), mapping=mapping, level="analytical")
        if registers:
            said = write_registers(found.cascade, found.mapped.machine, output)
        else:
            said = write_window(found, output, from_cycle, to_cycle, long=long)
    click.echo(said)


def write_window(
    found: Evaluation, output: Path, from_cycle: int, to_cycle: int | None, *, long: bool
) -> str:
    """Write the recording in the form that the output's name asks for; the line that says so."""
    from einsim.sim.engine import CutShort
    from einsim.sim.trace.record import MOST_SPANS, record

    machine, mapping = found.mapped.machine, found.mapped.mapping
    program = lower(mapping, found.cascade, machine)
    picture = output.suffix in {".png", ".svg"}
    try:
        seen = record(
            program, mapping, found.cascade, machine, from_cycle=from_cycle, to_cycle=to_cycle,
            most_spans=PICTURE_SPANS if picture and to_cycle is None else MOST_SPANS,
            tiles=patience(long=long),
        )  # fmt: skip
    except CutShort:
        raise too_long(program, "--long lets it go on, an earlier --from ends it sooner") from None
    except RuleError as error:
        raise SpecError("", error.rule, got=error.got, where=f"--{error.at[0]}") from None
    if output.suffix == ".pftrace":
        from einsim.sim.trace.perfetto_file import write_perfetto

        write_perfetto(seen, output)
    elif output.suffix == ".json":
        from einsim.sim.trace.chrome_file import write_chrome

        write_chrome(seen, output)
    elif output.suffix == ".vcd":
        from einsim.sim.trace.waves import write_waves

        write_waves(seen, output)
    else:
        from einsim.sim.trace.waterfall import write_waterfall

        einsums = work_colours(einsum.name for einsum in found.cascade.einsums)
        write_waterfall(seen, output, slice_colours((op.name for op in program.ops), einsums))
    first, last = int(seen.cycle(seen.begin)), int(-(-seen.end // seen.ticks_per_cycle))
    whole = "the whole run" if seen.ended and not from_cycle else f"cycles {first} to {last}"
    return f"wrote {output}: {whole}, {len(seen.spans)} spans, {len(seen.stalls)} stalls"


def write_registers(cascade: Cascade, machine: Machine, output: Path) -> str:
    """Step the cascade's matrix product through the machine's first array, with small operands."""
    from einsim.sim.arrays.gemm import ArraySpec
    from einsim.sim.trace.array_waves import write_array_waves

    m, n, k = matrix_product(cascade)
    unit = next((unit for unit in machine.matrix_units if {"rows", "cols"} <= set(unit.dims)), None)
    if unit is None:
        raise SpecError("", f"machine '{machine.name}' has no array of rows and columns", where="--registers")
    spec = ArraySpec(
        rows=unit.dims["rows"], cols=unit.dims["cols"], dataflow="output-stationary", convention="overlapped"
    )
    rng = np.random.default_rng(0)
    a = rng.integers(-OPERAND_LIMIT, OPERAND_LIMIT, (m, k))
    b = rng.integers(-OPERAND_LIMIT, OPERAND_LIMIT, (k, n))
    try:
        write_array_waves(spec, a, b, output)
    except RuleError as error:
        raise SpecError("", error.rule, got=error.got, where="--registers") from None
    return f"wrote {output}: {m} x {n} x {k} on {unit.name}, output-stationary, {spec.rows} x {spec.cols}"


def matrix_product(cascade: Cascade) -> tuple[int, int, int]:
    """(m, n, k) of the only Einsum of the cascade; SpecError where it has others or is no matrix product."""
    einsum = cascade.einsums[0]
    if len(cascade.einsums) > 1 or einsum.ops != ("mac",) or len(einsum.reads) != 2:
        rule = (
            f"needs a workload that is one matrix product ({cascade.name} has {len(cascade.einsums)} Einsums)"
        )
        raise SpecError("", rule, where="--registers")
    left, right = ({term.rank for index in access.indices for term in index.terms} for access in einsum.reads)
    size = {"m": 1, "n": 1, "k": 1}
    for rank in einsum.ranks:
        axis = "k" if rank in left & right else "m" if rank in left else "n"
        size[axis] *= cascade.size(rank)
    return size["m"], size["n"], size["k"]
