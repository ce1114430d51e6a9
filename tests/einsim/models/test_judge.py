"""A whole model is the sum of its parts, each as often as its phases take it."""

from __future__ import annotations

import json
import math

import pytest

from einsim.cli.main import main
from einsim.evaluation import evaluate
from einsim.models.judge import evaluate_model
from einsim.report.model_summary import told
from einsim.specs.errors import EinsimError, SpecError
from einsim.workloads.load import load_model, load_workload

CONFIG = {
    "model_type": "llama", "hidden_size": 64, "intermediate_size": 128, "num_attention_heads": 4,
    "num_key_value_heads": 2, "num_hidden_layers": 3, "vocab_size": 256, "hidden_act": "silu",
}  # fmt: skip
WINDOW = {**CONFIG, "model_type": "mistral", "sliding_window": 20}
MIXTURE = {**CONFIG, "model_type": "mixtral", "num_local_experts": 4, "num_experts_per_tok": 2}
ACCEL = "sa8295p"


def run(model, level="analytical", **settings):
    return evaluate_model(model, ACCEL, settings=settings, level=level)


def figures(result):
    return result.cycles, result.dram_bytes, result.macs, result.energy_stated_j


@pytest.mark.parametrize("level", ["analytical", pytest.param("sim", marks=pytest.mark.slow)])
def test_totals_are_the_sum_of_parts(file, level):
    found = run(file(CONFIG), level, seq=32, decode=8)
    total = found.total
    assert {row.part for row in found.rows} == {"embedding", "layer 0-2", "final-norm", "head"}
    assert total.cycles == sum(row.result.cycles for row in found.rows)
    assert total.dram_bytes == sum(row.result.dram_bytes for row in found.rows)
    assert total.latency_s == pytest.approx(sum(row.latency_s for row in found.part_lines()))
    assert sum(row.share for row in found.part_lines()) == pytest.approx(1)
    assert sum(total.traffic["dram"].values()) == total.dram_bytes
    assert math.fsum(total.energy_by.values()) == pytest.approx(
        math.fsum(row.result.energy_stated_j for row in found.rows)
    )
    for lost in total.breakdown_by_unit.values():
        assert sum(lost.values()) == total.cycles


def test_a_layer_counts_as_often_as_it_stands(file):
    path = file(CONFIG)
    one = evaluate(load_workload(path, {"seq": 32}), ACCEL, level="analytical").result
    row = next(row for row in run(path, seq=32, between="dram").rows if row.places)
    assert row.count == 3
    assert figures(row.result)[:3] == tuple(3 * each for each in figures(one)[:3])


@pytest.mark.parametrize("new", [5, pytest.param(48, marks=pytest.mark.slow)])
def test_growing_caches_equal_a_step_at_every_length(file, new):
    path = file(CONFIG)
    layer = {"phase": "decode", "part": "layer"}
    whole = run(path, seq=40, decode=new, **layer).total
    steps = [run(path, seq=40 + at, decode=1, **layer).total for at in range(new)]
    assert whole.macs == sum(step.macs for step in steps)
    assert whole.dram_bytes == sum(step.dram_bytes for step in steps)
    assert whole.latency_s == pytest.approx(sum(step.latency_s for step in steps), rel=2e-3)


def test_what_is_told_of_a_middle_is_of_time(file):
    found = run(file(CONFIG), phase="decode", part="layer", seq=40, decode=9)
    (row,) = found.rows
    first, middle, last = (
        sum(piece.count * piece.result.latency_s for piece in one.pieces) for one in row.judged
    )
    away = abs(middle - (first + last) / 2) / ((first + last) / 2)
    assert found.phases[0].deviation == pytest.approx(away, rel=1e-9)
    said = f"the time of a middle is at most {100 * away:.3f} % from the line between its ends"
    assert any(said in line for line in told(found.total, found.tables))


def test_a_window_bounds_what_a_decode_step_reads(file):
    path, layer = file(WINDOW), {"phase": "decode", "part": "layer"}
    full = run(path, seq=400, **layer).total.traffic["dram"]["K"]
    assert full == 3 * 2 * 16 * 20 * 2
    whole = run(path, seq=18, decode=30, **layer).total
    assert whole.traffic["dram"]["K"] == sum(full * min(18 + at, 20) // 20 for at in range(30))


def test_one_token_reads_the_experts_that_are_chosen_for_it(file):
    found = run(file(MIXTURE), seq=16, phase="decode")
    experts = next(row for row in found.rows if row.part.endswith("experts"))
    assert experts.result.traffic["dram"]["W2"] == 3 * 2 * 128 * 64 * 2


def test_requests_share_the_weights_of_a_step(file):
    path = file(CONFIG)
    layer = {"phase": "decode", "part": "layer"}
    both = run(path, seq=(32, 64), decode=1, **layer)
    assert both.phases[0].tokens == 2
    alone = [run(path, seq=seq, decode=1, **layer).total for seq in (32, 64)]
    step = both.total
    assert step.traffic["dram"]["W1"] == alone[0].traffic["dram"]["W1"]
    assert step.traffic["dram"]["K"] == sum(each.traffic["dram"]["K"] for each in alone)


def test_the_first_token_comes_when_the_prompt_is_read(file):
    found = run(file(CONFIG), seq=32, decode=4)
    prefill, decode = found.phases
    assert found.first_token_s == prefill.result.latency_s
    assert decode.tokens_per_s == pytest.approx(4 / decode.result.latency_s)
    assert run(file(CONFIG), seq=32, phase="decode").first_token_s is None


def test_part_and_layer_leave_only_that(file):
    path = file(MIXTURE)
    assert [row.part for row in run(path, seq=8, part="head").rows] == ["head"]
    names = ["layer 0-2", "layer 0-2 experts", "layer 0-2 combine"]
    assert [row.part for row in run(path, seq=8, layer=1).rows] == names
    assert [row.part for row in run(path, seq=8, part="experts").rows] == names[1:2]
    assert load_workload(path, {"seq": 8, "part": "experts"}).name == "mixtral layer 0-2 experts prefill"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"layer": 3}, "llama layer: must be one of the 3 layers, from 0 (got 3)"),
        ({"part": "haed"}, "llama: unknown part 'haed'; did you mean 'head'?"),
        ({"phase": "prefill", "decode": 4}, "llama decode: must be 0 with phase=prefill (got 4); leave phase out"),
        ({"p": 2}, "llama p: is for decode steps"),
        ({"phase": "decode", "p": 2, "decode": 3}, "llama decode: must be a multiple of p, the 2 tokens of a step"),
        ({"phase": "decode", "seq": 1, "p": 2}, "llama p: must be <= seq (1), which counts the new tokens too"),
    ],
)  # fmt: skip
def test_impossible_settings_are_told(file, settings, message):
    with pytest.raises(SpecError) as told:
        run(file(CONFIG), **{"seq": 32, **settings})
    assert message in str(told.value).replace(" part: ", ": ")


def test_dram_holds_weights_caches_and_activations(file):
    path, entry = file(CONFIG), 2 * 2 * 16 * 2  # keys and values of two heads of 16, two bytes each
    found = run(path, seq=32, decode=8)
    assert found.fits is None
    assert found.moments[0].weight_bytes == found.size.weight_bytes
    assert [moment.kept_bytes // entry for moment in found.moments] == [0, 96, 96, 96, 120, 120, 120, 120]
    assert found.moments[-1].until_s == pytest.approx(found.total.latency_s)
    most = found.peak.bytes
    assert most >= found.size.weight_bytes + 120 * entry
    for room, fits in ((most, True), (most - 1, False)):
        assert run(path, seq=32, decode=8, **{"dram.capacity": f"{int(room)}B"}).fits is fits


def test_requests_hold_a_cache_each(file):
    layer = {"phase": "decode", "part": "layer"}
    found = run(file(CONFIG), seq=(32, 64), **layer)
    assert found.moments[-1].kept_bytes == 3 * (32 + 64) * 2 * 2 * 16 * 2


@pytest.mark.parametrize(
    "settings",
    [
        {"seq": (48, 8)},
        pytest.param({"seq": 8}, marks=pytest.mark.slow),
        pytest.param({"seq": 8, "b": 3}, marks=pytest.mark.slow),
    ],
)
def test_a_prompt_shorter_than_a_group_is_read_all_the_same(file, settings):
    """Of Q's and K's inputs the sums of groups had one name, and a phase that failed was left out in silence."""
    found = run(file(CONFIG), decode=2, weights=4, group=32, **settings)
    assert [one.phase for one in found.phases] == ["prefill", "decode"]
    assert found.first_token_s == found.phases[0].result.latency_s
    assert found.total.cycles > found.phases[1].result.cycles


def test_narrow_weights_take_less_time_where_dram_sets_the_pace(file):
    path, layer = file(CONFIG), {"phase": "decode", "part": "layer", "seq": 4}
    wide, narrow = run(path, **layer), run(path, weights=4, group=32, **layer)
    matrices = 64 * 64 * 2 + 64 * 32 * 2 + 3 * 64 * 128
    saved = 3 * (matrices * (16 - 4 - 20 / 32) - 64 * 64 * (20 / 16 - 20 / 32)) / 8  # WO: within heads of 16
    assert wide.size.weight_bytes - narrow.size.weight_bytes == pytest.approx(
        saved + 256 * 64 * (12 - 20 / 32) / 8
    )
    read = [sum(one.total.traffic["dram"].get(name, 0) for name in ("W1", "W2", "WG", "SCW1", "SCW2", "SCWG",
            "ZPW1", "ZPW2", "ZPWG")) for one in (wide, narrow)]  # fmt: skip
    assert read == [3 * 3 * 64 * 128 * 2, 3 * 3 * 64 * 128 * (4 + 20 / 32) / 8]


def test_a_machine_that_lacks_an_op_says_in_which_part(file):
    with pytest.raises(EinsimError, match=r"layer 0-2: gemmini: no unit can compute"):
        evaluate_model(file(CONFIG), "gemmini", settings={"seq": 32}, level="analytical")


def test_an_encoder_has_no_decode_step():
    assert load_model("attention") is None
    with pytest.raises(SpecError, match="a bidirectional model has no decode step"):
        run("bert-base", phase="decode", seq=16, b=1)


def test_the_time_from_token_to_token_grows_with_the_cache(file):
    path = file(CONFIG)
    found = run(path, seq=40, decode=9, between="dram").phases[-1]
    first, last = (run(path, seq=40 + at, decode=1, between="dram").phases[-1].result for at in (0, 8))
    assert (found.first_step_s, found.last_step_s) == (first.latency_s, last.latency_s)
    assert found.first_step_s <= found.mean_step_s <= found.last_step_s
    assert found.mean_step_s * 9 == pytest.approx(found.result.latency_s)


def test_a_model_larger_than_dram_is_judged_and_does_not_fit():
    """8 GiB of a TPU v4i hold neither the weights of LLaMA-3-8B nor, in one layer, those of many tokens."""
    eight = {"accel.dram.capacity": "8GiB"}
    found = evaluate_model(
        "llama3-8b",
        "tpu-v4i",
        level="analytical",
        settings={"seq": 8192, "b": 64, "phase": "prefill", **eight},
    )
    assert found.fits is False
    assert found.capacity_bytes == 8 * 2**30
    assert evaluate("llama3-8b", "tpu-v4i", level="analytical", settings={"seq": 64, **eight}).result.cycles


def test_one_part_says_which_model_it_is_of(capsys):
    words = [
        "run",
        "bert-base",
        "--set",
        "part=layer",
        "seq=16",
        "--accel",
        "sa8295p",
        "--level",
        "analytical",
    ]
    assert main([*words, "--json"]) == 0
    model = json.loads(capsys.readouterr().out)["model"]
    assert (model["name"], model["part"], model["layers"], model["batch"]) == ("bert-base", "layer", 12, 64)
    assert model["parameters"] == 109_482_240
    assert main(["run", "bert-base", "--set", "seq=16", "--accel", "sa8295p", "--level", "analytical"]) == 0
    assert "12 layers, batch of 64\n" in capsys.readouterr().out
