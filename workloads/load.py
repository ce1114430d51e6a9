"""A workload from what a user types: a library name, a model's name, a YAML, `config.json` or ONNX file.

Of a model it is one part, a cascade; the whole is `load_model`'s.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from msgspec.structs import replace

from einsim.specs.argument import Setting
from einsim.specs.errors import SpecError
from einsim.specs.near import near
from einsim.workloads import library
from einsim.workloads.cascade import Cascade
from einsim.workloads.file import read_cascade
from einsim.workloads.models.configs import read_network
from einsim.workloads.models.language import NetworkModel
from einsim.workloads.models.model import Model, Phase, chosen
from einsim.workloads.models.names import ALIASES, model_names, named_model
from einsim.workloads.models.parts import ModelPart
from einsim.workloads.settings import Parameter, read_settings


def workload_names() -> tuple[str, ...]:
    """Names that `load_workload` knows: the library's cascades, then the models and networks."""
    return (*library.names(), *model_names(), *network_names())


def describe(name: str) -> tuple[str, tuple[Parameter, ...]]:
    """One line on a known name, and its parameters; SpecError for any other name."""
    if name in library.names():
        found = library.entry(name)
        return found.summary, found.parameters
    if is_model_name(name):
        model = _named(name)
        return model.summary, model.parameters
    raise _unknown(name)


def is_model_name(name: str) -> bool:
    """Whether it is a model's or network's name, or an alias."""
    return name in model_names() or name in ALIASES or name in network_names()


def network_names() -> tuple[str, ...]:
    """Names of networks that are graphs."""
    from einsim.workloads.graphs import networks  # 15 ms that only those pay who ask for no other name

    return networks.network_names()


def _named(name: str) -> Model:
    if name in model_names() or name in ALIASES:
        return named_model(name)
    from einsim.workloads.graphs.model import network_model

    return network_model(name)


def is_config(path: Path) -> bool:
    """Whether a file is to be read as a model's configuration rather than as a cascade."""
    return path.suffix.lower() == ".json"


def load_model(name_or_path: str | Path) -> Model | None:
    """The model of a name, a `config.json` or an ONNX file; None for what is no model.

    SpecError for a faulty file.
    """
    name = str(name_or_path)
    if name in library.names():
        return None
    if is_model_name(name):
        return _named(name)
    if Path(name).suffix.lower() == ".onnx":
        from einsim.workloads.graphs.model import onnx_model

        return onnx_model(Path(name))
    return NetworkModel(network=read_network(Path(name))) if is_config(Path(name)) else None


def load_workload(name_or_path: str | Path, settings: Mapping[str, Setting] | None = None) -> Cascade:
    """The cascade of a library name or a YAML file, or of one part of a model.

    A model is a name, a `config.json` or an ONNX file; its part is the layer that stands at most places,
    unless `part` or `layer` says another. `settings` are what `--set` takes, as Python values or text:
    `{"seq": "4K", "causal": True}`. Raises SpecError for an unknown name or setting, with the nearest known
    one, and for whatever a file has wrong.
    """
    name, settings = str(name_or_path), settings or {}
    if name in library.names():
        entry = library.entry(name)
        return entry.build(read_settings(entry.parameters, settings, entry.name))
    model = load_model(name)
    if model is not None:
        return one_part(model, settings)[1].cascade
    path = Path(name)
    if path.suffix.lower() not in (".yaml", ".yml") and "/" not in name:
        raise _unknown(name)
    return read_cascade(path, settings)


def one_part(model: Model, given: Mapping[str, object]) -> tuple[Phase, ModelPart]:
    """The part that `given` means, at the last length of the first phase that has it.

    Of a layer of several parts it is the first: the layer without its experts. The cascade is named after
    model and part.
    """
    if not {"part", "layer"} & given.keys():
        given = {**given, "part": "layer"}
    settings = read_settings(model.parameters, given, model.name)
    phase = model.phases(settings)[0]
    part = chosen(phase.parts(phase.last, {}), settings)[0]
    name = f"{model.name} {part.name} {phase.name}"
    return phase, replace(part, cascade=replace(part.cascade, name=name))


def _unknown(name: str) -> SpecError:
    hint = near(name, [*workload_names(), *ALIASES])
    return SpecError(
        "workload",
        f"unknown workload '{name}'",
        hint=f"{hint} (or a .yaml file, a config.json or an .onnx file)",
    )
