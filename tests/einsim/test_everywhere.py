"""Cascades of many kinds on every preset: a mapping that the oracle confirms, or one reason; what a search
returns is no slower, as simulated, than the default or any template.
"""

from __future__ import annotations

import math
import statistics
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest
from small_cascades import NAMES, cascades

from einsim.accel.load import load_machine
from einsim.dataflow.effort import Effort
from einsim.dataflow.lower import lower
from einsim.dataflow.mapping import Mapping
from einsim.dataflow.templates import build_mapping, template_names
from einsim.evaluation import SearchRequest, best_of
from einsim.sim.engine import simulate
from einsim.specs.errors import EinsimError
from einsim.validation.oracle.check import check_mapping
from einsim.workloads.cascade import Cascade

PRESETS = sorted(path.stem for path in (Path(__file__).parents[2] / "accel" / "presets").glob("*.yaml"))

#: Cases that once failed, and others of each kind, which take moments.
FEW = (
    ("running sum", "vhk158-flightllm"),
    ("log softmax", "tpu-v4i"),
    ("softmax", "gemmini"),
)


class Outcome(NamedTuple):
    """Simulated seconds of the default, of it and every template, and of what a search returns, with the
    mapping and its cascade; without one, why.
    """

    default_s: float
    known_s: float
    auto_s: float
    found: tuple[Cascade, Mapping] | None
    reasons: tuple[str, str]


@cache
def outcome(name: str, accel: str, effort: Effort) -> Outcome:
    works, machine = cascades(name), load_machine(accel)
    default, known, why = math.inf, math.inf, ""
    for work in works:
        for template in ("template", *template_names()):
            try:
                mapping = build_mapping(work, machine, template)
            except EinsimError as mistake:
                why = why or str(mistake)
                continue
            seconds = simulate(lower(mapping, work, machine), machine).latency_s
            known = min(known, seconds)
            default = min(default, seconds if template == "template" else math.inf)
    try:
        best = best_of(works, machine, SearchRequest(workers=1, effort=effort), "sim")
    except EinsimError as mistake:
        return Outcome(default, known, math.inf, None, (why, str(mistake)))
    assert best.simulated is not None
    return Outcome(default, known, best.simulated.latency_s, (best.cascade, best.mapping), (why, ""))


def holds(name: str, accel: str, effort: Effort) -> None:
    one = outcome(name, accel, effort)
    if one.found is None:  # no mapping: the default says why, and nothing else knows one
        assert one.known_s == math.inf
        assert one.reasons[0]
        assert one.reasons[1]
        return
    assert one.auto_s <= one.known_s * (1 + 1e-12)
    assert one.auto_s <= one.default_s * (1 + 1e-12) < math.inf
    work, mapping = one.found
    assert check_mapping(work, load_machine(accel), mapping).equal


@pytest.mark.parametrize(("name", "accel"), FEW)
def test_a_search_is_no_slower_than_what_is_known(name: str, accel: str) -> None:
    holds(name, accel, "quick")


@pytest.mark.slow
@pytest.mark.parametrize("effort", ["quick", "normal"])
@pytest.mark.parametrize("accel", PRESETS)
@pytest.mark.parametrize("name", NAMES)
def test_a_search_is_no_slower_than_what_is_known_anywhere(name: str, accel: str, effort: Effort) -> None:
    holds(name, accel, effort)


@pytest.mark.slow
@pytest.mark.parametrize("accel", PRESETS)
def test_the_default_is_within_twice_a_search_on_the_median(accel: str) -> None:
    every = [outcome(name, accel, "normal") for name in NAMES]
    ratios = [one.default_s / one.auto_s for one in every if one.found is not None]
    assert ratios
    assert statistics.median(ratios) <= 2
