"""A capture from anywhere is judged row by row; what isn't known is listed, and what can't be read refused."""

from __future__ import annotations

import json

import pytest

from einsim.accel.gpu.machine import load_gpu
from einsim.cli.main import main
from einsim.sim.gpu.factors import read_factors
from einsim.sim.gpu.kernels.named import RANKS, named
from einsim.sim.gpu.predict import predict
from einsim.specs.errors import SpecError
from einsim.validation.gpu.elsewhere import judge_file, preset_of
from einsim.validation.gpu.fit import captured
from einsim.validation.gpu.kernels.registry import FAMILIES, MICRO, all_cases, model_cases
from einsim.validation.gpu.split import split

HEAD = "device,family,variant,sizes,l2,median_s\n"
# A product of 40 rows, which is in no capture
GEMM = "NVIDIA H200,gemm-wgmma,128x128s6,m=40;n=6144;k=4096,cold,2e-05\n"
DECODE = "NVIDIA H200,decode,fixed-split-d128,h=32;m=70000;p=1;e=128;f=128,cold,3e-04\n"


def written(tmp_path, text: str):
    path = tmp_path / "rows.csv"
    path.write_text(text)
    return path


def test_every_described_case_is_found_by_its_names() -> None:
    assert set(RANKS) == set(FAMILIES) - set(MICRO)
    for case in (*all_cases(quick=True), *model_cases()):
        if case.family not in MICRO:
            assert named(case.family, case.variant, case.sizes) == case


@pytest.mark.parametrize(
    ("family", "variant", "sizes", "message"),
    [
        ("gemm-wgma", "128x128s6", {"m": 1}, "family: no kernel family of this name .* 'gemm-wgmma'"),
        ("gemm-wgmma", "128x128s7", {"m": 8, "n": 8, "k": 8}, "variant: gemm-wgmma has no such kernel .* '128x128s6'"),
        ("gemm-wgmma", "128x128s6", {"m": 8, "n": 8}, "sizes: gemm-wgmma needs m, n, k"),
        ("gemm-wgmma", "128x128s6", {"m": 8, "n": 8, "k": 0}, "sizes.k: must be >= 1"),
        ("gemm-wgmma", "128x128s6", {"m": 8, "n": 8, "k": 9}, "128x128s6.k: must be a multiple of 8"),
        ("decode", "fixed-split-d64", {"h": 2, "m": 64, "p": 2, "e": 64, "f": 64}, "the kernel's are h=2;m=64;p=1"),
    ],
)  # fmt: skip
def test_what_is_no_case_is_refused_by_name(family, variant, sizes, message) -> None:
    with pytest.raises(SpecError, match=message):
        named(family, variant, sizes)


def test_a_row_of_other_shapes_is_predicted_as_by_hand(tmp_path, capsys) -> None:
    path = written(tmp_path, HEAD + GEMM + "NVIDIA H200,flash,x,m=1,cold,1e-6\n")
    main(["validate", "gpu", "--rows", str(path), "--json"])
    rows = json.loads(capsys.readouterr().out)
    case = named("gemm-wgmma", "128x128s6", {"m": 40, "n": 6144, "k": 4096})
    want = predict(case, load_gpu("h200-sxm"), efficiency=read_factors("h200-sxm")["gemm-wgmma"]).seconds
    first = next(row for row in rows if row["level"] == "calibrated")
    assert (first["reference"], first["ours"]) == (2e-5, want)
    assert first["error"] == want / 2e-5 - 1
    assert (first["group"], first["side"], first["quantity"]) == ("gemm-wgmma", "held-out", "latency_s")
    assert {row["level"] for row in rows if row["reference"]} == {"calibrated", "zero-fit", "roofline"}
    assert (rows[-1]["quantity"], rows[-1]["source"]) == ("not known", "line 3")
    assert "no kernel family of this name" in rows[-1]["note"]


def test_the_bars_are_of_rows_that_nothing_was_fitted_on(tmp_path) -> None:
    fit = split(captured("h200-sxm"))[0]
    known = next(row for row in fit if row.family == "gemm-wgmma")
    line = f"{known.device},{known.family},{known.variant},{known.sizes},{known.l2},{known.median_s * 3}\n"
    outcome = judge_file(written(tmp_path, HEAD + line))
    assert {row.side for row in outcome.rows} == {"fit"}
    assert not outcome.failed
    far = GEMM.replace("2e-05", "1")
    limits = [row for row in judge_file(written(tmp_path, HEAD + line + far)).rows if row.limit]
    assert [(row.quantity, row.limit, row.ok) for row in limits] == [
        ("mean error", 0.06, False), ("90th percentile", 0.14, False), ("largest error", 0.40, False),
    ]  # fmt: skip


def test_the_same_rows_on_another_device_are_another_prediction(tmp_path) -> None:
    h200 = judge_file(written(tmp_path, HEAD + DECODE)).rows[0].ours
    other = judge_file(written(tmp_path, HEAD + DECODE.replace("H200", "H100 80GB HBM3"))).rows[0].ours
    assert other / h200 == pytest.approx(4.37 / 3.07, rel=0.05)  # measured rates of their DRAM
    assert judge_file(written(tmp_path, HEAD + DECODE), "h100-sxm").rows[0].ours == other
    assert preset_of("NVIDIA A100") == ""


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a,b\n1,2\n", "must have the columns device, family, variant, sizes, median_s of a capture .* device is missing"),
        (HEAD, "has no row that can be judged; it has no row"),
        (HEAD + GEMM.replace("NVIDIA H200", "TITAN"), "line 2: device: no preset is of this GPU"),
        (HEAD + GEMM.replace("2e-05", "0"), r"rows\.csv:2 median_s: must be > 0 seconds"),
        (HEAD + GEMM.replace("2e-05", "fast"), r"rows\.csv:2 median_s: must be float"),
        (HEAD + GEMM.replace("cold", "hot"), r"rows\.csv:2 l2: must be cold or warm"),
        (HEAD + GEMM.replace("m=40", "m40"), r"rows\.csv:2 sizes: must be rank=size;rank=size"),
    ],
)  # fmt: skip
def test_a_file_that_is_no_capture_is_refused(tmp_path, text, message) -> None:
    with pytest.raises(SpecError, match=message):
        judge_file(written(tmp_path, text))


def test_the_command_line_says_where_a_file_goes(tmp_path, capsys) -> None:
    path = str(written(tmp_path, HEAD + GEMM.replace("2e-05", "1")))
    assert main(["validate", "gpu", "--rows", path]) == 1
    assert "3 bars, 3 not met" in capsys.readouterr().out
    assert main(["validate", "papers", "--rows", path]) == 2
    assert main(["validate", "gpu", "--rows", path, "--case", "gemm-f16"]) == 2
    assert main(["validate", "gpu", "--accel", "h200-sxm"]) == 2
    assert main(["validate", "gpu", "--rows", str(tmp_path / "none.csv")]) == 2
    assert main(["validate", "gpu", "--rows", path, "--accel", "h201-sxm"]) == 2
