"""No command shows 0 J, 0 W or 0 mm² for what a machine doesn't state."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from einsim.cli.main import main

MACHINE = """
machine: bare
clock: 1GHz
memories:
  dram: {bandwidth: 32GB/s}
  sram: {parent: dram, capacity: 64KiB, bandwidth: 256GB/s}
units:
  grid: {kind: array, dims: {rows: 8, cols: 8}, reads_from: sram, ops: {mac: {energy: 1pJ}}}
assumed: [clock, memories, units]
"""
GEMM = "name: gemm\nranks: {m: 16, n: 16, k: 16}\neinsums: |\n  C[m,n] = A[m,k] * B[k,n]\n"
MISSING = ["dram read", "dram write", "sram read", "sram write", "leakage"]


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("bare.yaml").write_text(MACHINE)
    Path("gemm.yaml").write_text(GEMM)


def said(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert main([*arguments, "--accel", "bare.yaml"]) == 0
    return capsys.readouterr().out


@pytest.mark.usefixtures("files")
@pytest.mark.parametrize(
    "command",
    [
        ("run", "gemm.yaml"),
        ("map", "gemm.yaml"),
        ("map", "gemm.yaml", "--objective", "pareto"),
        ("explain", "template", "--workload", "gemm.yaml"),
    ],
)
def test_every_command_says_so(capsys: pytest.CaptureFixture[str], command: tuple[str, ...]) -> None:
    text = said(capsys, *command)
    assert "not stated" in text
    assert "4.10 nJ" in text  # what is: 4096 macs of 1 pJ
    assert " 0 J" not in text
    data = json.loads(said(capsys, *command, "--json"))
    data = data.get("result", data)
    assert data["energy_j"] is None
    assert data["energy_stated_j"] == pytest.approx(4096e-12)
    assert sorted(data["energy_not_stated"]) == sorted(MISSING)
    assert data["energy_by"] == pytest.approx({"grid mac": 4096e-12})


@pytest.mark.usefixtures("files")
@pytest.mark.parametrize("objective", ["energy", "edp"])
def test_no_mapping_is_searched_by_what_is_not_stated(
    capsys: pytest.CaptureFixture[str], objective: str
) -> None:
    assert main(["map", "gemm.yaml", "--accel", "bare.yaml", "--objective", objective]) == 2
    assert capsys.readouterr().err == (
        "error: --objective: bare doesn't state the energy of dram read, dram write, sram read, sram write: "
        f"it would count for nothing (got '{objective}'); state it (0pJ is a statement), or choose --objective "
        "latency, buffer or pareto\n"
    )


@pytest.mark.usefixtures("files")
def test_a_search_without_leakage_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    priced = ("--set", "memories.dram.read_energy=9pJ", "memories.sram.read_energy=1pJ")
    text = said(capsys, "map", "gemm.yaml", "--objective", "energy", *priced)
    assert "energies are compared without leakage: not stated" in text
    text = said(capsys, "map", "gemm.yaml", "--objective", "energy", *priced, "accel.leakage=0W")
    assert "not stated" not in text


def test_a_gpu_has_one_level_and_says_which(capsys: pytest.CaptureFixture[str]) -> None:
    work = ["run", "softmax", "--set", "p=256", "d=256", "bits=32", "--accel", "h100-sxm"]
    for level in ("sim", "analytical"):
        assert main([*work, "--level", level, "--json"]) == 0
        assert json.loads(capsys.readouterr().out)["level"] == "kernel"
    assert main(work) == 0
    text = capsys.readouterr().out
    assert "model of a GPU's kernels" in text
    assert "note: a GPU has one model, of its kernels, whatever level is asked for" in text
