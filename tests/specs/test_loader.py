"""Every fault in a specification is told with file, line, path, rule, value and hint."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
import pytest

from einsim.specs.errors import RuleError, SpecError
from einsim.specs.loader import decode, override, read_yaml
from einsim.specs.units import Bytes, Hertz


class Part(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    rows: Annotated[int, msgspec.Meta(ge=1, le=65536)]
    cols: int = 2
    kind: Literal["array", "vector"] = "array"
    share: float = 1.0

    def __post_init__(self) -> None:
        if self.rows == 13:
            raise RuleError("must not be 13", got=self.rows, at=("rows",))


class Spec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    array: Part
    buffer: Bytes
    clock: Hertz | None = None
    units: dict[str, Part] = {}
    list: tuple[Part, ...] = ()
    pair: tuple[int, int] = (1, 2)
    deep: dict[str, dict[str, Part]] = {}
    names: Annotated[tuple[str, ...], msgspec.Meta(max_length=2)] = ()


BYTE_UNITS = " known: B, KB, MB, GB, TB, PB, KiB, MiB, GiB, TiB, PiB, kB"
GOOD = "array:\n  rows: 3\nbuffer: 16MiB\n"


def spec(text):
    return decode(read_yaml(text, "f.yaml"), Spec)


def test_good():
    found = spec(GOOD + "clock: 940MHz\n")
    assert found.array.rows == 3
    assert found.buffer == 16 * 2**20
    assert found.clock == 940e6


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("array:\n  rows: 0\nbuffer: 1", "f.yaml:2 accel.array.rows: must be >= 1 (got 0)"),
        ("array:\n  rows: 70000\nbuffer: 1", "f.yaml:2 accel.array.rows: must be <= 65536 (got 70000)"),
        ("array:\n  rows: '3'\nbuffer: 1", "f.yaml:2 accel.array.rows: must be an integer (got '3')"),
        ("array:\n  rows: 3.5\nbuffer: 1", "f.yaml:2 accel.array.rows: must be an integer (got 3.5)"),
        ("array:\n  rows: true\nbuffer: 1", "f.yaml:2 accel.array.rows: must be an integer (got true)"),
        ("array:\n  rows:\nbuffer: 1", "f.yaml:2 accel.array.rows: must be an integer (got null)"),
        ("array:\n  rows: 13\nbuffer: 1", "f.yaml:2 accel.array.rows: must not be 13 (got 13)"),
        ("array:\n  rws: 3\nbuffer: 1", "f.yaml:2 accel.array.rws: unknown key; did you mean 'rows'?"),
        ("array:\n  cols: 3\nbuffer: 1", "f.yaml:1 accel.array: missing key 'rows'"),
        ("array: 4\nbuffer: 1", "f.yaml:1 accel.array: must be a mapping (got 4)"),
        ("array: {rows: 1}", "f.yaml:1 accel: missing key 'buffer'"),
        ("array: {rows: 1}\nbufer: 1", "f.yaml:2 accel.bufer: unknown key; did you mean 'buffer'?"),
        ("array: {rows: 1}\nbuffer: -1", "f.yaml:2 accel.buffer: must be >= 1 bytes (got -1)"),
        (
            "array: {rows: 1}\nbuffer: 16 tons",
            "f.yaml:2 accel.buffer: unit 'tons' is not one of bytes (got '16 tons');" + BYTE_UNITS,
        ),
        (
            GOOD + "clock: [1]",
            "f.yaml:4 accel.clock: must be a number of Hz or text such as '940MHz' (got [1])",
        ),
        (
            GOOD + "units:\n  a: {rows: 1}\n  b: {rows: 0}",
            "f.yaml:6 accel.units.b.rows: must be >= 1 (got 0)",
        ),
        (
            GOOD + "units:\n  a: {rows: 1}\n  b: {rows: 13}",
            "f.yaml:6 accel.units.b.rows: must not be 13 (got 13)",
        ),
        (
            GOOD + "units:\n  a: {rows: 1}\n  b: {rows: 1, clos: 1}",
            "f.yaml:6 accel.units.b.clos: unknown key; did you mean 'cols'?",
        ),
        (GOOD + "units: [1]", "f.yaml:4 accel.units: must be a mapping (got [1])"),
        (
            GOOD + "deep:\n  x:\n    y: {rows: 1}\n  z:\n    w: {rows: 1, kind: vectr}",
            "f.yaml:8 accel.deep.z.w.kind: unknown value (got 'vectr'); did you mean 'vector'?",
        ),
        (
            GOOD + "list:\n  - {rows: 1}\n  - {rows: 1, share: much}",
            "f.yaml:6 accel.list[1].share: must be a number (got 'much')",
        ),
        (GOOD + "list: {}", "f.yaml:4 accel.list: must be a list (got {})"),
        (GOOD + "pair: [1]", "f.yaml:4 accel.pair: must have length 2 (got [1])"),
        (GOOD + "names: [a, b, c]", "f.yaml:4 accel.names: must have length <= 2 (got ['a', 'b', 'c'])"),
        (GOOD + "names: [a, 3]", "f.yaml:4 accel.names[1]: must be text (got 3)"),
    ],
)
def test_whole_messages(text, message):
    with pytest.raises(SpecError) as caught:
        spec(text)
    assert str(caught.value) == message


def test_an_override_is_as_if_written():
    document = override(read_yaml(GOOD, "f.yaml"), "array.rows", "128")
    assert decode(document, Spec) == spec(GOOD.replace("3", "128"))
    assert decode(override(document, "buffer", "2KiB"), Spec).buffer == 2048
    assert decode(override(document, "units.new", "{rows: 5}"), Spec).units["new"].rows == 5


def test_an_override_leaves_the_original_alone():
    document = read_yaml(GOOD, "f.yaml")
    override(document, "array.rows", "128")
    assert document.data["array"]["rows"] == 3


def test_an_override_inside_a_list():
    document = read_yaml(GOOD + "list: [{rows: 1}]\n", "f.yaml")
    assert decode(override(document, "list.0.rows", "9"), Spec).list[0].rows == 9


@pytest.mark.parametrize(
    ("key", "text", "message"),
    [
        ("array.rows", "0", "--set array.rows: must be >= 1 (got 0)"),
        ("array.rows", "many", "--set array.rows: must be an integer (got 'many')"),
        ("array.rows", "", "--set array.rows: must be an integer (got null)"),
        (
            "array.rows",
            "[",
            "--set array.rows: is not valid YAML: expected the node content, but found '<stream end>'",
        ),
        ("array.rows", "!!int 3", "--set array.rows: YAML tags are not allowed ('tag:yaml.org,2002:int')"),
        ("array.rws", "3", "--set array.rws: unknown key; did you mean 'rows'?"),
        ("aray.rows", "3", "--set aray.rows: unknown key; did you mean 'array'?"),
        (
            "array.rows.x",
            "3",
            "--set array.rows.x: 'array.rows' is a single value, nothing can be set inside it",
        ),
        ("array", "{rows: 0}", "--set array accel.array.rows: must be >= 1 (got 0)"),
        (
            "buffer",
            "16MB/s",
            "--set buffer: unit 'MB/s' is not one of bytes (got '16MB/s'); did you mean 'MB'?",
        ),
        ("list.1.rows", "3", "--set list.1.rows: 'list' is a list; give an index below 1 (got '1')"),
        ("", "3", "--set: must be a dotted path such as array.rows"),
        ("array..rows", "3", "--set array..rows: must be a dotted path such as array.rows"),
    ],
)
def test_override_messages(key, text, message):
    with pytest.raises(SpecError) as caught:
        decode(override(read_yaml(GOOD + "list: [{rows: 1}]\n", "f.yaml"), key, text), Spec)
    assert str(caught.value) == message
