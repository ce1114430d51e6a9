"""A network as a model: what its settings mean for what is stored and read."""

from __future__ import annotations

import json

import pytest

from einsim.workloads.models import roles
from einsim.workloads.models.configs import read_network
from einsim.workloads.models.language import NetworkModel
from einsim.workloads.settings import read_settings
from tests.workloads.models.published import CONFIGS

AWQ = {"quantization_config": {"quant_method": "awq", "bits": 4, "group_size": 64}}
FP8 = {"quantization_config": {"quant_method": "fp8", "weight_block_size": [128, 128]}}
ROWS = {"TOK", "POS", "TYP"}


def model(tmp_path, name, **changes):
    path = tmp_path / "config.json"
    path.write_text(json.dumps({**CONFIGS[name], **changes}))
    return NetworkModel(network=read_network(path))


def decoding(found, settings):
    """Parts of a decode step, and what the model weighs."""
    read = read_settings(found.parameters, {"phase": "decode", "seq": 16, **settings}, found.name)
    (phase,) = found.phases(read)
    return phase.parts(15, {}), found.size(read).weight_bytes


@pytest.mark.parametrize("name", ["llama-3.2-1b", "gpt2", "gemma-2-2b", "lfm2-1.2b", "llama-3-8b"])
@pytest.mark.parametrize(
    ("settings", "changes"),
    [
        ({}, {}), ({"weights": 4}, {}), ({"weights": 4, "group": 64}, {}), ({"weights": 8, "bits": 32}, {}),
        ({}, AWQ), ({}, FP8), ({"weights": 3}, AWQ),
    ],
)  # fmt: skip
def test_what_is_stored_is_what_a_step_reads(tmp_path, name, settings, changes):
    """Every weight once, scales and zero points with them; of tables, rows; of a tied table all, as the head."""
    parts, stored = decoding(model(tmp_path, name, **changes), settings)
    wide = settings.get("bits", 16)
    read = sum(
        part.count * part.cascade.elements(each) * part.cascade.tensor(each).bits
        for part in parts for each in roles.weights(part.cascade)
        if each not in ROWS and not (part.name == "head" and part.whole)
    )  # fmt: skip
    tables = sum(parts[0].whole.values()) * wide
    assert (read + tables) / 8 == stored
    (head,) = (part for part in parts if part.name == "head")
    if head.whole:
        assert (head.cascade.tensor("WH").bits, "SCWH" in str(head.cascade)) == (wide, False)
        assert head.cascade.elements("WH") == parts[0].whole["TOK"]


def test_a_tied_head_of_four_bit_weights_by_hand(tmp_path):
    """LLaMA-3.2-1B: 16 layers of 4-bit matrices, gains and the table of 128,256 words in 16 bits."""
    layer = 2048 * (2 * 2048 + 2 * 512 + 3 * 8192)
    table, gains = 128256 * 2048, 33 * 2048
    parts, stored = decoding(model(tmp_path, "llama-3.2-1b"), {"weights": 4})
    assert stored == 16 * layer / 2 + 2 * (table + gains) == 1_012_011_008
    assert parts[-1].cascade.tensor("WH").bits * table / 8 == 525_336_576


def test_a_router_of_deepseek_v3_is_read_in_16_bits(tmp_path):
    parts, _ = decoding(model(tmp_path, "deepseek-v3"), {})
    (layer,) = (part.cascade for part in parts if part.name == "layer 3-60")
    (experts,) = (part.cascade for part in parts if part.name == "layer 3-60 experts")
    assert {name: layer.tensor(name).bits for name in ("WR", "W1", "BC")} == {"WR": 16, "W1": 8, "BC": 16}
    assert experts.tensor("W1").bits == 8
    given, _ = decoding(model(tmp_path, "deepseek-v3"), {"weights": 4})
    assert next(part.cascade for part in given if part.name == "layer 3-60").tensor("WR").bits == 4
