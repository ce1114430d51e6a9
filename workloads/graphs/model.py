"""A graph as a model: its sizes as settings, one phase in which each part runs, and what it weighs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec
from msgspec.structs import replace

from einsim.specs.errors import EinsimError
from einsim.workloads.graphs import networks
from einsim.workloads.graphs.copying import with_copies
from einsim.workloads.graphs.graph import OperatorGraph
from einsim.workloads.graphs.parts import GraphNetwork
from einsim.workloads.models import roles
from einsim.workloads.models.model import CHIP, PART_PARAMETERS, Choices, ModelSize, Phase
from einsim.workloads.models.parts import ModelPart
from einsim.workloads.settings import Parameter, Settings
from einsim.workloads.sparsity import stored_bytes

FORWARD = "forward"
"""The one phase of a graph: from its inputs to its outputs."""
_BATCH = Parameter(name="b", kind="size", default=1, summary="batch: as many at once")
_SUMS = Parameter(
    name="sums", kind="choice", choices=("joined", "apart"), default="joined",
    summary="work on what two parts made, as residual sums: joined with the later one, or parts of their own",
)  # fmt: skip
_MOVES = Parameter(
    name="moves", kind="choice", choices=("views", "copies"), default="views",
    summary="what only moves data: views of memory, or copies as where channels lie in blocks",
)  # fmt: skip
_SPARSE = Parameter(
    name="sparse", kind="choice", choices=("dense", "2:4"), default="dense",
    summary="matrices and kernels of which two of four values along the input channels are zero: 2:4",
)  # fmt: skip
_WIDTHS = (
    Parameter(name="bits", kind="size", default=16, summary="bits of every value but those below"),
    Parameter(name="weights", kind="size", summary="bits of matrices and kernels (bits)"),
    Parameter(name="activations", kind="size", summary="bits of activations (bits)"),
)  # fmt: skip


class GraphModel(msgspec.Struct, frozen=True, kw_only=True):
    """`sizes` are the settings by which `build` makes the graph; `batch` tells how many `unit`s run."""

    name: str
    summary: str
    sizes: tuple[Parameter, ...]
    build: Callable[[Settings], OperatorGraph]
    batch: Callable[[Settings], int]
    unit: str = "images"

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        """Which part, how it is cut into parts, the graph's own sizes, and widths."""
        return (*PART_PARAMETERS, _SUMS, _MOVES, _SPARSE, *self.sizes, *_WIDTHS)

    def phases(self, settings: Settings) -> tuple[Phase, ...]:
        """One, of all parts. SpecError for a graph that has no cascades."""
        network = self._network(settings)
        width = settings.size("activations", settings.size("bits"))
        made = tuple(
            replace(_in_widths(part, settings), beside_bytes=network.beside(part) * width / 8)
            for part in network.parts
        )

        def parts(length: int, choices: Choices) -> tuple[ModelPart, ...]:
            del length, choices  # a graph has one length and one form
            return made

        phase = Phase(
            name=FORWARD, lengths=(range(1, 2),), parts=parts, tokens=self.batch(settings), unit=self.unit,
            notes=network.notes,
            flow=(lambda _: network.pieces) if settings.text("between") == CHIP else None,
        )  # fmt: skip
        return (phase,)

    def _network(self, settings: Settings) -> GraphNetwork:
        graph = self.build(settings)
        if settings.text("moves") == "copies":
            graph = with_copies(graph)
        return GraphNetwork(graph=graph, apart=settings.text("sums") == "apart")

    def size(self, settings: Settings) -> ModelSize:
        """What it weighs, batch norms folded. Its layers are its parts, in their order."""
        network = self._network(settings)
        bits = settings.size("bits")
        return ModelSize(
            parameters=network.parameters, active_parameters=network.parameters, layers=len(network.steps),
            weight_bytes=network.weight_bytes(settings.size("weights", bits), bits)
            - sum(_spared_bytes(part, settings) for part in network.parts),
            kv_bytes_per_token=0.0, state_bytes=0.0, batch=self.batch(settings), counts="parts",
        )  # fmt: skip


def _in_widths(part: ModelPart, settings: Settings) -> ModelPart:
    bits = settings.size("bits")
    weight, activation = settings.size("weights", bits), settings.size("activations", bits)
    cascade = roles.with_widths(
        part.cascade, weight=weight, activation=activation, kv=activation, other=bits, tables=part.tables
    )
    if settings.text("sparse") == "2:4":
        cascade = roles.pruned(cascade, 2, 4)
    return replace(part, cascade=cascade)


def _spared_bytes(part: ModelPart, settings: Settings) -> float:
    """Bytes that a sparse part's matrices don't take, those of all equal parts."""
    found = _in_widths(part, settings).cascade
    patterned = [tensor for tensor in found.inputs if tensor.sparsity.patterns]
    sizes = [(tensor, found.elements(tensor.name)) for tensor in patterned]
    return part.count * sum(count * one.bits / 8 - stored_bytes(one, count) for one, count in sizes)


def network_model(name: str) -> GraphModel:
    """A published network by its name; SpecError for an unknown one."""
    found = networks.entry(name)
    if found.seq:
        sizes: tuple[Parameter, ...] = (
            Parameter(name="seq", kind="size", default=found.seq, summary="tokens of a text"),
        )
    else:
        sizes = (
            Parameter(name="image", kind="size", summary="rows and columns of an image (as published)"),
            Parameter(name="columns", kind="size", summary="columns of an image (as its rows)"),
        )

    def build(settings: Settings) -> OperatorGraph:
        return networks.build(
            name, settings.size("b"), image=settings.size("image", 0), columns=settings.size("columns", 0),
            seq=settings.size("seq", 0),
        )  # fmt: skip

    return GraphModel(
        name=name, summary=f"network: {found.source}", sizes=(_BATCH, *sizes), build=build,
        batch=lambda settings: settings.size("b"), unit="texts" if found.seq else "images",
    )  # fmt: skip


def onnx_model(path: Path) -> GraphModel:
    """The network of an ONNX file; sizes that it leaves open are settings by the names that it gives them.

    Raises SpecError, one line, for what is no valid model, and EinsimError without the `onnx` package.
    """
    try:
        from einsim.workloads.graphs.onnx_file import OnnxFile
    except ModuleNotFoundError as error:
        raise EinsimError(f"{path}: ONNX files need another package: pip install 'einsim[onnx]'") from error
    file = OnnxFile(path)
    taken = {parameter.name for parameter in (*PART_PARAMETERS, *_WIDTHS)}
    named = {f"{name}_size" if name in taken else name: name for name in file.dimensions}
    open_size = Parameter(name="", kind="size", summary="a size that the file leaves open")
    sizes = tuple(
        replace(open_size, name=shown, default=file.dimensions[name] or None) for shown, name in named.items()
    )

    def build(settings: Settings) -> OperatorGraph:
        return file.graph(
            {name: settings.size(shown) for shown, name in named.items() if settings.given(shown)}
        )

    return GraphModel(
        name=file.name, summary=f"network of {path}", sizes=sizes, build=build,
        batch=lambda settings: file.batch({name: settings.size(shown, 0) for shown, name in named.items()}),
        unit="inputs",
    )  # fmt: skip
