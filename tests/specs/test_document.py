"""A document knows where each value stands."""

from __future__ import annotations

from einsim.specs.document import Document
from einsim.specs.errors import MISSING

DOCUMENT = Document(
    label="f.yaml",
    data={"a": {"b": [1, {"c": 2}]}},
    lines={(): 1, ("a",): 2, ("a", "b"): 3},
    flags={("a", "b", 1): "--set a.b.1"},
)


def test_the_nearest_line_above_counts():
    assert DOCUMENT.where(("a", "b", 0)) == "f.yaml:3"
    assert DOCUMENT.where(("a", "x", "y")) == "f.yaml:2"
    assert Document(label="f.yaml", data={}).where(("a",)) == "f.yaml"


def test_a_flag_hides_the_line():
    assert DOCUMENT.where(("a", "b", 1, "c")) == "--set a.b.1"


def test_values():
    assert DOCUMENT.value(("a", "b", 1, "c")) == 2
    assert DOCUMENT.value(("a", "b", 9)) is MISSING
    assert DOCUMENT.value(("a", "b", 0, "c")) is MISSING
    assert DOCUMENT.value(("x",)) is MISSING


def test_a_flag_names_its_path_once():
    assert str(DOCUMENT.error(("a", "b", 1), "wrong", root="accel")) == "--set a.b.1: wrong"
    assert (
        str(DOCUMENT.error(("a", "b", 1, "c"), "wrong", root="accel")) == "--set a.b.1 accel.a.b[1].c: wrong"
    )
    assert str(DOCUMENT.error(("a",), "wrong", root="accel")) == "f.yaml:2 accel.a: wrong"
