"""A model's tables: text, CSV, JSON and the page say the same, and a kept result is read back whole."""

from __future__ import annotations

import csv
import html
import json
import re

import pytest

from einsim.cli.main import main
from einsim.report.quantity import seconds

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


def rows(path, kind):
    """The lines of a CSV that are of this kind."""
    return [line for line in csv.DictReader(path.read_text().splitlines()) if line["row"] == kind]


def test_the_csv_has_a_line_a_part_and_adds_up(kept):
    whole = json.loads((kept / "kept.json").read_text())
    parts, phases, (every,) = (rows(kept / "parts.csv", kind) for kind in ("part", "phase", "all"))
    assert [line["part"] for line in parts] == [line["part"] for line in whole["parts"]]
    assert [line["phase"] for line in phases] == ["prefill", "decode"]
    for lines in (parts, phases, [every]):
        for name in ("cycles", "dram_bytes", "macs", "saved_bytes"):
            assert sum(int(line[name]) for line in lines) == whole.get(
                name, whole["model"].get(f"stays_{name}")
            )
        for name, figure in (("latency_s", whole["latency_s"]), ("share", 1)):
            assert sum(float(line[name]) for line in lines) == pytest.approx(figure)
    for line, phase in zip(phases, whole["phases"], strict=True):
        inside = [part for part in parts if part["phase"] == line["phase"]]
        assert int(line["cycles"]) == sum(int(part["cycles"]) for part in inside)
        assert float(line["tokens_per_s"]) == pytest.approx(phase["tokens_per_s"])
    for line, part in zip(parts, whole["parts"], strict=True):
        assert part["utilization"][line["busiest"]] == float(line["utilization"])


def test_the_last_line_of_the_csv_has_the_models_facts(kept):
    facts, (every,) = json.loads((kept / "kept.json").read_text())["model"], rows(kept / "parts.csv", "all")
    for name in ("parameters", "weight_bytes", "kv_bytes_per_token", "peak_bytes", "time_to_first_token_s"):
        assert float(every[name]) == pytest.approx(facts[name])
    assert (every["fits"], every["dram_capacity_bytes"]) == ("", "")  # its DRAM's capacity isn't stated
    assert "assumed, no published figure" in every["notes"] or "none stay on chip" in every["notes"]


def shown(page):
    """The page's text, a list of cells a row of a table."""
    found = [re.findall(r"<td>(.*?)</td>", row) for row in re.findall(r"<tr>(.*?)</tr>", page)]
    return [[html.unescape(re.sub("<[^>]+>", "", cell)) for cell in row] for row in found if row]


@pytest.mark.parametrize(("capacity", "answer"), [("8GiB", "yes, in 8.00 GiB"), ("16KiB", "no, in 16.0 KiB")])
def test_text_csv_and_page_say_whether_it_fits(kept, capsys, capacity, answer):
    model = [
        str(kept / "tiny.json"),
        "--accel",
        "tpu-v4i",
        "--level",
        "analytical",
        "--set",
        "seq=8",
        "decode=2",
    ]
    model.append(f"accel.dram.capacity={capacity}")
    assert main(["run", *model, "-o", str(kept / f"{capacity}.csv")]) == 0
    told = capsys.readouterr().out.splitlines()
    assert main(["report", *model, "-o", str(kept / f"{capacity}.html")]) == 0
    page = (kept / f"{capacity}.html").read_text()
    summary = {row[0]: row[1] for row in shown(page) if len(row) == 2}
    (every,) = rows(kept / f"{capacity}.csv", "all")
    assert f"does it fit: {answer}" in told
    assert f"DRAM holds {summary['DRAM holds']}" in told
    assert f"time to first token: {summary['Time to first token']}" in told
    assert f"time from token to token: {summary['From token to token']}" in told
    assert summary["Does it fit"] == answer
    assert every["fits"] == str(answer.startswith("yes")).lower()
    weights = 2 * 64 * 32 + 2 * (4 * 32 * 32 + 3 * 32 * 48 + 2 * 32) + 32
    assert (summary["Parameters"], summary["Layers"], int(every["parameters"])) == ("21.7 k", "2", weights)
    assert summary["Weights"] == "42.3 KiB"
    assert {
        "Tokens/s, prefill",
        "Energy/token, prefill",
        "Tokens/s, decode",
        "Energy/token, decode",
    } <= summary.keys()
    notes = [html.unescape(note) for note in re.findall("<li>(.*?)</li>", page)]
    assert notes == told[-len(notes) :]
    assert "; ".join(notes) == every["notes"]


def test_the_page_names_the_busiest_unit_and_ends_in_the_sum(kept, capsys):
    assert main(["report", str(kept / "kept.json"), "-o", str(kept / "sum.html")]) == 0
    capsys.readouterr()
    whole, page = json.loads((kept / "kept.json").read_text()), (kept / "sum.html").read_text()
    lines = [row for row in shown(page) if len(row) == 11]
    assert [line[1] for line in lines] == [*(part["part"] for part in whole["parts"]), "all"]
    for line, part in zip(lines[:-1], whole["parts"], strict=True):
        assert line[8].split()[0] == max(part["utilization"], key=part["utilization"].__getitem__)
    assert lines[-1][3:5] == [seconds(whole["latency_s"]), "100 %"]
    assert re.search("<tfoot><tr><td><b></b></td><td><b>all</b>", page)  # a sort leaves it below


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
    assert re.findall(r'<section id="(\w+)"', page)[:4] == ["summary", "model", "parts", "memory"]
    assert page.count("layer 0-1") >= 4  # in the table, under the roof and over time
    assert 'class="parts sortable"' in page


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("phases", [{"phase": "x"}]), ("parts", 3), ("memory", [{"until_s": -1}]),
        ("phases", []), ("parts", []), ("memory", []), ("model", {"name": "x"}), ("model", 3),
    ],
)  # fmt: skip
def test_tables_that_are_none_are_refused(kept, capsys, name, value):
    whole = json.loads((kept / "kept.json").read_text())
    (kept / "broken.json").write_text(json.dumps({**whole, name: value}))
    assert main(["report", str(kept / "broken.json"), "-o", str(kept / "no.html")]) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert "is not a result of einsim" in err
