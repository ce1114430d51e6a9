"""Every figure of every preset has a source or is listed as assumed."""

from __future__ import annotations

from pathlib import Path

import pytest

import einsim.accel
from einsim.accel.load import load_machine, preset_names
from einsim.accel.provenance import check, figures, origin
from einsim.specs.errors import SpecError
from einsim.specs.loader import load_yaml, read_yaml

PRESETS = Path(einsim.accel.__file__).parent / "presets"


@pytest.mark.parametrize("name", preset_names())
def test_every_figure_of_a_preset_has_an_origin(name):
    machine = load_machine(name)
    written = figures(load_yaml(PRESETS / f"{name}.yaml").data)
    assert len(written) > 15
    assert [path for path in written if not origin(path, machine.sources, machine.assumed)] == []


@pytest.mark.parametrize("name", preset_names())
def test_every_source_says_how_sure_it_is(name):
    for path, source in load_machine(name).sources.items():
        assert source[:3] in {"[V]", "[S]", "[D]"}, path


@pytest.mark.parametrize("name", preset_names())
def test_composed_ops_are_listed_as_assumed(name):
    machine = load_machine(name)
    for unit in machine.vector_units:
        for op, cost in unit.ops.items():
            if cost.made_of is not None:
                paths = [path for path in (*machine.assumed, *machine.sources) if f".ops.{op}" in path]
                assert paths or origin(f"vector.ops.{op}", machine.sources, machine.assumed), op


def test_figures_are_the_leaves():
    assert figures({"family": "npu", "a": {"b": 1, "c": [1, 2]}, "sources": {"a": "x"}}) == ["a.b", "a.c"]


def test_the_nearest_citation_wins():
    sources, assumed = {"array": "paper", "array.ops.mul": "other"}, ("array.rows",)
    assert origin("array.cols", sources, assumed) == "paper"
    assert origin("array.ops.mul.energy", sources, assumed) == "other"
    assert origin("array.rows", sources, assumed) == "assumed"
    assert origin("clock", sources, assumed) == ""


def test_a_citation_of_nothing_is_refused():
    document = read_yaml("a: 1\nsources: {b: x}\n", "f.yaml")
    with pytest.raises(SpecError) as caught:
        check(document, {"b": "x"}, ())
    assert str(caught.value) == "f.yaml:2 accel.sources.b: no such path in this file (got 'b'); known: a"
