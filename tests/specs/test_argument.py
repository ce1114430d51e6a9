"""What an annotation says of an argument is what is asked of it, and numbers come out as Python's own."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest

from einsim.specs.argument import Amount, Count, Setting, Whole, fitting, named
from einsim.specs.errors import RuleError


@pytest.mark.parametrize(
    ("value", "kind", "found"),
    [
        (np.int64(3), int, 3), (np.int64(3), float, 3.0), (np.float32(0.5), float, 0.5), (np.bool_(True), bool, True),
        (np.int64(3), Count | None, 3), (None, Count | None, None), (math.inf, Amount, math.inf), (0, Whole, 0),
        ("a", str | Path, "a"), (Path("a"), str | Path, Path("a")), (np.str_("a"), str, "a"),
        ("proof", Literal["quick", "proof"], "proof"), (print, Callable[[int], str], print), (int, type[float], int),
        ([np.int64(1)], Sequence[int], [1]), ((np.int64(1),), Sequence[int], (1,)), (["a"], tuple[str, ...], ("a",)),
        ({"a": np.int64(1)}, Mapping[str, Setting], {"a": 1}), ({"a": [np.int64(1)]}, Mapping[str, Setting], {"a": [1]}),
        (b"any", Any, b"any"), (b"any", object, b"any"),
    ],
)  # fmt: skip
def test_what_fits_comes_out_as_pythons_own(value: object, kind: object, found: object) -> None:
    fit = fitting(value, kind)
    assert fit == found
    assert isinstance(fit, type(found))


@pytest.mark.parametrize(
    ("value", "kind", "message"),
    [
        ("2", int, "must be a whole number (got '2')"), (2.0, int, "must be a whole number (got 2.0)"),
        (True, int, "must be a whole number (got true)"), (1, bool, "must be true or false (got 1)"),
        (np.bool_(True), float, "must be a number (got np.True_)"), (0, Count, "must be >= 1 (got 0)"),
        (-1, Count | None, "must be >= 1 (got -1)"), ("a", Count | None, "must be a whole number or None (got 'a')"),
        (math.nan, Amount, "must be a number, and NaN is none"), (-0.5, Amount, "must be >= 0 (got -0.5)"),
        (np.float64(math.nan), float, "must be a number, and NaN is none"), (3, str | Path, "must be text or a path (got 3)"),
        ("fast", Literal["quick", "proof"], "unknown value (got 'fast'); known: quick, proof"),
        (["quick"], Literal["quick", "proof"], "unknown value (got ['quick']); did you mean 'quick'?"),
        ("abc", Sequence[str], "must be a list (got 'abc')"), ([1, "2"], Sequence[int], "[1]: must be a whole number (got '2')"),
        ({1: 2}, Mapping[str, Setting], "a key must be text (got 1)"), ([1], Mapping[str, int], "must be a mapping (got [1])"),
        ({"a": {"b": "c"}}, Mapping[str, Mapping[str, int]], "a.b: must be a whole number (got 'c')"),
        ({"a": None}, Mapping[str, Setting], "a: must be true or false, a whole number, a number, text, a list or a mapping (got null)"),
        ({"a": math.nan}, Mapping[str, Setting], "a: must be a number, and NaN is none"),
        (3, Callable[[int], str], "must be a function (got 3)"), (3, RuleError, "must be a RuleError (got 3)"), (3, type, "must be a class (got 3)"),
    ],
)  # fmt: skip
def test_what_does_not_is_told_with_its_place(value: object, kind: object, message: str) -> None:
    with pytest.raises(RuleError) as told:
        fitting(value, kind)
    assert str(told.value) == message


def test_a_kind_has_a_name() -> None:
    assert named(Literal["a", "b"]) == "one of a, b"
    assert named(Count | None) == "a whole number or None"
