"""What stays on chip between parts never makes a model slower or hungrier, and is named."""

from __future__ import annotations

import csv
import io
import json

import pytest
from click.testing import CliRunner

from einsim.cli.main import cli
from einsim.models.between import passing
from einsim.models.judge import Judge, evaluate_model
from einsim.report.parts import part_csv
from einsim.workloads.load import load_model
from einsim.workloads.models.flow import layers_flow
from einsim.workloads.settings import read_settings
from tests.einsim.models.test_judge import CONFIG, MIXTURE

T5 = {
    "model_type": "t5", "d_model": 64, "d_kv": 16, "d_ff": 128, "num_heads": 4, "num_layers": 3,
    "vocab_size": 256,
}  # fmt: skip


def both(model, accel, level="analytical", **settings):
    return [
        evaluate_model(model, accel, level=level, settings={**settings, "between": between})
        for between in ("dram", "chip")
    ]


def law(model, accel, level="analytical", **settings):
    """The law, part by part; gives the bytes that are saved."""
    dram, chip = both(model, accel, level, **settings)
    assert chip.total.latency_s <= dram.total.latency_s * (1 + 1e-12)
    assert chip.total.energy_stated_j <= dram.total.energy_stated_j * (1 + 1e-12)
    assert chip.total.macs == dram.total.macs
    saved = 0
    for before, after in zip(dram.part_lines(), chip.part_lines(), strict=True):
        assert not before.stays
        assert before.saved_bytes == 0
        assert after.dram_bytes == before.dram_bytes - after.saved_bytes
        saved += after.saved_bytes
    assert chip.facts().stays_saved_bytes == saved
    return saved


@pytest.mark.parametrize(
    "accel",
    [
        "sa8295p",
        "vcu1525-sat",
        *(pytest.param(name, marks=pytest.mark.slow) for name in ("tpu-v4i", "flat-edge", "eyeriss-like")),
    ],
)
def test_it_is_never_slower_or_hungrier(file, accel):
    config = MIXTURE if accel == "sa8295p" else T5 if accel == "flat-edge" else CONFIG
    assert law(file(config), accel, seq=24, **({"decode": 4} if accel == "sa8295p" else {})) > 0


def test_it_is_never_slower_or_hungrier_as_simulated():
    assert law("mobilenet-v1", "sa8295p", "sim", image=64) > 0


def test_with_room_for_all_only_what_is_stored_moves(file):
    """Of equal layers the first, the inner and the last are told apart where an end passes through DRAM."""
    dram, chip = both(file(CONFIG), "tpu-v4i", seq=24)
    layer = next(line for line in chip.part_lines() if line.part == "layer 0-2")
    assert {(one.tensor, one.memory, one.count) for one in layer.stays} == {("X", "gb", 3), ("Y", "gb", 3)}
    moved = chip.total.traffic["dram"]
    assert "X" not in moved
    row = next(row for row in dram.rows if row.part == "layer 0-2")
    assert layer.saved_bytes == row.result.traffic["dram"]["X"] + row.result.traffic["dram"]["Y"]


def test_a_skip_connection_takes_room_while_others_run():
    """ResNet's blocks: the sum's input stays over two convolutions, in a buffer that has just room for it."""
    model = load_model("resnet-18")
    settings = read_settings(model.parameters, {"image": 64}, model.name)
    phase = model.phases(settings)[0]
    parts = phase.parts(1, {})
    judge = Judge(model, {"image": 64}, _sa8295p(), "template", "analytical", "normal", long=False)
    pieces = phase.flow(parts)
    mapped = judge.mapped(phase, 1)
    every = passing(pieces, mapped)
    skipped = [one for one in every if max(one.ends) - min(one.ends) > 1]
    assert len(skipped) == 8
    rows = judge.pieces(phase, 1, whole=True)
    assert sum(piece.count for row in rows for piece in row) == len(pieces)


def _sa8295p():
    from einsim.accel.load import load_machine

    return load_machine("sa8295p")


def test_what_leaves_the_model_or_comes_into_it_is_in_dram():
    """A classifier's result, an encoder's tokens beside a pooler, caches: no piece passes them on."""
    model = load_model("bert-base")
    phase = model.phases(read_settings(model.parameters, {"b": 1, "seq": 16}, model.name))[0]
    parts = phase.parts(16, {})
    pieces = layers_flow(parts)
    assert [parts[piece.part].name for piece in pieces][:2] == ["embedding", "layer 0-11"]
    read = {value for piece in pieces for values in piece.takes.values() for value in values}
    last = next(piece for piece in reversed(pieces) if piece.makes and parts[piece.part].places)
    assert set(last.makes.values()).isdisjoint(read)
    net = load_model("mobilenet-v1")
    flow = net.phases(read_settings(net.parameters, {}, net.name))[0].flow(())
    assert flow[0].takes == {"I": (-1,)}
    assert set(flow[-1].makes.values()) == {-1}


def test_a_part_alone_finds_everything_in_dram(file):
    found = evaluate_model(file(CONFIG), "tpu-v4i", level="analytical", settings={"seq": 24, "part": "head"})
    assert not any(line.stays for line in found.part_lines())


def test_text_and_tables_name_what_stays(file):
    path = file(CONFIG)
    words = ["run", path, "--set", "seq=24", "--accel", "tpu-v4i", "--level", "analytical"]
    done = CliRunner().invoke(cli, words, catch_exceptions=False)
    assert "what stays on chip between parts is named in the table:" in done.stdout
    assert "X Y in gb" in done.stdout
    off = CliRunner().invoke(cli, [*words, "--set", "between=dram"], catch_exceptions=False)
    assert "none stay on chip between" in off.stdout
    data = json.loads(CliRunner().invoke(cli, [*words, "--json"], catch_exceptions=False).stdout)
    layer = next(part for part in data["parts"] if part["part"] == "layer 0-2")
    assert layer["stays"] == [
        {"tensor": "X", "memory": "gb", "count": 3}, {"tensor": "Y", "memory": "gb", "count": 3}
    ]  # fmt: skip
    found = evaluate_model(path, "tpu-v4i", level="analytical", settings={"seq": 24})
    rows = list(csv.DictReader(io.StringIO(part_csv(found))))
    assert [row["stays"] for row in rows if row["part"] == "layer 0-2"] == ["X Y in gb"]
