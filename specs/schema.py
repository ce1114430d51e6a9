"""What a struct type allows at a path: the known keys and the known values, for hints."""

from __future__ import annotations

import enum
import types
import typing
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from einsim.specs.document import Path

WORDED: dict[str, str] = {}
"""Rules of text in words, by the pattern as msgspec quotes it."""


def text(pattern: str, words: str) -> msgspec.Meta:
    """The rule that a whole text matches a pattern, which errors tell in words: `must be WORDS`."""
    whole = rf"^(?:{pattern})$(?!\n)"  # `$` alone takes a newline at the end, and a JSON Schema knows no `\Z`
    WORDED[repr(whole)] = words
    return msgspec.Meta(pattern=whole)


def types_at(kind: Any, path: Path) -> list[Any]:
    """Every type that may stand at the path below `kind`, unions opened."""
    kinds = _open(kind)
    for part in path:
        kinds = [inner for outer in kinds for child in _children(outer, part) for inner in _open(child)]
    return kinds


def known_keys(kind: Any, path: Path) -> list[str]:
    """Keys of every struct that may stand at the path."""
    structs = [found for found in types_at(kind, path) if _is_struct(found)]
    return [field.encode_name for struct in structs for field in msgspec.structs.fields(struct)]


def known_values(kind: Any, path: Path) -> list[str]:
    """Values of every Literal or enumeration that may stand at the path."""
    values: list[str] = []
    for found in types_at(kind, path):
        if typing.get_origin(found) is typing.Literal:
            values += [str(value) for value in typing.get_args(found)]
        elif isinstance(found, type) and issubclass(found, enum.Enum):
            values += [str(member.value) for member in found]
    return values


def _is_struct(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, msgspec.Struct)


def _open(kind: Any) -> list[Any]:
    origin = typing.get_origin(kind)
    if origin is typing.Annotated:
        return _open(typing.get_args(kind)[0])
    if origin is typing.Union or origin is types.UnionType:
        return [inner for part in typing.get_args(kind) for inner in _open(part)]
    return [kind]


def _children(kind: Any, part: str | int) -> Iterable[Any]:
    arguments = typing.get_args(kind)
    origin = typing.get_origin(kind)
    if _is_struct(kind):
        return [field.type for field in msgspec.structs.fields(kind) if field.encode_name == part]
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return arguments[1:]
    if origin is tuple and isinstance(part, int):
        return arguments[:1] if arguments[-1] is ... else arguments[part : part + 1]
    if origin in (list, set, frozenset):
        return arguments
    return []
