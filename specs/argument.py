"""What a call's argument may be, by its annotation: a type, its range, the words that it knows.

Annotations are the only place where a public function says what it takes. A number of numpy's counts as
Python's own, and is one afterwards; NaN is no number.
"""

from __future__ import annotations

import math
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from numbers import Integral, Real
from os import PathLike
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, TypeAlias

import msgspec
from msgspec import Meta

from einsim.specs.errors import RuleError, below
from einsim.specs.near import near

Count: TypeAlias = Annotated[int, Meta(ge=1)]
"""A whole number, 1 or more."""
Amount: TypeAlias = Annotated[float, Meta(ge=0)]
"""A number, 0 or more, which may be infinite."""
Whole: TypeAlias = Annotated[int, Meta(ge=0)]
"""A whole number, 0 or more."""


class Only(NamedTuple):
    """The kind, where calls are checked, of what type checkers take as an object."""

    kind: Any


Setting: TypeAlias = Annotated[
    object, Only(bool | int | float | str | Sequence[bool | int | float | str] | Mapping[str, object])
]
"""The value of a setting: what `--set` takes as text, or the value itself."""

_ENGLISH: Mapping[object, str] = {
    bool: "true or false", int: "a whole number", float: "a number", str: "text", Path: "a path",
    Sequence: "a list", tuple: "a list", list: "a list", Mapping: "a mapping", dict: "a mapping",
    Callable: "a function", type: "a class", type(None): "None",
}  # fmt: skip
_LIMITS: Mapping[str, tuple[str, Callable[[Any, Any], bool]]] = {
    "ge": (">=", lambda value, limit: value >= limit), "gt": (">", lambda value, limit: value > limit),
    "le": ("<=", lambda value, limit: value <= limit), "lt": ("<", lambda value, limit: value < limit),
    "min_length": ("of a length >=", lambda value, limit: len(value) >= limit),
}  # fmt: skip


def fitting(value: object, kind: Any) -> Any:
    """The value as `kind` has it, numbers as Python's own; RuleError, with the place within, for another."""
    origin = typing.get_origin(kind) or kind
    if origin is Annotated:
        for meta in kind.__metadata__:
            if isinstance(meta, Only):
                return fitting(value, meta.kind)
        return _limited(fitting(value, kind.__origin__), kind.__metadata__)
    if origin in (typing.Union, types.UnionType):
        return _one_of(value, typing.get_args(kind))
    if origin is Literal:
        return _word(value, typing.get_args(kind))
    if kind is float and isinstance(value, Real) and math.isnan(value):
        raise RuleError("must be a number, and NaN is none")
    if not _is(value, origin):
        raise RuleError(f"must be {named(kind)}", got=value)
    if kind in (bool, int, float, Path) and not isinstance(value, int | float):
        return kind(value)
    return _within(value, origin, typing.get_args(kind))


def check_fields(value: object) -> None:
    """RuleError where a field of a struct, or of one within, doesn't fit its annotation."""
    if isinstance(value, msgspec.Struct):
        for field in _fields(type(value)):
            inner = _at(field.name, getattr(value, field.name), field.type)
            with below(field.name):
                check_fields(inner)
    elif isinstance(value, list | tuple):
        for at, one in enumerate(value):
            with below(at):
                check_fields(one)


@cache
def _fields(kind: type[msgspec.Struct]) -> tuple[msgspec.structs.FieldInfo, ...]:
    """The fields of a struct, whose annotations take longer to be read than its values to be checked."""
    return msgspec.structs.fields(kind)


def named(kind: Any) -> str:
    """What a kind is in a message."""
    origin = typing.get_origin(kind) or kind
    if origin is Annotated:
        return named(kind.__origin__)
    if origin in (typing.Union, types.UnionType):
        return _any(typing.get_args(kind))
    if origin is Literal:
        return "one of " + ", ".join(map(str, typing.get_args(kind)))
    name = getattr(origin, "__name__", str(origin))
    return _ENGLISH.get(origin, f"{'an' if name[0] in 'AEIOU' else 'a'} {name}")


def _any(kinds: Sequence[Any]) -> str:
    words = list(dict.fromkeys(map(named, kinds)))
    return f"{', '.join(words[:-1])} or {words[-1]}"


def _is(value: object, kind: Any) -> bool:
    """Whether a value is of a kind, whatever is within."""
    if kind in (bool, int, float):
        flag = isinstance(value, bool) or type(value).__name__ in ("bool_", "bool")
        wanted = Integral if kind is int else Real
        return flag if kind is bool else isinstance(value, wanted) and not flag
    if kind is Path:
        return isinstance(value, PathLike)
    if kind is Callable or str(kind) == "collections.abc.Callable":
        return callable(value)
    if kind in (Sequence, tuple, list):
        return isinstance(value, Sequence) and not isinstance(value, str | bytes)
    # What is no class (Any, a variable) says nothing; arrays are for the function to judge.
    plain = kind is Any or not isinstance(kind, type) or kind.__module__ == "numpy"
    return plain or isinstance(value, kind)


def _within(value: Any, origin: Any, inner: tuple[Any, ...]) -> Any:
    """A list or a mapping of what fits; anything else as it is."""
    if origin in (Mapping, dict) and inner:
        return {_key(key, inner[0]): _at(key, one, inner[1]) for key, one in value.items()}
    if origin in (Sequence, tuple, list) and inner:
        parts = [_at(at, one, inner[0]) for at, one in enumerate(value)]
        return parts if isinstance(value, list) and origin is not tuple else tuple(parts)
    return value


def _key(key: object, kind: Any) -> Any:
    if not _is(key, kind):
        raise RuleError(f"a key must be {named(kind)}", got=key)
    return key


def _at(place: Any, value: object, kind: Any) -> Any:
    with below(place):
        return fitting(value, kind)


def _one_of(value: object, kinds: Sequence[Any]) -> Any:
    """By the first kind that it fits; else what the kind says that it is of, but for what is within."""
    told: RuleError | None = None
    for kind in kinds:
        try:
            return fitting(value, kind)
        except RuleError as error:
            plain = kind.__origin__ if typing.get_origin(kind) is Annotated else kind
            if _is(value, typing.get_origin(plain) or plain) or typing.get_origin(kind) is Literal:
                told = told or error
    raise told or RuleError(f"must be {_any(kinds)}", got=value)


def _word(value: object, words: tuple[Any, ...]) -> Any:
    if isinstance(value, str) and value in words:
        return value
    raise RuleError("unknown value", got=value, hint=near(value, map(str, words)))


def _limited(value: Any, metadata: tuple[Any, ...]) -> Any:
    for meta in metadata:
        for name, (sign, holds) in _LIMITS.items():
            limit = getattr(meta, name, None)
            if limit is not None and not holds(value, limit):
                raise RuleError(f"must be {sign} {limit}", got=value)
    return value
