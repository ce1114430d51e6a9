"""One door for every workload: names, models and files; near names for what is unknown."""

from __future__ import annotations

import pytest

from einsim.specs.errors import SpecError
from einsim.workloads import library
from einsim.workloads.cascade import Cascade
from einsim.workloads.load import describe, load_workload, network_names, workload_names


@pytest.mark.parametrize(
    "name", [*sorted(set(workload_names()) - set(network_names())), "resnet-50", "bert-base-uncased"]
)
def test_every_name_loads_as_it_stands_and_says_what_it_is(name):
    assert isinstance(load_workload(name, {}), Cascade)
    summary, parameters = describe(name)
    assert summary
    assert all(parameter.summary for parameter in parameters)


def test_library_and_models_are_known_by_name():
    names = set(workload_names())
    assert set(library.names()) <= names
    assert {
        "attention",
        "attention-1pass",
        "ffn",
        "linear-training",
    } <= names
    assert {"bert-base", "t5", "trxl", "xlm", "llama2-7b"} <= names


def test_settings_are_text_as_typed():
    cascade = load_workload("attention", {"model": "bert", "seq": "64K", "passes": "1", "causal": "true"})
    assert cascade.size("m") == 65536
    assert cascade.name == "attention-1pass"
    assert len(cascade.bounds) == 1


@pytest.mark.parametrize(
    ("name", "given", "message"),
    [
        (
            "attenton", {},
            "workload: unknown workload 'attenton'; did you mean 'attention'? (or a .yaml file, a config.json or an .onnx file)",
        ),
        ("ffn", {"ss": "3"}, "ffn ss: unknown parameter; did you mean 's'?"),
        ("ffn", {"activation": "gelo"}, "ffn activation: unknown activation 'gelo'; did you mean 'gelu'?"),
        ("bert-base", {"passes": "one"}, "bert-base passes: unknown passes 'one'; known: 3, 2, 1"),
        ("nothing/here.yaml", {}, "nothing/here.yaml: no such file"),
        ("nothing/config.json", {}, "nothing/config.json: no such file"),
    ],
)  # fmt: skip
def test_what_is_unknown_is_told_with_what_is_near(name, given, message):
    with pytest.raises(SpecError) as error:
        load_workload(name, given)
    assert str(error.value) == message
