"""A workload from what a user types: a library name, a model's name, a YAML file or a `config.json`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from einsim.specs.argument import Setting
from einsim.specs.errors import SpecError
from einsim.specs.near import near
from einsim.workloads import library
from einsim.workloads.cascade import Cascade
from einsim.workloads.config import is_config, read_config
from einsim.workloads.dimensions import ALIASES, DIMENSIONS, dimensions
from einsim.workloads.file import read_cascade
from einsim.workloads.library.layer import layer_workload
from einsim.workloads.library.workload import Workload
from einsim.workloads.settings import Parameter, read_settings


def workload_names() -> tuple[str, ...]:
    """Names that `load_workload` knows: the library's cascades, then one layer of each model."""
    return (*library.names(), *DIMENSIONS)


def describe(name: str) -> tuple[str, tuple[Parameter, ...]]:
    """One line on a known name, and its parameters; SpecError for any other name."""
    found = _known(name)
    if found is None:
        raise _unknown(name)
    return found.summary, found.parameters


def load_workload(name_or_path: str | Path, settings: Mapping[str, Setting] | None = None) -> Cascade:
    """The cascade of a library name, a model's name, a YAML file or a model's `config.json`.

    `settings` are what `--set` takes, as Python values or text: `{"seq": "4K", "causal": True}`. Raises
    SpecError for an unknown name or setting, with the nearest known one, and for whatever a file has wrong.
    """
    name, settings = str(name_or_path), settings or {}
    found = _known(name)
    if found is None:
        path = Path(name)
        looks_like_file = path.suffix.lower() in (".yaml", ".yml", ".json") or "/" in name
        if not looks_like_file:
            raise _unknown(name)
        if not is_config(path):
            return read_cascade(path, settings)
        found = layer_workload(
            path.stem if path.stem != "config" else path.parent.name or "model", read_config(path)
        )
    return found.build(read_settings(found.parameters, settings, found.name))


def _known(name: str) -> Workload | None:
    if name in library.names():
        return library.entry(name)
    if name in DIMENSIONS or name in ALIASES:
        return layer_workload(ALIASES.get(name, name), dimensions(name))
    return None


def _unknown(name: str) -> SpecError:
    hint = near(name, [*workload_names(), *ALIASES])
    return SpecError(
        "workload", f"unknown workload '{name}'", hint=f"{hint} (or a .yaml file, or a config.json)"
    )
