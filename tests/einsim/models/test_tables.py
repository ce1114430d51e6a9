"""A model's tables: text, CSV, JSON and the page say the same, and a kept result is read back whole."""

from __future__ import annotations

import csv
import json
import re

import pytest

from einsim.cli.main import main

CONFIG = {
    "model_type": "llama", "hidden_size": 32, "intermediate_size": 48, "num_attention_heads": 2,
    "num_hidden_layers": 2, "vocab_size": 64, "hidden_act": "silu",
}  # fmt: skip


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    (folder / "tiny.json").write_text(json.dumps(CONFIG))
    run = [
        "run",
        str(folder / "tiny.json"),
        "--accel",
        "sa8295p",
        "--level",
        "analytical",
        "--set",
        "seq=8",
        "decode=2",
    ]
    for name in ("kept.json", "parts.csv"):
        assert main([*run, "-o", str(folder / name)]) == 0
    return folder


def test_the_csv_has_a_line_a_part_and_adds_up(kept):
    whole = json.loads((kept / "kept.json").read_text())
    lines = list(csv.DictReader((kept / "parts.csv").read_text().splitlines()))
    assert [line["part"] for line in lines] == [line["part"] for line in whole["parts"]]
    for name in ("cycles", "dram_bytes", "macs"):
        assert sum(int(line[name]) for line in lines) == whole[name]
    assert sum(float(line["latency_s"]) for line in lines) == pytest.approx(whole["latency_s"])


def test_the_object_has_the_models_facts(kept):
    whole = json.loads((kept / "kept.json").read_text())
    facts = whole["model"]
    weights = 2 * 64 * 32 + 2 * (4 * 32 * 32 + 3 * 32 * 48 + 2 * 32) + 32
    assert (facts["parameters"], facts["active_parameters"], facts["layers"]) == (weights, weights, 2)
    assert (facts["weight_bytes"], facts["kv_bytes_per_token"], facts["state_bytes"]) == (
        2 * weights,
        2 * 2 * 64,
        0,
    )
    assert facts["fits"] is None
    assert facts["macs"] == whole["macs"] == sum(line["macs"] for line in whole["parts"])
    assert whole["part"] == "all"
    assert [moment["until_s"] for moment in whole["memory"]][-1] == pytest.approx(whole["latency_s"])


def test_a_kept_model_is_a_page_with_its_parts(kept, capsys):
    assert main(["report", str(kept / "kept.json"), "-o", str(kept / "page.html")]) == 0
    capsys.readouterr()
    page = (kept / "page.html").read_text()
    assert re.findall(r'<section id="(\w+)"', page)[:3] == ["summary", "parts", "memory"]
    assert page.count("layer 0-1") >= 4  # in the table, under the roof and over time
    assert 'class="parts sortable"' in page


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("phases", [{"phase": "x"}]), ("parts", 3), ("memory", [{"until_s": -1}]),
        ("phases", []), ("parts", []), ("memory", []),
    ],
)  # fmt: skip
def test_tables_that_are_none_are_refused(kept, capsys, name, value):
    whole = json.loads((kept / "kept.json").read_text())
    (kept / "broken.json").write_text(json.dumps({**whole, name: value}))
    assert main(["report", str(kept / "broken.json"), "-o", str(kept / "no.html")]) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert "is not a result of einsim" in err
