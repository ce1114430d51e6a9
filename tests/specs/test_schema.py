"""What a type allows at a path."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from typing import Annotated, Literal

import msgspec

from einsim.specs.schema import known_keys, known_values, types_at


class Colour(enum.Enum):
    RED = "red"


class Leaf(msgspec.Struct):
    kind: Literal["a", "b"] | None = None
    colour: Colour = Colour.RED


class Tree(msgspec.Struct):
    by_name: dict[str, Annotated[Leaf, msgspec.Meta(title="leaf")]] = {}
    each: tuple[Leaf, ...] = ()
    pair: tuple[int, Leaf] | None = None
    mapping: Mapping[str, Leaf] = {}
    listed: list[Leaf] = []


def test_keys_through_every_container():
    for path in [("by_name", "x"), ("each", 7), ("pair", 1), ("mapping", "y"), ("listed", 0)]:
        assert known_keys(Tree, path) == ["kind", "colour"], path
    assert known_keys(Tree, ()) == ["by_name", "each", "pair", "mapping", "listed"]


def test_values_of_literals_and_enumerations():
    assert known_values(Tree, ("each", 0, "kind")) == ["a", "b"]
    assert known_values(Tree, ("each", 0, "colour")) == ["red"]


def test_nothing_stands_at_an_unknown_path():
    assert types_at(Tree, ("nowhere", 1)) == []
    assert types_at(Tree, ("pair", 5)) == []
