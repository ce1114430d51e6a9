"""What every test may use."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import settings

# What a test asks is worked out, whatever was asked before.
os.environ["EINSIM_CACHE_DIR"] = "off"

# No deadline: the first call of a numba kernel compiles it. The same examples on every machine and run.
settings.register_profile("einsim", deadline=None, derandomize=True)
settings.load_profile("einsim")


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--update-golden` rewrites what is stored with what is found, to be read in the diff."""
    parser.addoption("--update-golden", action="store_true", help="rewrite stored outputs")


@pytest.fixture
def update_golden(request: pytest.FixtureRequest) -> bool:
    """Whether stored outputs are to be rewritten."""
    return bool(request.config.getoption("--update-golden"))


@pytest.fixture(scope="session")
def repository() -> Path:
    """The repository's root."""
    return Path(__file__).resolve().parent.parent
