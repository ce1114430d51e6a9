"""The settings that a machine's file holds, so that `--set` knows which pairs are the machine's."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import einsim.accel.load
from einsim.accel.gpu.machine import gpu_path, is_gpu
from einsim.accel.load import load_machine, preset_names
from einsim.specs.loader import load_yaml


def machine_keys(name_or_path: str) -> tuple[str, ...]:
    """Dotted paths of every value in a preset or a machine's file; SpecError when there is none."""
    path = Path(name_or_path)
    if is_gpu(name_or_path):
        path = gpu_path(name_or_path)
    elif name_or_path in preset_names():
        path = Path(einsim.accel.load.__file__).parent / "presets" / f"{name_or_path}.yaml"
    elif path.suffix not in {".yaml", ".yml"} and path.name == name_or_path:
        load_machine(name_or_path)  # raises, with the nearest preset's name
    return tuple(paths(load_yaml(path).data, ""))


def paths(data: object, prefix: str) -> Iterator[str]:
    """Every key of nested mappings, outer ones first."""
    if isinstance(data, dict):
        for key, value in data.items():
            yield f"{prefix}{key}"
            yield from paths(value, f"{prefix}{key}.")
