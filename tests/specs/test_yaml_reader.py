"""YAML is read safely: plain data with lines, everything else refused in one line."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from einsim.specs.errors import SpecError
from einsim.specs.yaml_reader import LARGEST_BYTES, load_yaml, read_value, read_yaml

_BOMB = "a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"a{n}: &a{n} [{','.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 12)
)


def test_lines_of_every_path():
    document = read_yaml("array:\n  rows: 1\n\nunits:\n  - {a: 1}\n  - a: 2\n    b: 3\n", "f.yaml")
    assert document.where(("array",)) == "f.yaml:1"
    assert document.where(("array", "rows")) == "f.yaml:2"
    assert document.where(("units", 0, "a")) == "f.yaml:5"
    assert document.where(("units", 1, "b")) == "f.yaml:7"
    assert document.where(("units", 1, "missing")) == "f.yaml:6"


def test_scalars_follow_yaml_1_2():
    text = "a: no\nb: 1e9\nc: 0x10\nd: ~\ne: true\nf: '1'\ng: 2001-01-01\nh: 1:30\ni: 0o17\nj: .5\n7: k\n"
    assert read_yaml(text, "f").data == {
        "a": "no", "b": 1e9, "c": 16, "d": None, "e": True, "f": "1", "g": "2001-01-01", "h": "1:30",
        "i": 15, "j": 0.5, "7": "k",
    }  # fmt: skip


def test_an_alias_gives_the_anchored_value():
    assert read_yaml("a: &x {k: 1}\nb: *x\n", "f").data == {"a": {"k": 1}, "b": {"k": 1}}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "f.yaml: is empty"),
        ("# nothing\n---\n", "f.yaml: is empty"),
        ("null", "f.yaml:1: must be a mapping at its root (got null)"),
        ("--- ~ # none", "f.yaml:1: must be a mapping at its root (got null)"),
        ("- 1\n", "f.yaml:1: must be a mapping at its root (got [1])"),
        ("3", "f.yaml:1: must be a mapping at its root (got 3)"),
        ("a: 1\nb: 2\na: 3\n", "f.yaml:3 a: key stands twice (first on line 1)"),
        ("x:\n  a: 1\n  a: 3\n", "f.yaml:3 x.a: key stands twice (first on line 2)"),
        (
            "a: !!python/object:x y",
            "f.yaml:1 a: YAML tags are not allowed ('tag:yaml.org,2002:python/object:x')",
        ),
        ("a: !mine x", "f.yaml:1 a: YAML tags are not allowed ('!mine')"),
        ("a: !!int 3", "f.yaml:1 a: YAML tags are not allowed ('tag:yaml.org,2002:int')"),
        ("!!str a: 3", "f.yaml:1: a key must be plain text"),
        ("a: &x [*x]", "f.yaml:1 a[0]: alias '*x' stands inside its own anchor"),
        ("a: *x", "f.yaml:1 a: alias '*x' has no anchor before it"),
        ("{[1]: 2}", "f.yaml:1: a key must be plain text"),
        ("a: 1\n---\nb: 2\n", "f.yaml:2: holds a second document; one is allowed"),
        ("a: .inf", "f.yaml:1 a: must be a finite number (got .inf)"),
        ("a: 1e999", "f.yaml:1 a: must be a finite number (got 1e999)"),
        ("a: " + "9" * 5000, "f.yaml:1 a: number of 5000 characters is too long"),
        ("a: 1\nb: [\n", "f.yaml:3: is not valid YAML: expected the node content, but found '<stream end>'"),
        ("a: b: c", "f.yaml:1: is not valid YAML: mapping values are not allowed here"),
        ("a: 1\n\x00", "f.yaml:2: is not text (character code 0)"),
        (_BOMB, "f.yaml:5: holds more than 100000 values, aliases expanded"),
        ("[" * 5000, "f.yaml:1: is nested deeper than 32 levels"),
        ("a: " + "{a: " * 5000, "f.yaml:1: is nested deeper than 32 levels"),
    ],
)
def test_whole_messages(text, message):
    began = time.perf_counter()
    with pytest.raises(SpecError) as caught:
        read_yaml(text, "f.yaml")
    assert str(caught.value) == message
    assert time.perf_counter() - began < 5


@pytest.mark.parametrize(
    ("raw", "rule"),
    [
        (b"\xff\xfe\x00a", "is not UTF-8 text (byte 0)"),
        (b"\x7fELF\x02\x01\x01\x00", "is not text (character code 127)"),
        (b"a: 1\n" * (LARGEST_BYTES // 4), f"is larger than {LARGEST_BYTES} bytes"),
    ],
)
def test_binary_and_huge_files(tmp_path, raw, rule):
    file = tmp_path / "x.yaml"
    file.write_bytes(raw)
    with pytest.raises(SpecError) as caught:
        load_yaml(file, "x.yaml")
    assert rule in str(caught.value)
    assert str(caught.value).startswith("x.yaml")


def test_missing_file_and_folder(tmp_path):
    with pytest.raises(SpecError, match=r"gone\.yaml: no such file$"):
        load_yaml(tmp_path / "gone.yaml")
    with pytest.raises(SpecError, match="cannot be read"):
        load_yaml(tmp_path)


def test_a_byte_order_mark_is_no_fault(tmp_path):
    file = tmp_path / "x.yaml"
    file.write_bytes(b"\xef\xbb\xbfa: 1\n")
    assert load_yaml(file).data == {"a": 1}


@given(st.text(alphabet=st.sampled_from("ab:-[]{}&*!#'\"\n ,?|>%@`0.~"), max_size=60))
def test_any_text_is_data_or_one_error(text):
    try:
        outcome = read_yaml(text, "f.yaml").data
    except SpecError as error:
        outcome = str(error)
    assert isinstance(outcome, dict) or outcome.startswith("f.yaml")


@given(
    st.one_of(st.integers(-(10**30), 10**30), st.floats(allow_nan=False, allow_infinity=False), st.booleans())
)
def test_a_value_reads_as_it_prints(value):
    text = str(value).lower() if isinstance(value, bool) else repr(value)
    assert read_value(text, "--set a") == value
