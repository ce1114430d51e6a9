"""`encoder-layer` and `decoder-layer`: the layer that stands at most places in a known model."""

from __future__ import annotations

from msgspec.structs import replace

from einsim.workloads.cascade import Cascade
from einsim.workloads.library.workload import Workload
from einsim.workloads.models.language import PARAMETERS
from einsim.workloads.models.model import chosen
from einsim.workloads.models.names import MODEL_CHOICES, named_model
from einsim.workloads.settings import Parameter, Settings, read_settings


def _layer(settings: Settings, name: str) -> Cascade:
    """At the last length of the first phase."""
    model = named_model(settings.text("model"))
    given = {key: value for key, value in settings.values.items() if value is not None and key != "model"}
    read = read_settings(model.parameters, {**given, "part": "layer"}, name)
    phase = model.phases(read)[0]
    return replace(chosen(phase.parts(phase.last, {}), read)[0].cascade, name=name)


def _workload(kind: str, default: str, what: str) -> Workload:
    name = f"{kind}-layer"
    choice = Parameter(
        name="model", kind="choice", choices=MODEL_CHOICES, default=default, summary="whose layer"
    )
    own = tuple(one for one in PARAMETERS if one.name not in ("part", "layer"))
    return Workload(
        name=name, summary=f"{what} transformer layer of a model",
        parameters=(choice, *(replace(one, default=None) if one.name == "b" else one for one in own)),
        build=lambda settings: _layer(settings, name),
    )  # fmt: skip


WORKLOADS = (
    _workload("encoder", "bert-base", "bidirectional"),
    _workload("decoder", "llama2-7b", "causal"),
)
