"""The public names stand in one place, and are imported only when they are used."""

from __future__ import annotations

import inspect
import subprocess
import sys
from types import FunctionType

import pytest

import einsim


@pytest.mark.parametrize("name", einsim.__all__)
def test_every_public_name_is_there(name: str) -> None:
    _, _, elsewhere = einsim._HOMES[name].partition(":")
    found = getattr(einsim, name)
    found = inspect.unwrap(found) if isinstance(found, FunctionType) else found
    if isinstance(found, type | FunctionType):  # other names are of types with their range
        assert found.__name__ == (elsewhere or name)


def test_the_names_are_sorted_and_each_has_one_home() -> None:
    assert list(einsim.__all__) == sorted(einsim._HOMES)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'einsim' has no attribute 'simulat'"):
        einsim.simulat  # noqa: B018 - the access is the test


def test_importing_einsim_imports_nothing_heavy() -> None:
    program = "import sys, einsim.cli.main; print(*[m for m in sys.modules if '.' not in m])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    heavy = {"numpy", "numba", "scipy", "simpy", "msgspec", "yaml", "rich", "plotly", "matplotlib"}
    assert heavy & set(done.stdout.split()) == set()
