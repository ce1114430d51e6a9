"""What every test may use."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# What a test asks is worked out, whatever was asked before.
os.environ["EINSIM_CACHE_DIR"] = "off"

# No deadline: the first call of a numba kernel compiles it. The same examples on every machine and run. Drawn
# mappings are often not legal, and how many in a row is chance: a test that finds no case at all still fails.
settings.register_profile(
    "einsim",
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.filter_too_much, HealthCheck.too_slow],
)
settings.load_profile("einsim")


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--update-golden` rewrites what is stored with what is found, to be read in the diff."""
    parser.addoption("--update-golden", action="store_true", help="rewrite stored outputs")


LONGEST = (
    "test_docs", "dataflow/test_templates", "einsim/test_finalists", "validation/rtl/test_suite",
    "sim/memory/test_dram_port", "dataflow/mapper/test_workers", "test_golden", "einsim/test_renaming",
    "dataflow/test_legality", "examples/test_extensions", "dataflow/mapper/test_best", "accel/test_every_key_binds",
    "einsim/test_everywhere", "sim/memory/test_contention", "validation/oracle/test_compare", "sim/test_engine",
    "validation/papers/test_searched", "test_site",
)  # fmt: skip
"""Files that take longest, which begin first: else everything waits for one that began last."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest files first, all else in order."""
    order = {f"tests/{name}.py": at for at, name in enumerate(LONGEST)}
    items.sort(key=lambda item: order.get(item.nodeid.partition("::")[0], len(order)))


@pytest.fixture
def update_golden(request: pytest.FixtureRequest) -> bool:
    """Whether stored outputs are to be rewritten."""
    return bool(request.config.getoption("--update-golden"))


@pytest.fixture(scope="session")
def repository() -> Path:
    """The repository's root."""
    return Path(__file__).resolve().parent.parent
