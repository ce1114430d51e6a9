"""A schema accepts of a single value what the loader accepts, and refuses what it refuses.

But for two things: no pattern says how large the number is that a text with a unit means, and JSON has one
number where YAML has 1 and 1.0.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import jsonschema
import msgspec
import pytest

from einsim.specs.document import Document
from einsim.specs.errors import SpecError
from einsim.specs.json_schema import DIALECT, definitions, reference
from einsim.specs.loader import decode
from einsim.specs.units import Bytes, BytesPerSecond, Hertz, Picojoules, Quantity, Seconds, Watts


class Inner(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A struct in a struct."""

    size: Bytes = Bytes(64)


class Sheet(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One field of each kind that specs have."""

    size: Bytes | None = None
    rate: BytesPerSecond | None = None
    clock: Hertz | None = None
    time: Seconds | None = None
    energy: Picojoules | None = None
    power: Watts | None = None
    count: Annotated[int, msgspec.Meta(ge=1, le=8)] = 1
    wide: Annotated[int, msgspec.Meta(ge=16, multiple_of=16)] = 16
    share: Annotated[float, msgspec.Meta(gt=0, le=1)] = 1.0
    name: Annotated[str, msgspec.Meta(pattern="^[a-z]+$")] = "a"
    kind: Literal["bram", "uram"] = "bram"
    flag: bool = False
    names: tuple[str, ...] = ()
    named: (
        Annotated[dict[Annotated[str, msgspec.Meta(pattern="^[a-z]+$")], Inner], msgspec.Meta(min_length=1)]
        | None
    ) = None
    cycles: dict[str, int | Literal["rows"]] = {}
    inner: Inner | None = None
    anything: Any = None


SCHEMA = {"$schema": DIALECT, **reference(Sheet), "definitions": definitions([Sheet])}
VALUES: list[object] = [
    0, 1, 3, 8, 9, 16, 24, -1, 0.5, 1.0, 1.5, 2**50, 2**51, 1e18, 1e30, True, None, "", "a", "A", "rows", "bram", "1", "1.5", "12 ", "1e3", "-3", "x3",
    *(f"{number}{unit}" for number in ("1", "2.5", "1 ", "+1", "1e2", "0") for unit in ("B", "KiB", "KB", "kB", "GiB/s", "MHz", "ms", "us", "pJ", "nJ", "mW", "W", "KW", "furlong")),
    [], ["a"], [1], {}, {"a": 1}, {"a": "rows"}, {"a": "cols"}, {"A": {}}, {"a": {"size": "1KiB"}}, {"a": {"sise": 1}}, {"size": 2}, {"size": "2W"}, {"sise": 2},
]  # fmt: skip


SIZES = ("must be >=", "must be <=", "must be a whole")


@pytest.mark.parametrize("name", [field.name for field in msgspec.structs.fields(Sheet)])
def test_a_schema_and_the_loader_agree_on_every_value(name: str) -> None:
    validator = jsonschema.Draft7Validator(SCHEMA)
    taken = set()
    for value in VALUES:
        try:
            decode(Document(label="x.yaml", data={name: value}), Sheet)
        except SpecError as error:
            beyond = isinstance(value, str) and value[:1] != "-" and error.rule.startswith(SIZES)
            beyond |= isinstance(value, float) and value.is_integer() and error.rule == "must be an integer"
            assert beyond or not validator.is_valid({name: value}), value
            taken.add(False)
        else:
            assert validator.is_valid({name: value}), value
            taken.add(True)
    assert taken == ({True} if name == "anything" else {True, False})


@pytest.mark.parametrize("kind", Quantity.__subclasses__())
def test_the_example_of_a_quantity_is_one(kind: type[Quantity]) -> None:
    (schema,) = definitions([msgspec.defstruct("Held", [("size", kind)])]).keys() - {"test_json_schema.Held"}
    assert kind.parse(kind.EXAMPLE)
    assert schema == f"units.{kind.__name__}"


def test_defaults_are_as_a_file_would_have_them() -> None:
    known = definitions([Sheet])
    assert known["test_json_schema.Inner"]["properties"]["size"]["default"] == 64
    assert known["test_json_schema.Sheet"]["properties"]["names"]["default"] == []
