"""`einsim list` and `einsim passes` say what there is, and it is there."""

from __future__ import annotations

import json

import pytest

from einsim.accel.gpu.machine import gpu_names
from einsim.accel.load import load_machine, preset_names
from einsim.cli.main import main
from einsim.dataflow.templates import template_names
from einsim.rtl_models.design import DESIGNS
from einsim.workloads.load import workload_names


def test_the_lists_hold_exactly_the_names_that_other_commands_take(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["list", "--json"]) == 0
    names = json.loads(capsys.readouterr().out)
    assert names == {
        "workloads": list(workload_names()), "accels": [*preset_names(), *gpu_names()], "mappings": list(template_names()),
        "designs": list(DESIGNS),
    }  # fmt: skip


def test_the_table_of_machines_shows_every_unit(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list", "accels"]) == 0
    out = capsys.readouterr().out
    assert all(unit.name in out for name in preset_names() for unit in load_machine(name).units)


@pytest.mark.parametrize(
    ("name", "number"), [("attention-3pass", 3), ("attention-2pass", 2), ("attention-1pass", 1)]
)
def test_the_three_attentions_need_3_2_and_1_passes(
    capsys: pytest.CaptureFixture[str], name: str, number: int
) -> None:
    assert main(["passes", name, "--rank", "m"]) == 0
    assert capsys.readouterr().out.splitlines()[0].startswith(f"{name}: {number} pass")
    assert main(["passes", name, "--rank", "m", "--json"]) == 0
    (report,) = json.loads(capsys.readouterr().out)
    assert report["rank"] == "m"
    assert report["passes"] == number == max(report["einsums"].values())


def test_without_a_rank_every_rank_is_reported_once(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["passes", "attention-1pass", "--json"]) == 0
    reports = json.loads(capsys.readouterr().out)
    places = [(report["rank"], report["given"]) for report in reports]  # m stands for m1, its outer part
    assert sorted(places) == [*((rank, []) for rank in "befhm"), ("m0", ["m1"]), ("p", [])]
    assert main(["passes", "attention-1pass", "--rank", "m0", "--in", "", "--json"]) == 0
    assert [report["given"] for report in json.loads(capsys.readouterr().out)] == [[]]
