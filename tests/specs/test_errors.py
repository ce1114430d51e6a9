"""Errors are one line, with place, rule, value and hint."""

from __future__ import annotations

import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from einsim.specs.errors import MISSING, EinsimError, RuleError, SpecError, below, dotted


def test_whole_message_in_order():
    error = SpecError(
        "accel.array.rows", "must be >= 1", got=0, where="a.yaml:12", hint="did you mean 'cols'?"
    )
    assert str(error) == "a.yaml:12 accel.array.rows: must be >= 1 (got 0); did you mean 'cols'?"


def test_empty_parts_are_left_out():
    assert str(SpecError("", "is empty", where="a.yaml")) == "a.yaml: is empty"
    assert str(SpecError("accel", "is unknown")) == "accel: is unknown"
    assert str(SpecError("", "is unknown")) == "is unknown"


@pytest.mark.parametrize(
    ("value", "shown"),
    [(None, "null"), (True, "true"), (False, "false"), ("x", "'x'"), ([], "[]"), (2.5, "2.5")],
)
def test_values_read_as_in_yaml(value, shown):
    assert str(SpecError("a", "wrong", got=value)) == f"a: wrong (got {shown})"


@given(st.text(), st.text(), st.text(), st.text())
def test_every_message_is_one_line(path, rule, got, hint):
    assert len(str(SpecError(path, rule, got=got, hint=hint)).splitlines()) <= 1


def test_a_long_value_is_cut():
    assert len(str(SpecError("a", "wrong", got="x" * 10_000))) < 100
    assert len(str(SpecError("a", "wrong", got=10**3000))) < 100
    assert len(str(SpecError("a", "wrong", got=[["x" * 99] * 99] * 99))) < 200


def test_every_user_error_is_an_einsim_error():
    assert issubclass(SpecError, EinsimError)
    assert issubclass(RuleError, EinsimError)
    assert issubclass(RuleError, ValueError)


def test_below_prefixes_the_path():
    with pytest.raises(RuleError) as caught, below("units", 0), below("dims"):
        raise RuleError("must be >= 1", got=0, at=("rows",))
    assert caught.value.at == ("units", 0, "dims", "rows")
    assert str(caught.value) == "units[0].dims.rows: must be >= 1 (got 0)"


def test_dotted():
    assert dotted(("units", 0, "rows")) == "units[0].rows"
    assert dotted(()) == ""


@pytest.mark.parametrize(
    "error",
    [
        SpecError("a", "wrong", where="f:1", hint="h"),
        RuleError("wrong", got=0, at=("a", 1)),
        EinsimError("x"),
    ],
)
def test_errors_cross_process_borders(error):
    copy = pickle.loads(pickle.dumps(error))
    assert (type(copy), str(copy)) == (type(error), str(error))
    assert getattr(copy, "got", None) is getattr(error, "got", None)
    assert pickle.loads(pickle.dumps(MISSING)) is MISSING


def test_no_sign_of_a_message_is_more_than_a_terminal_shows():
    """ESC in a name came through as it was (drawn input 404:4428)."""
    assert str(SpecError("".join(map(chr, range(0x3000))), "wrong")).isprintable()
    assert str(SpecError("einsums.T\x1b", "wrong")) == "einsums.T\\x1b: wrong"
