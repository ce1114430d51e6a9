"""What a model is to those who judge it: parts by phase and step, and counts. Networks and graphs give it.

A phase is steps of one kind: one over a prompt of each request, or one for every new token, at a length
that grows. Parts are asked for by length, so that only the lengths that matter are ever made.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol, runtime_checkable

import msgspec

from einsim.specs.errors import SpecError
from einsim.specs.near import near
from einsim.workloads.models.flow import Flow
from einsim.workloads.models.parts import ModelPart
from einsim.workloads.settings import Parameter, Settings

Choices = Mapping[str, object]
"""What is left open and chosen by the machine, such as {"passes": "1"}; {} takes the settings as they are."""


class Phase(msgspec.Struct, frozen=True, kw_only=True):
    """Steps of one kind.

    `lengths` has a run of lengths for each request, which `parts` takes one at a time: tokens of a prompt, or
    tokens that are cached before a decode step. With `together` a step works for all requests at once, each
    at its own length. `kinks` are lengths at which the cost changes its slope, as where a window is full.
    `tokens` are those that all steps make or read, of all requests and batches; of a network of images they
    are images, as `unit` says. `notes` are what a reader of the figures has to know.
    """

    name: str
    lengths: tuple[range, ...]
    parts: Callable[[int, Choices], tuple[ModelPart, ...]]
    tokens: int
    together: bool = False
    kinks: tuple[int, ...] = ()
    unit: str = "tokens"
    notes: tuple[str, ...] = ()
    flow: Flow | None = None
    """What passes between the parts; None where nobody says it."""

    @property
    def last(self) -> int:
        """The largest length."""
        return max(run[-1] for run in self.lengths)


class ModelSize(msgspec.Struct, frozen=True, kw_only=True):
    """What a model weighs: values, and bytes as they are stored. `layers` counts an encoder's too, and of a
    graph its parts, as `counts` says; `batch` is how many of each request run at once.
    """

    parameters: int
    active_parameters: int
    layers: int
    weight_bytes: float
    kv_bytes_per_token: float
    state_bytes: float
    batch: int = 1
    counts: str = "layers"


@runtime_checkable
class Model(Protocol):
    """A whole network with its settings."""

    @property
    def name(self) -> str:
        """What it is called."""

    @property
    def summary(self) -> str:
        """One line on what it is."""

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        """What can be set: among them `part` and `layer`, by which `chosen` goes."""

    def phases(self, settings: Settings) -> tuple[Phase, ...]:
        """What is run, in order; SpecError where the settings don't go together."""

    def size(self, settings: Settings) -> ModelSize:
        """What it weighs, in the settings' widths."""


PART_PARAMETERS = (
    Parameter(
        name="part", kind="text",
        summary="all of the model, or one part: layer, embedding, head or any name in the table of parts",
    ),
    Parameter(name="layer", kind="size", least=0, summary="only the layer at this place, from 0"),
    Parameter(
        name="between", kind="choice", choices=("chip", "dram"), default="chip",
        summary="whether results stay on chip for later parts where that gains, or all pass through DRAM",
    ),
)  # fmt: skip
WHOLE = "all"
CHIP = "chip"
LAYER = "layer"


def is_whole(settings: Settings) -> bool:
    """Whether the settings mean the whole model."""
    return settings.text("part") in {"", WHOLE} and not settings.given("layer")


def chosen(parts: Sequence[ModelPart], settings: Settings) -> tuple[ModelPart, ...]:
    """The parts that `part` and `layer` mean: all of a model's, all of a layer, or one.

    "layer" is the one that stands at most places. SpecError with the names that there are.
    """
    if is_whole(settings):
        return tuple(parts)
    found = list(parts)
    if settings.given("layer"):
        at = settings.size("layer")
        found = [part for part in parts if at in part.places]
        if not found:
            places = [place for part in parts for place in part.places]
            rule = f"must be one of the {1 + max(places)} layers, from 0" if places else "the model has none"
            raise settings.error("layer", rule)
    wanted = settings.text("part")
    if wanted in {"", WHOLE}:
        return tuple(found)
    if wanted == LAYER:
        repeated = [part for part in found if part.places]
        if repeated:
            most = max(repeated, key=lambda part: part.count).places
            return tuple(part for part in repeated if part.places == most)
    named = [part for part in found if part.name == wanted or _short(part) == wanted]
    if not named:
        names = dict.fromkeys(name for part in found for name in (LAYER, _short(part), part.name))
        raise SpecError(
            "part", f"unknown part '{wanted}'", where=settings.where, hint=near(wanted, list(names))
        )
    exact = [part for part in named if part.name == wanted]
    return (exact[0] if exact else max(named, key=lambda part: part.count),)


def _short(part: ModelPart) -> str:
    """A layer's piece without its places: "experts" of "layer 3-60 experts"."""
    return part.name.rpartition(" ")[2] if part.places and not part.name[-1].isdigit() else part.name
