"""What a capture measures: every case cold, some warm, and energy for one or two sizes of every kernel
variant.
"""

from __future__ import annotations

from collections import defaultdict

import msgspec

from einsim.sim.gpu.case import KernelCase
from einsim.validation.gpu.kernels.registry import (
    MICRO,
    all_cases,
    fresh_cases,
    model_cases,
    sizes_text,
    unseen_cases,
)
from einsim.validation.gpu.model_shapes import FIRST

# Relative error allowed against float64: FP16 results are rounded to 2^-11, FP32 sums have up to 2^28 terms.
TOLERANCE = {16: 4e-3, 32: 2e-5}  # by the bits of the result
MODELS_ENERGY = tuple(FIRST)  # families of which the heaviest case of every variant has energy there
WARM_FAMILIES = ("copy", "softmax", "layernorm", "gemm-f16")
TWO_ENERGIES = ("micro", "copy", "reduction", "softmax", "layernorm", "decode")
WARM_BYTES = 40 * 2**20  # inputs and outputs that an L2 of 50 MB can hold


class Item(msgspec.Struct, frozen=True, kw_only=True):
    """One row to be: a case, the state of L2, and whether energy is wanted."""

    case: KernelCase
    l2: str
    energy: bool = False

    @property
    def key(self) -> tuple[str, str, str, str]:
        """As `Measurement.key`."""
        return self.case.family, self.case.variant, sizes_text(self.case), self.l2


def weight(case: KernelCase) -> float:
    """A rough time, to choose long cases for energy: FLOPs at 400 TFLOP/s plus bytes at 4 TB/s."""
    return case.useful_flops / 400e12 + case.unique_bytes / 4e12


def plan(quick: bool = False, energy: bool = True) -> tuple[Item, ...]:
    """The rows of a capture, in order. Energy: the heaviest size of every variant, in some families the
    median one too.
    """
    cases = all_cases(quick)
    chosen: set[str] = set()
    if energy and not quick:
        groups: dict[tuple[str, str], list[KernelCase]] = defaultdict(list)
        for case in cases:
            groups[case.family, case.variant].append(case)
        for group in groups.values():
            ranked = sorted(group, key=weight)
            chosen.add(ranked[-1].key)
            if group[0].family in TWO_ENERGIES:
                chosen.add(ranked[len(ranked) // 2].key)
    items = []
    for case in cases:
        if case.family == "micro":
            l2 = "cold" if case.sizes["working_set_bytes"] > WARM_BYTES else "warm"
            items.append(Item(case=case, l2=l2, energy=case.key in chosen and "rate" in case.variant))
            if case.variant == "touch":
                items.append(Item(case=case, l2="cold"))
            continue
        items.append(Item(case=case, l2="cold", energy=case.key in chosen))
        if not quick and case.family in WARM_FAMILIES and case.unique_bytes <= WARM_BYTES:
            items.append(Item(case=case, l2="warm"))
    return tuple(items)


def unseen_plan() -> tuple[Item, ...]:
    """Cold rows, without energy, of the shapes that nothing was fitted on."""
    return tuple(Item(case=case, l2="cold") for case in unseen_cases())


def models_plan(energy: bool = True) -> tuple[Item, ...]:
    """Cold rows of shapes of published models, and what the microbenchmarks of sm_90a measure; energy of the
    heaviest case of every variant that is captured nowhere else.
    """
    cases, heaviest = model_cases(), dict[tuple[str, str], KernelCase]()
    for case in cases:
        known = heaviest.setdefault((case.family, case.variant), case)
        if weight(case) > weight(known):
            heaviest[case.family, case.variant] = case
    chosen = (
        {case.key for case in heaviest.values() if case.family in MODELS_ENERGY} if energy else set[str]()
    )
    items = []
    for case in cases:
        micro = case.family in MICRO
        drawn = energy and (
            case.key in chosen or (micro and ("width" in case.sizes or "share" in case.sizes))
        )
        items.append(Item(case=case, l2="warm" if micro else "cold", energy=drawn))
        if case.variant == "first_tile":
            items.append(Item(case=case, l2="cold"))
    return tuple(items)


def fresh_plan() -> tuple[Item, ...]:
    """Cold rows, without energy, of shapes of further models."""
    return tuple(Item(case=case, l2="cold") for case in fresh_cases())
