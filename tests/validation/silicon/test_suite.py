"""Rows of ours are read, chosen and judged by whoever predicts; what can't be predicted is missed."""

from __future__ import annotations

import json

import msgspec
import pytest

from einsim.accel.load import load_machine
from einsim.cli.main import main
from einsim.predicting import PredictionJob, answer, job_of, predict
from einsim.specs.errors import SpecError
from einsim.validation.silicon.chip_figure import COLUMNS, read, write
from einsim.validation.silicon.figures import CALIBRATED, SOURCED, Judged
from einsim.validation.silicon.suite import ROWS, chosen, judge, stored


def perfect(rows):
    yield from (Judged(measured=row, by_level={SOURCED: row.value}, best=SOURCED) for row in rows)


def test_rows_of_ours_name_their_source_and_are_written_as_they_are_read(tmp_path):
    for path in ROWS.glob("*.csv"):
        rows = read(path)
        assert rows
        assert all(row.source and row.value > 0 for row in rows)
        write(tmp_path / path.name, rows, rows[0].source)
        assert (tmp_path / path.name).read_bytes() == path.read_bytes()


def test_both_sides_have_networks():
    rows = [row for row in stored() if row.group == "sa8295p-core networks"]
    assert len({row.name for row in rows if row.side == "fit"}) >= 5
    assert len({row.name for row in rows if row.side == "held-out"}) >= 10


def test_who_predicts_perfectly_meets_every_bar():
    outcome = judge(stored(), perfect)
    assert not outcome.failed
    assert sum(row.reference != 0 for row in outcome.rows) == len(stored())


def test_a_row_that_cannot_be_predicted_is_missed():
    def none(rows):
        yield from (Judged(measured=row, by_level={}, best=SOURCED, why="no mapping") for row in rows)

    outcome = judge(stored()[:1], none)
    assert outcome.failed
    assert (outcome.unknown[0].why, outcome.unknown[0].missed) == ("no mapping", True)


def test_a_case_is_a_machine_a_group_or_a_network():
    assert {row.name for row in chosen(["resnet-18"])} == {"resnet-18"}
    networks, every = chosen(["sa8295p-core networks"]), chosen(["sa8295p-core"])
    assert {row.kind for row in networks} == {"networks"}
    assert [row for row in every if row.kind == "networks"] == [*networks]
    with pytest.raises(SpecError, match=r"--case: no machine, group or network.*did you mean 'resnet-18'"):
        chosen(["resnet-81"])


def test_a_row_is_what_run_says(tmp_path, capsys):
    """The same pair of workload and machine by `einsim run` gives the same time."""
    row = next(row for row in stored() if row.name == "squeezenet-1.1" and row.variant.startswith("w8a8"))
    pairs = [f"{key}={value}" for key, value in row.settings.items()]
    command = ["run", row.work, "--accel", row.machine, "--set", *pairs, "--level", "analytical", "--json"]
    assert main(command) == 0
    said = json.loads(capsys.readouterr().out)["latency_s"]
    assert answer(job_of(row)).by_level[CALIBRATED]["latency_s"] == said


def test_a_file_from_elsewhere_by_the_command_line(tmp_path, capsys):
    path = tmp_path / "rows.csv"
    head = "model,component,precision,chipset,runtime,latency_ms,layers_cpu,input_resolution\n"
    path.write_text(
        head + "squeezenet1_1,S,w8a8,SA8295P,tflite,0.5,0,224x224\nyolo9,Y,w8a8,SA8295P,tflite,1,0,64x64\n"
    )
    assert main(["validate", "silicon", "--rows", str(path), "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    keys = {
        "suite",
        "case",
        "quantity",
        "reference",
        "ours",
        "error",
        "limit",
        "ok",
        "source",
        "group",
        "level",
        "side",
    }
    assert all(keys <= set(row) for row in rows)
    levels = {row["level"]: row for row in rows if row["case"] == "sa8295p-core:squeezenet-1.1:w8a8 tflite"}
    assert levels[CALIBRATED]["reference"] == 0.0005
    assert set(levels) == {CALIBRATED, SOURCED, "roofline"}
    without = levels[SOURCED]["ours"]  # the start of a run, that of its ops and a share of cycles were fitted
    start_s = load_machine("sa8295p-core").dispatch.run_cycles / 1.4e9
    assert levels[CALIBRATED]["ours"] > without + start_s
    assert rows[-1]["quantity"] == "not known"
    path.write_text(head + "vgg99,V,w8a8,SA8295P,tflite,0.5,0,224x224\n")
    assert main(["validate", "silicon", "--rows", str(path)]) == 1
    assert "missed: SA8295P vgg99 V: no network" in capsys.readouterr().out
    assert main(["validate", "silicon", "--rows", str(tmp_path / "none.csv")]) == 2
    assert main(["validate", "papers", "--rows", str(path)]) == 2


def test_a_run_that_is_refused_is_said():
    row = next(row for row in stored() if row.name == "squeezenet-1.1")
    small = msgspec.structs.replace(row, settings={**row.settings, "cores": "0"})
    (found,) = predict([small])
    assert found.by_level == {}
    assert "cores: must be >= 1" in found.why


def test_a_table_of_other_columns_is_refused(tmp_path):
    (tmp_path / "rows.csv").write_text("a,b\n1,2\n")
    with pytest.raises(SpecError, match=f"must have the columns {','.join(COLUMNS)}"):
        read(tmp_path / "rows.csv")


def test_a_row_without_work_is_of_an_fpgas_resources():
    machine = load_machine("u280-flightllm")
    found = answer(PredictionJob(machine="u280-flightllm", work="", settings=()))
    assert found.by_level[SOURCED] == {name.lower(): count for name, count in machine.resources.items()}


def test_a_layers_bytes_are_those_of_its_mapping():
    settings = (("k", "16"), ("m", "16"), ("n", "16"))
    found = answer(PredictionJob(machine="tpu-v4i", work="gemm", settings=settings)).by_level[SOURCED]
    assert found["dram_bytes"] == 3 * 16 * 16 * 2
