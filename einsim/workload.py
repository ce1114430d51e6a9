"""A workload before its settings: the settings that it knows, and the cascades that they lead to."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec

from einsim.specs.loader import load_yaml
from einsim.workloads.cascade import Cascade
from einsim.workloads.load import describe, load_model, load_workload, one_part
from einsim.workloads.models.model import Model
from einsim.workloads.settings import Parameter

# A workload that exists as several cascades lets the user choose by this setting, where it is open.
PASSES = "passes"
EVERY_PASSES = ("1", "2", "3")


class WorkloadSource(msgspec.Struct, frozen=True, kw_only=True):
    """The settings that a workload knows, those left `open`, and how to build it from their text.

    Of a `model` what is built is the part that the settings mean, by default a layer.
    """

    name: str
    keys: tuple[str, ...]
    build: Callable[[Mapping[str, object]], Cascade]
    open: tuple[str, ...] = ()
    model: Model | None = None

    def leaves_passes_open(self, settings: Mapping[str, object]) -> bool:
        """Whether it exists as cascades of several passes, and neither it nor the settings choose one."""
        return PASSES in self.open and PASSES not in settings

    def every(self, settings: Mapping[str, object]) -> tuple[Cascade, ...]:
        """Its cascades: one for each number of passes where that is left open and makes a difference."""
        if not self.leaves_passes_open(settings):
            return (self.build(settings),)
        every = (self.build({**settings, PASSES: number}) for number in EVERY_PASSES)
        return tuple(dict.fromkeys(every))


def find_workload(name_or_path: str) -> WorkloadSource:
    """The source of a library name, a model's name, a cascade's YAML file or a model's config.json.

    SpecError for a name or a file that doesn't exist or can't be read.
    """
    path = Path(name_or_path)
    model = load_model(name_or_path)
    if model is not None:
        return msgspec.structs.replace(
            with_parameters(name_or_path, model.parameters), model=model,
            build=lambda settings: one_part(model, settings)[1].cascade,
        )  # fmt: skip
    if path.suffix.lower() in {".yaml", ".yml"} and path.is_file():
        return with_keys(name_or_path, file_keys(path))
    if path.suffix.lower() in {".yaml", ".yml"} or "/" in name_or_path:
        load_workload(name_or_path, {})  # raises: there is no such file
    return with_parameters(name_or_path, describe(name_or_path)[1])


def as_it_is(cascade: Cascade) -> WorkloadSource:
    """The source of a cascade that is built already: no settings."""
    return WorkloadSource(name=cascade.name, keys=(), build=lambda _: cascade)


def with_parameters(name: str, parameters: tuple[Parameter, ...]) -> WorkloadSource:
    """A source whose settings are declared."""
    source = with_keys(name, tuple(parameter.name for parameter in parameters))
    return msgspec.structs.replace(source, open=tuple(one.name for one in parameters if one.open))


def with_keys(name: str, keys: tuple[str, ...]) -> WorkloadSource:
    """A source with these settings."""
    return WorkloadSource(name=name, keys=keys, build=lambda settings: load_workload(name, settings))


def file_keys(path: Path) -> tuple[str, ...]:
    """What `--set` may change in a cascade's file: ranks, the parts they are walked in, and parameters."""
    data = load_yaml(path).data
    keys: list[str] = []
    for part in ("ranks", "parameters"):
        if isinstance(data.get(part), dict):
            keys += data[part]
    if isinstance(data.get("partitions"), dict):
        for into in data["partitions"].values():
            keys += [name for name in into if isinstance(name, str)] if isinstance(into, list) else []
    return tuple(dict.fromkeys(keys))
