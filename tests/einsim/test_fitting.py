"""A fit finds the constants that rows were made with, uses the fit side only, and writes what it found."""

from __future__ import annotations

import json

import msgspec
import pytest

from einsim.accel.load import fitted_of, load_machine
from einsim.cli.main import main
from einsim.fitting import constants_of, fit, fit_shared, written
from einsim.predicting import PredictionJob, answer, predict
from einsim.specs.errors import EinsimError, SpecError
from einsim.validation.silicon.chip_figure import ChipFigure, write
from einsim.validation.silicon.figures import CALIBRATED, SOURCED
from einsim.validation.silicon.split import FIT

MACHINE = """machine: toy
clock: 1GHz
memories:
  dram: {bandwidth: 10GB/s}      # to be fitted
  sram: {parent: dram, capacity: 1MiB}
units:
  pes:
    kind: systolic
    dims: {rows: 16, cols: 16}
    reads_from: sram
    ops:
      mac: {cycles: 1}
assumed: [units]
"""
BANDWIDTH, CYCLES = "memories.dram.bandwidth", "units.pes.ops.mac.cycles"
# Thin products are bound by DRAM, square ones by the array.
SHAPES = [(1, k, n) for k in (256, 512, 768) for n in (256, 320, 384)] + [
    (m, 256, 256) for m in (256, 320, 384, 448, 512)
]


def rows(machine, settings):
    """Figures of the machine with other constants, as if measured."""
    found = []
    for m, k, n in SHAPES:
        sizes = {"m": str(m), "k": str(k), "n": str(n)}
        job = PredictionJob(machine=str(machine), work="gemm", settings=tuple({**sizes, **settings}.items()))
        value = answer(job).by_level[SOURCED]["latency_s"]
        found.append(ChipFigure(
            machine="toy", kind="gemm", name=f"gemm {m}x{k}x{n}", work="gemm", settings=sizes, variant="",
            quantity="latency_s", value=value, source="made here",
        ))  # fmt: skip
    return found


@pytest.fixture
def machine(tmp_path):
    path = tmp_path / "toy.yaml"
    path.write_text(MACHINE)
    return path


def test_constants_that_rows_were_made_with_are_found(machine, tmp_path):
    made = rows(machine, {f"accel.{BANDWIDTH}": "4GB/s", f"accel.{CYCLES}": "3"})
    found = fit(made, machine, [BANDWIDTH, CYCLES], workers=1)
    assert found.values[CYCLES] == 3
    assert float(found.values[BANDWIDTH].removesuffix("GB/s")) == pytest.approx(4, rel=0.02)
    assert found.rows == sum(row.side == FIT for row in made)
    assert found.before["held-out"].mean > 0.4
    assert found.after["held-out"].mean < 0.02
    text = written(machine, found)
    assert "# to be fitted" in text
    path = tmp_path / "fitted.yaml"
    path.write_text(text)
    assert load_machine(path).dram.read_bytes_per_s == pytest.approx(4e9, rel=0.02)
    told = fitted_of(path)
    assert told[CYCLES].sourced == 1
    assert told[BANDWIDTH].error < 0.05
    # The sourced level has none of it, the calibrated one all.
    (judged,) = predict([msgspec.structs.replace(made[0], machine=str(path))])
    assert judged.best == CALIBRATED
    assert judged.error(CALIBRATED) == pytest.approx(0, abs=0.02)
    assert judged.by_level[SOURCED] == answer(
        PredictionJob(machine=str(machine), work="gemm", settings=tuple(made[0].settings.items()))
    ).by_level[SOURCED]["latency_s"]  # fmt: skip
    again = fit(made, path, [BANDWIDTH], workers=1)
    path.write_text(written(path, again))
    assert fitted_of(path)[BANDWIDTH].sourced == told[BANDWIDTH].sourced  # fitted anew, sources say the same
    assert set(fitted_of(path)) == {BANDWIDTH, CYCLES}


def test_machines_with_the_same_core_share_constants(machine, tmp_path, capsys):
    """A second board has half the bandwidth of the memory, and the same array: its cycles are found by both."""
    other = tmp_path / "board.yaml"
    other.write_text(MACHINE.replace("10GB/s", "5GB/s"))
    made = {path: rows(path, {f"accel.{CYCLES}": "3"})[-5:] for path in (machine, other)}
    found = fit_shared(made, [CYCLES], workers=1)
    assert found.values[CYCLES] == 3
    assert found.rows == sum(row.side == FIT for some in made.values() for row in some) > 0
    for path in made:
        place = tmp_path / f"fitted-{path.name}"
        place.write_text(written(path, found))
        assert fitted_of(place)[CYCLES].rows == found.rows
    with pytest.raises(
        SpecError, match=r"bandwidth: must be 10GB/s, as in .*toy\.yaml, to be shared \(got '5GB/s'\)"
    ):
        fit_shared(made, [BANDWIDTH], workers=1)
    both = ["--machine", str(machine), "--machine", str(other), "--chip", "toy", "--constant", CYCLES]
    assert main(["fit", str(tmp_path / "rows.csv"), *both]) == 2
    assert "--chip: must be given for each of 2 machines (got 1)" in capsys.readouterr().err


def test_held_out_rows_change_nothing(machine):
    made = rows(machine, {f"accel.{BANDWIDTH}": "4GB/s"})
    other = [row if row.side == FIT else msgspec.structs.replace(row, value=9 * row.value) for row in made]
    one, two = (fit(some, machine, [BANDWIDTH], workers=1) for some in (made, other))
    assert one.values == two.values
    assert one.constants == two.constants
    assert two.after["held-out"].mean > 0.5


def test_a_constant_that_no_row_shows_has_no_small_error(machine):
    """The capacity is far from what these products need."""
    made = rows(machine, {})
    found = fit(made, machine, ["memories.sram.capacity"], workers=1)
    assert (
        found.constants["memories.sram.capacity"].error == 0
        or found.values["memories.sram.capacity"] == "1MiB"
    )


@pytest.mark.parametrize(
    ("paths", "said"),
    [
        ([], "name the constants"), (["clock", "clock"], "at most 4 constants"), (["clok"], "clok: is no figure of the file"),
        (["memories"], "memories: is no figure"), (["machine"], "must be above 0"),
    ],
)  # fmt: skip
def test_what_is_no_constant_is_refused(machine, paths, said):
    with pytest.raises(SpecError, match=said):
        constants_of(machine, paths)


def test_rows_that_are_all_held_out_fit_nothing(machine):
    made = [row for row in rows(machine, {}) if row.side != FIT]
    with pytest.raises(EinsimError, match=r"^0 of "):
        fit(made, machine, [BANDWIDTH])


def test_by_the_command_line(machine, tmp_path, capsys):
    made = rows(machine, {f"accel.{BANDWIDTH}": "4GB/s"})
    table, out = tmp_path / "rows.csv", tmp_path / "out.yaml"
    write(table, made, "made here")
    command = ["fit", str(table), "--machine", str(machine), "--constant", BANDWIDTH, "-o", str(out)]
    assert main(command) == 0
    assert f"{BANDWIDTH}: 10GB/s -> 4" in capsys.readouterr().out
    assert fitted_of(out)[BANDWIDTH].sourced == "10GB/s"
    assert main([*command, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["rows"] == sum(row.side == FIT for row in made)
    assert (
        main(["fit", str(table), "--machine", str(machine), "--chip", "none", "--constant", BANDWIDTH]) == 2
    )
    assert main(["fit", str(table), "--machine", str(machine)]) == 2
