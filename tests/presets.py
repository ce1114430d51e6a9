"""Machine presets for dear tests: of those that differ in numbers alone, the first one; the others are slow."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import einsim.accel
from einsim.accel.load import preset_names
from einsim.specs.yaml_reader import load_yaml

FOLDER = Path(einsim.accel.__file__).parent / "presets"


def keys(data: Any, path: str = "") -> Iterator[str]:
    """Every key that is written, by its path."""
    if isinstance(data, dict):
        for key, value in data.items():
            yield from keys(value, f"{path}.{key}")
    elif isinstance(data, list):
        for value in data:
            yield from keys(value, f"{path}[]")
    else:
        yield path


def distinct() -> list[Any]:
    """All presets, as parameters; those with the keys of an earlier one are slow."""
    met, found = set[tuple[object, frozenset[str]]](), list[Any]()
    for name in preset_names():
        data = load_yaml(FOLDER / f"{name}.yaml").data
        written = {key: value for key, value in data.items() if key not in {"sources", "assumed", "fitted"}}
        form = (data.get("family"), frozenset(keys(written)))
        found.append(pytest.param(name, marks=pytest.mark.slow) if form in met else name)
        met.add(form)
    return found


DISTINCT = distinct()
