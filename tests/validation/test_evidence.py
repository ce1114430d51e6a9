"""The table of evidence is what the suites compute, and a prediction carries its lines."""

from __future__ import annotations

import json
from collections import Counter

import msgspec
import pytest

from einsim.accel.load import load_machine
from einsim.cli.main import main
from einsim.evaluation import evaluate
from einsim.evidence import evidence_of, kind_of, kind_of_model
from einsim.evidence_table import gpu, on_held, silicon
from einsim.models.judge import evaluate_model
from einsim.saved import read_saved, save_result
from einsim.validation.evidence import NONE, NOT_KEPT, Evidence, lines_of, table
from einsim.validation.silicon.suite import chosen, stored
from einsim.workload import find_workload
from einsim.workloads.notation import parse


def row_of(machine: str, kind: str, quantity: str) -> Evidence:
    (found,) = (r for r in table() if (r.machine, r.kind, r.quantity) == (machine, kind, quantity))
    return found


def alike(one: Evidence, other: Evidence) -> None:
    assert (one.level, one.rows, one.family) == (other.level, other.rows, other.family)
    assert one.mean == pytest.approx(other.mean, abs=1e-4)
    assert one.median == pytest.approx(other.median, abs=1e-4)


def test_it_has_every_group_of_held_out_rows_of_its_machines() -> None:
    kept = {(row.machine, row.kind, row.quantity): row.rows for row in table() if row.family != "gpu"}
    machines = {machine for machine, _, _ in kept}
    rows = Counter(
        (row.machine, row.kind, row.quantity) for row in on_held(stored()) if row.machine in machines
    )
    assert kept == rows


def test_no_machine_that_was_measured_is_left_out() -> None:
    assert {row.machine for row in on_held(stored())} <= {row.machine for row in table()}


@pytest.mark.parametrize("case", ["tpu-v6e gemm", "zcu102-dpu resources"])
def test_it_is_what_the_suite_computes(case: str) -> None:
    found = list(silicon(chosen([case]), 1))
    assert found
    for one in found:
        alike(one, row_of(one.machine, one.kind, one.quantity))


@pytest.mark.slow
def test_it_is_what_the_kernels_have() -> None:
    for one in gpu():
        alike(one, row_of(one.machine, one.kind, one.quantity))


@pytest.mark.slow
def test_all_of_it_is_what_the_suites_compute() -> None:
    machines = {row.machine for row in table()}
    for one in silicon([row for row in stored() if row.machine in machines], 2):
        alike(one, row_of(one.machine, one.kind, one.quantity))


def test_a_result_says_what_was_measured_of_its_machine_and_kind_of_work(tmp_path, capsys) -> None:
    sizes = {"m": "8", "k": "256", "n": "256"}
    found = evaluate("gemm", "tpu-v6e", settings=sizes)
    kept = row_of("tpu-v6e", "gemm", "latency_s")
    assert found.result.evidence == (str(kept),)
    assert f"{kept.rows} held-out rows, mean error {100 * kept.mean:.1f} %" in str(kept)
    path = tmp_path / "kept.json"
    save_result(found, path)
    assert read_saved(path).result.evidence == found.result.evidence
    given = [word for key, value in sizes.items() for word in ("--set", f"{key}={value}")]
    assert main(["run", "gemm", "--accel", "tpu-v6e", *given, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["evidence"] == [str(kept)]
    assert main(["run", "gemm", "--accel", "tpu-v6e", *given]) == 0
    assert f"evidence: {kept}" in capsys.readouterr().out
    page = tmp_path / "page.html"
    assert main(["report", str(path), "-o", str(page)]) == 0
    assert f"evidence: {kept}" in page.read_text()


def test_what_was_measured_and_is_not_kept_says_how_to_have_it(monkeypatch) -> None:
    monkeypatch.setattr("einsim.validation.evidence.table", lambda: ())
    (line,) = lines_of("tpu-v6e", "generic", "gemm", as_it_is=True)
    assert line == NOT_KEPT.format("tpu-v6e")


def test_what_was_not_measured_says_none() -> None:
    assert evaluate("gemm", "gemmini", settings={"m": "8", "k": "8", "n": "8"}).result.evidence == (NONE,)


def test_another_machine_of_a_family_has_its_familys_evidence_and_says_so(monkeypatch) -> None:
    """Changed figures make another machine; so does a file of one's own, or a preset that nobody measured."""
    product = {"m": "8", "k": "256", "n": "256", "accel.clock": "1GHz"}
    (line,) = evaluate("gemm", "tpu-v6e", settings=product).result.evidence
    assert line.startswith("none of this machine; of the preset, tpu-v6e gemm")
    chip = load_machine("tpu-v6e")
    assert evidence_of(chip, chip, {}, "gemm") == evidence_of("tpu-v6e", chip, {}, "gemm")
    row = row_of("tpu-v6e", "gemm", "latency_s")
    boards = tuple(msgspec.structs.replace(row, machine=name, family="dpu") for name in ("one", "two"))
    monkeypatch.setattr("einsim.validation.evidence.table", lambda: (row, *boards))
    assert lines_of("mine", "dpu", "gemm", as_it_is=False) == tuple(
        f"none of this machine; of its family, {one}" for one in boards
    )
    assert lines_of("mine", "dpu", "ffn", as_it_is=False) == (NONE,)
    assert lines_of("gemmini", "generic", "gemm", as_it_is=True) == (NONE,)  # written out: no family


def test_whole_models_are_networks_or_language_models() -> None:
    small = evaluate_model("squeezenet-1.1", "kv260-dpu", level="analytical").total
    assert small.evidence == lines_of("kv260-dpu", "dpu", "networks", as_it_is=True)
    assert kind_of_model(["prefill", "decode"]) == "language models"


@pytest.mark.parametrize(
    ("work", "kind"),
    [("gemm", "gemm"), ("attention", "attention"), ("ffn", "ffn"), ("conv", "layers"), ("softmax", "other")],
)
def test_kinds_go_by_what_is_computed(work: str, kind: str) -> None:
    assert kind_of(find_workload(work).every({})[0]) == kind


def test_names_change_nothing() -> None:
    renamed = parse("scores[a,c] = left[a,z] * right[z,c]", name="attention", sizes={"a": 4, "c": 4, "z": 4})
    assert kind_of(renamed) == "gemm"
