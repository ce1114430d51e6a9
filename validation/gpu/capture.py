"""`einsim capture gpu`: time every kernel on this machine's GPU and append the rows to a CSV, resuming
where it stopped.
"""

from __future__ import annotations

import math
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

from einsim.validation.gpu.kernels.registry import (
    FAMILIES,
    MICRO,
    all_cases,
    family_hash,
    fresh_cases,
    model_cases,
    sizes_text,
    unseen_cases,
)
from einsim.validation.gpu.measurement import Measurement, append, read
from einsim.validation.gpu.plan import Item, fresh_plan, models_plan, plan, unseen_plan

ENERGY_S = 1.6


def capture(
    folder: Path,
    *,
    quick: bool = False,
    unseen: bool = False,
    models: bool = False,
    fresh: bool = False,
    families: tuple[str, ...] = (),
    energy: bool = True,
    limit_s: float = math.inf,
    vendor: bool = True,
) -> tuple[Path, list[str]]:
    """Measure what the CSV in `folder` doesn't have yet; returns its path and one line for every case that
    failed.

    The file is named after the device. Rows of an older kernel source are measured again (the later row
    counts). Raises DeviceError without a GPU.
    """
    from einsim.validation.gpu.device import Device
    from einsim.validation.gpu.measure import Effort, measure
    from einsim.validation.gpu.power import Meter

    device = Device()
    meter = Meter(device.pci)
    folder.mkdir(parents=True, exist_ok=True)
    kind = "-quick" if quick else "-unseen" if unseen else "-models" if models else "-fresh" if fresh else ""
    path = folder / f"{device.name.lower().replace(' ', '-')}{kind}.csv"
    have = {(row.key, row.source_hash) for row in read(path)} if path.exists() else set()
    hashes = {family: family_hash(family) for family in FAMILIES}
    energy = energy and meter.counts_joules()
    planned = unseen_plan() if unseen else models_plan(energy) if models else plan(quick, energy)
    planned = fresh_plan() if fresh else planned
    items = [item for item in planned if not families or item.case.family in families]
    items = [item for item in items if (item.key, hashes[item.case.family]) not in have]
    failures: list[str] = []
    stop = time.monotonic() + limit_s
    for item in progress(items):
        if time.monotonic() > stop:
            failures.append(f"time limit of {limit_s:.0f} s reached; run again to resume")
            break
        effort = Effort(
            energy_s=ENERGY_S if item.energy else 0.0,
            graph_s=0.002 if quick else 0.004,
            replays=8 if quick else 12,
            vendor=vendor,
        )
        try:
            append(path, measure(item.case, device, meter, item.l2, effort))
        except Exception as error:  # noqa: BLE001 - numba, cuda.core and torch raise many kinds; one case must not end it all
            failures.append(
                f"{item.case.key}: {str(error).splitlines()[0] if str(error) else type(error).__name__}"
            )
            if not device.healthy():
                failures.append("the device is in an error state: run again to resume with the next case")
                break
    return path, failures


def progress(items: list[Item]) -> Any:
    """The items, with a bar on a terminal and nothing in a pipe."""
    from rich.console import Console
    from rich.progress import track

    console = Console(stderr=True)
    return track(items, description="capture", console=console) if console.is_terminal else items


def summary(path: Path) -> str:
    """Per family and variant, the best row: its rate, the vendor's time over ours, and the worst error."""
    flops = {
        (c.family, c.variant, sizes_text(c)): c
        for c in (*all_cases(), *all_cases(True), *unseen_cases(), *model_cases(), *fresh_cases())
    }
    groups: dict[tuple[str, str], list[tuple[float, float, str, Measurement]]] = defaultdict(list)
    for row in read(path):
        case = flops.get(row.key[:3])
        if (case is not None and row.l2 == "cold") or (row.family in MICRO and case is not None):
            groups[row.family, row.variant].append(
                (
                    case.useful_flops / row.median_s / 1e12,
                    case.unique_bytes / row.median_s / 1e12,
                    row.sizes,
                    row,
                )
            )
    lines = [f"{'family':18} {'variant':30} {'TFLOP/s':>8} {'TB/s':>6} {'vendor/ours':>11} {'error':>8}  at"]
    for (family, variant), found in groups.items():
        best = max(found, key=lambda item: (item[0], item[1]) if item[0] else (0.0, item[1]))
        ratio = best[3].vendor_s / best[3].median_s
        worst = max(item[3].error for item in found)
        lines.append(
            f"{family:18} {variant:30} {best[0]:8.1f} {best[1]:6.2f} {ratio:11.2f} {worst:8.1e}  "
            f"{best[2]} {best[3].median_s * 1e6:.1f} us"
        )
    return "\n".join(lines)
