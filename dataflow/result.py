"""The result of evaluating a tile program: time, energy, traffic, utilisation and where the time went."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import msgspec

from einsim.specs.argument import Amount, Whole
from einsim.specs.errors import EinsimError

OPS_PER_MAC = 2  # as every TOPS figure counts: a multiplication and an addition
TERA = 1e12


class Slice(msgspec.Struct, frozen=True, kw_only=True):
    """One instance of an operation on an engine, in cycles of the machine's clock."""

    engine: str
    name: str
    start_cycle: Amount
    end_cycle: Amount


class EinsumCost(msgspec.Struct, frozen=True, kw_only=True):
    """One Einsum's share: issue cycles on its unit, points computed, and energy: of its ops, its unit's
    registers and what the unit reads from and writes to memories, as far as it is stated (None: nothing is).
    """

    unit: str
    cycles: Whole
    points: Whole
    energy_stated_j: Amount | None
    energy_not_stated: tuple[str, ...] = ()

    @property
    def energy_j(self) -> float | None:
        """All of it in J; None where some of it isn't stated."""
        return None if self.energy_not_stated else self.energy_stated_j


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """What a workload costs on a machine. `level` is "analytical", "sim", or a GPU's "kernel".

    `stalls` belong to the bottleneck unit: its busy cycles and its stalls add up to `cycles`.
    `breakdown_by_unit` says of each unit what all its `cycles` went to: "busy", or a cause and what it is
    about, such as "bandwidth:dram" or "dependency:LM"; `einsim.breakdown` puts it in words.
    `energy_by` is in J by component, as far as the machine states it; `energy_not_stated` names the actions
    that it leaves out, such as "gb write", "array2d exp" or "leakage". `energy_beside` is what is no Einsum's
    of it, such as "loads and stores": with what `by_einsum` states it adds up to `energy_stated_j`.
    `traffic` is in useful bytes by memory and tensor, `moved_bytes` the same in whole accesses, which is what
    costs energy and port time, `utilization` 0..1 by unit.
    `bound_by` gives the lower bounds in cycles by what sets them; `buffers` the most bytes held by memory.
    `macs` are the multiply-accumulates that the workload asks for, None where they aren't known.
    `area_um2` by component and `resources` (FPGA primitives by name) are empty where the machine doesn't
    state them; `area_not_stated` names components that are left out of the area.
    `evidence` says what was measured of the machine and this kind of work, and how far off predictions were.
    """

    workload: str
    accel: str
    level: str
    mapping: str
    cycles: Whole
    latency_s: Amount
    dram_bytes: Whole
    utilization: dict[str, Amount]
    stalls: dict[str, Whole]
    stalls_by_unit: dict[str, dict[str, Whole]]
    energy_by: dict[str, Amount]
    traffic: dict[str, dict[str, Whole]]
    bottleneck: str
    bound_by: dict[str, Whole]
    by_einsum: dict[str, EinsumCost]
    buffers: dict[str, Whole] = {}
    breakdown_by_unit: dict[str, dict[str, Whole]] = {}
    timeline: tuple[Slice, ...] = ()
    notes: tuple[str, ...] = ()
    assumed: tuple[str, ...] = ()
    evidence: tuple[str, ...] = ()
    macs: Whole | None = None
    area_um2: dict[str, Amount] = {}
    area_not_stated: tuple[str, ...] = ()
    resources: dict[str, Whole] = {}
    moved_bytes: dict[str, dict[str, Whole]] = {}
    energy_not_stated: tuple[str, ...] = ()
    energy_beside: dict[str, Amount] = {}

    @property
    def energy_j(self) -> float | None:
        """All energy in J; None where some of it isn't stated."""
        return None if self.energy_not_stated else self.energy_stated_j

    @property
    def energy_stated_j(self) -> float | None:
        """Energy in J as far as it is stated; None where nothing of it is."""
        return math.fsum(self.energy_by.values()) if self.energy_by else None

    @property
    def power_w(self) -> float | None:
        """Energy over latency, W; None where some of the energy isn't stated."""
        return self.energy_j / self.latency_s if self.energy_j is not None and self.latency_s else None

    @property
    def tops(self) -> float | None:
        """Tera-operations a second, two for each multiply-accumulate; None where these aren't known."""
        return self._tera_ops / self.latency_s if self._tera_ops is not None and self.latency_s else None

    @property
    def tops_per_w(self) -> float | None:
        """Tera-operations per second and watt, which is per joule; None where ops or energy aren't known."""
        return self._tera_ops / self.energy_j if self._tera_ops is not None and self.energy_j else None

    @property
    def area_mm2(self) -> float | None:
        """Silicon area of all components, None where that of one isn't stated."""
        return sum(self.area_um2.values()) / 1e6 if self.area_um2 and not self.area_not_stated else None

    @property
    def _tera_ops(self) -> float | None:
        return None if self.macs is None else OPS_PER_MAC * self.macs / TERA

    def to_dict(self) -> dict[str, Any]:
        """Every figure as plain data (dict, list, text, number): the fields, then what follows from them.

        None stands for what isn't stated, also for the resources of a machine that has none.
        """
        data: dict[str, Any] = msgspec.to_builtins(self)
        for name in ("energy_j", "energy_stated_j", "power_w", "tops", "tops_per_w", "area_mm2"):
            data[name] = getattr(self, name)
        for name, cost in self.by_einsum.items():
            data["by_einsum"][name] |= {
                "energy_j": cost.energy_j,
                "energy_not_stated": [*cost.energy_not_stated],
            }
        lists = {name: list(value) for name, value in data.items() if isinstance(value, tuple)}
        return {**data, **lists, "resources": self.resources or None}

    def to_pandas(self) -> Any:
        """A pandas.DataFrame of one row; a figure has a column such as `energy_by.dram`, NaN if not stated.

        Rows of several results go together by `pandas.concat`. EinsimError where pandas isn't installed.
        """
        try:
            import pandas as pd
        except ImportError:
            raise EinsimError("to_pandas needs pandas; pip install 'einsim[pandas]'") from None
        return pd.DataFrame([dict(_columns(self.to_dict()))])


def _columns(data: dict[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    """(dotted name, value) of every figure and name; lists (the timeline, notes) are no columns."""
    for key, value in data.items():
        if isinstance(value, dict):
            yield from _columns(value, f"{above}{key}.")
        elif not isinstance(value, list):
            yield f"{above}{key}", float("nan") if value is None else value
