"""`einsim trace` writes what the output's name asks for, and says in one line what it can't do."""

from __future__ import annotations

from pathlib import Path

import pytest

from einsim.cli.main import main
from tests.sim.trace.readers import read_chrome, read_perfetto, read_vcd

SMALL = ["attention", "--set", "seq=512", "b=1", "h=2", "--accel", "fusemax-cloud"]
GEMM = "name: gemm\nranks: {m: 4, n: 3, k: 5}\neinsums: |\n  Z[m,n] = A[m,k] * B[k,n]\n"


def trace(capsys: pytest.CaptureFixture[str], output: Path, *arguments: str) -> str:
    assert main(["trace", *SMALL, *arguments, "-o", str(output)]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    return out


def test_a_trace_for_perfetto_has_a_track_for_every_unit_port_and_buffer(capsys, tmp_path):
    said = trace(capsys, tmp_path / "out.pftrace")
    found = read_perfetto(tmp_path / "out.pftrace")
    assert set(found) == {
        ("units", "array2d"), ("units", "array1d"), ("stalls", "array2d"), ("stalls", "array1d"),
        ("memory ports", "dram"), ("buffers", "array1d"), ("buffers", "array2d"), ("buffers", "gb"),
    }  # fmt: skip
    slices = [
        each for (group, _), kept in found.items() if group in ("units", "memory ports") for each in kept
    ]
    assert f"the whole run, {len(slices)} spans" in said
    assert {name for _, _, name, _ in slices} >= {"BQK", "RNV", "load K", "store AV"}


def test_chrome_and_perfetto_traces_show_the_same(capsys, tmp_path):
    trace(capsys, tmp_path / "out.pftrace")
    trace(capsys, tmp_path / "out.json")
    one, other = read_perfetto(tmp_path / "out.pftrace"), read_chrome(tmp_path / "out.json")
    assert {where: len(kept) for where, kept in one.items()} == {
        where: len(kept) for where, kept in other.items()
    }


def test_a_window_holds_only_its_cycles(capsys, tmp_path):
    said = trace(capsys, tmp_path / "out.json", "--from", "1000", "--to", "1500")
    assert "cycles 1000 to 1500" in said
    found = read_chrome(tmp_path / "out.json")
    times = [
        time for (group, _), kept in found.items() if group != "buffers" for each in kept for time in each[:2]
    ]
    assert times
    assert all(1000 <= time <= 1500.001 for time in times)


@pytest.mark.parametrize(("name", "start"), [("out.png", b"\x89PNG"), ("out.svg", b"<?xml")])
def test_a_picture_needs_no_window(capsys, tmp_path, name, start):
    said = trace(capsys, tmp_path / name, "--set", "m0=64")
    assert "cycles 0 to" in said
    assert "150 spans" in said
    assert (tmp_path / name).read_bytes().startswith(start)


def test_waves_of_the_run(capsys, tmp_path):
    trace(capsys, tmp_path / "out.vcd", "--set", "passes=1", "--mapping", "fusemax-stalled", "--to", "2000")
    assert "units.array2d.work" in read_vcd(tmp_path / "out.vcd")


def test_waves_of_every_register(capsys, tmp_path):
    (tmp_path / "gemm.yaml").write_text(GEMM)
    arguments = ["trace", str(tmp_path / "gemm.yaml"), "--accel", "eyeriss-like", "--registers"]
    assert main([*arguments, "-o", str(tmp_path / "array.vcd")]) == 0
    assert "4 x 3 x 5 on array2d" in capsys.readouterr().out
    values = read_vcd(tmp_path / "array.vcd")
    assert sum(name.endswith(".sum") for name in values) == 4 * 3
    assert values["array.row_3.col_2.real"](1000 * (3 + 2 + 4)) == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["-o", "out.pftrac"], "error: --output: must end in one of .pftrace, .json, .png, .svg, .vcd (got 'out.pftrac'); did you mean '.pftrace'?\n"),
        (["-o", "out.json", "--registers"], "error: --registers: writes a .vcd file (got 'out.json')\n"),
        (["-o", "out.json", "--from", "-1"], "error: --from: must be >= 0 (got -1)\n"),
        (["-o", "out.json", "--from", "9", "--to", "3"], "error: --to: must be later than 'from' (9) (got 3)\n"),
        (["-o", "out.vcd", "--registers"], "error: --registers: needs a workload that is one matrix product (attention-1pass has 12 Einsums)\n"),
    ],
)  # fmt: skip
def test_a_mistake_is_one_line(capsys, tmp_path, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    assert main(["trace", *SMALL, *arguments]) == 2
    out, err = capsys.readouterr()
    assert (out, err) == ("", message)
    assert not list(tmp_path.iterdir())
