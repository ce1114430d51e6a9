"""A mask never makes the default slower, nor more energy of it."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from einsim.accel.load import load_machine
from einsim.dataflow.analytical import analyse
from einsim.dataflow.lower import lower
from einsim.dataflow.templates import build_mapping
from einsim.sim.engine import simulate
from einsim.workloads.load import load_workload
from einsim.workloads.notation import parse
from tests.dataflow.test_default import PRESETS

MASKS: dict[str, dict[str, str]] = {
    "causal": {"causal": "true"},
    "nearly all": {"window": "500"},
    "an eighth": {"window": "64"},
    "documents": {"documents": "320,192"},
}


def no_mask_costs_more(accel: str, masks: Iterable[str]) -> None:
    """Cycles and energy, as simulated, of the default for 3-pass attention."""
    machine, keys = load_machine(accel), {"b": "1", "h": "4", "e": "64", "seq": "512"}
    whole = load_workload("attention-3pass", keys)
    most = simulate(lower(build_mapping(whole, machine), whole, machine), machine)
    for mask in masks:
        work = load_workload("attention-3pass", {**keys, **MASKS[mask]})
        found = simulate(lower(build_mapping(work, machine), work, machine), machine)
        assert found.cycles <= most.cycles, mask
        assert sum(found.energy_by.values()) <= sum(most.energy_by.values()) * (1 + 1e-9), mask


@pytest.mark.parametrize(
    ("accel", "mask"),
    [
        ("flat-edge", "nearly all"),
        ("fusemax-cloud", "documents"),
        ("sa8295p", "nearly all"),
        ("tpu-v4i", "causal"),
    ],
)
def test_a_mask_never_makes_the_default_slower(accel: str, mask: str) -> None:
    no_mask_costs_more(accel, [mask])


@pytest.mark.parametrize("bound", ["m <= p", "p <= m", "m + p < 140"])
def test_a_bound_breaks_no_branch_in_two(bound: str) -> None:
    """By hand: Q, K, V and O have 130 * 16 values of 2 bytes, and that is all that must move."""
    text = "S[p,m] = Q[p,e] * K[m,e]\nX[p] = max[m](S[p,m])\nN[p,m] = S[p,m] - X[p]\nO[p,f] = N[p,m] * V[m,f]"
    work = parse(f"where {bound}\n{text}", name="w", sizes={"p": 130, "m": 130, "e": 16, "f": 16})
    machine = load_machine("eyeriss-like")
    assert analyse(lower(build_mapping(work, machine), work, machine), machine).dram_bytes == 4 * 130 * 16 * 2


@pytest.mark.slow
@pytest.mark.parametrize("accel", [accel for accel in PRESETS if accel != "gemmini"])
def test_no_mask_makes_the_default_slower_on_any_machine(accel: str) -> None:
    no_mask_costs_more(accel, MASKS)
