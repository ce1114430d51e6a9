"""The text below a field is its description, inherited with the field."""

from __future__ import annotations

import msgspec

from einsim.specs.described import descriptions


class Above(msgspec.Struct, kw_only=True):
    """A class's own text is no field's."""

    rows: int
    """Rows of
    PEs.
    """
    cols: int = 2
    # A comment describes nothing.
    lanes: dict[str, int] = {}
    """Lanes by name."""


class Below(Above, kw_only=True):
    cols: int = 3
    """Columns."""


def test_a_description_is_the_string_below_its_field_on_one_line() -> None:
    assert descriptions(Above) == {"rows": "Rows of PEs.", "lanes": "Lanes by name."}


def test_a_field_is_inherited_with_its_description() -> None:
    assert descriptions(Below) == {"rows": "Rows of PEs.", "lanes": "Lanes by name.", "cols": "Columns."}


def test_a_class_without_a_source_has_none() -> None:
    assert descriptions(msgspec.defstruct("Made", [("rows", int)])) == {}
