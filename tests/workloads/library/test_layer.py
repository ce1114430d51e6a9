"""The library's layers are those of the models that they name."""

from __future__ import annotations

import msgspec
import pytest

from einsim.specs.errors import SpecError
from einsim.workloads import library
from einsim.workloads.load import load_workload


@pytest.mark.parametrize(
    ("name", "model", "given"),
    [
        ("encoder-layer", "bert-base", {"seq": 64, "b": 2}),
        ("decoder-layer", "llama2-7b", {"seq": 64, "phase": "decode"}),
        ("decoder-layer", "mistral-7b", {"seq": "8K", "phase": "decode", "weights": 4, "group": 128}),
    ],
)
def test_a_layer_is_a_models_part(name: str, model: str, given: dict[str, object]) -> None:
    mine = library.build(name, model=model, **given)
    whole = load_workload(model, {**given, "part": "layer"})
    assert mine == msgspec.structs.replace(whole, name=name)


def test_a_setting_of_parts_is_none_of_a_layers() -> None:
    with pytest.raises(SpecError, match="layer: unknown parameter"):
        library.build("decoder-layer", layer=3)
