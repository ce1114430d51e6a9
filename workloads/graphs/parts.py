"""A graph's parts, each a cascade; equal ones are one part with a count; and what lives between them."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property

import msgspec

from einsim.specs.errors import SpecError
from einsim.workloads.cascade import Cascade
from einsim.workloads.graphs.draft import PartDraft, PartInput
from einsim.workloads.graphs.folding import fold_batch_norms
from einsim.workloads.graphs.fusion import fused, roots, stored_roots
from einsim.workloads.graphs.graph import Node, OperatorGraph
from einsim.workloads.graphs.operators import CONTRACTIONS, LOWERED, check_operators, moves
from einsim.workloads.graphs.pointwise import COPY
from einsim.workloads.models.flow import OUTSIDE, Piece
from einsim.workloads.models.parts import ModelPart


class GraphPart(msgspec.Struct, frozen=True, kw_only=True):
    """Nodes as a cascade; what its inputs are, and which tensors the values are that others read."""

    name: str
    nodes: tuple[Node, ...]
    cascade: Cascade
    sources: Mapping[str, PartInput]
    results: Mapping[str, str]


class GraphNetwork(msgspec.Struct, frozen=True, kw_only=True, dict=True):
    """A graph with its batch norms folded, as parts in the order in which they are computed; `apart`: as
    `fused` has it.
    """

    graph: OperatorGraph
    apart: bool = False

    @cached_property
    def steps(self) -> tuple[GraphPart, ...]:
        """Every part in its order; equal ones have equal cascades."""
        check_operators(self.graph)
        folded = self.folded
        home = {
            value: at for at, group in enumerate(self._groups) for node in group for value in node.outputs
        }
        outside = {value for value in folded.outputs if value in home}
        for node in folded.nodes:
            for value in node.inputs:
                if value in home and (moves(folded, node) or node not in self._groups[home[value]]):
                    outside.add(value)
        return tuple(_lowered(folded, group, outside, self._stored) for group in self._groups)

    @cached_property
    def folded(self) -> OperatorGraph:
        """The graph as it is computed."""
        return fold_batch_norms(self.graph)

    @cached_property
    def _groups(self) -> list[tuple[Node, ...]]:
        return fused(self.folded, apart=self.apart)

    def stored(self, step: GraphPart) -> dict[str, tuple[str, ...]]:
        """Inputs of a part that are stored, each with the weights that it is made of."""
        return {
            name: () if source.made else self._stored[source.value]
            for name, source in step.sources.items() if source.made or source.value in self._stored
        }  # fmt: skip

    @cached_property
    def _stored(self) -> dict[str, tuple[str, ...]]:
        return stored_roots(self.folded)

    @cached_property
    def parts(self) -> tuple[ModelPart, ...]:
        """The distinct parts, each with its count and its places among the steps."""
        graph, counted = self.folded, set[str]()
        found: dict[tuple[object, ...], ModelPart] = {}
        for at, step in enumerate(self.steps):
            whole, stored = dict[str, int](), self.stored(step)
            for tensor, values in stored.items():
                learnt = sum(graph.weights[value] for value in values if value not in counted)
                counted |= set(values)
                if learnt != step.cascade.elements(tensor):
                    whole[tensor] = learnt
            tables = tuple(
                name for name, values in stored.items()
                if name[0] == "W" and self._tables.intersection(values)
            )  # fmt: skip
            key = step.cascade, tuple(whole.items()), tables
            known = found.get(key)
            places = (*known.places, at) if known else (at,)
            found[key] = ModelPart(
                name=known.name if known else step.name, cascade=step.cascade, count=len(places),
                places=places,
                weights=tuple(stored), whole=whole, tables=tables,
            )  # fmt: skip
        return tuple(found.values())

    @cached_property
    def _tables(self) -> frozenset[str]:
        """Weights of which rows are looked up."""
        return frozenset(
            value for node in self.folded.nodes if node.op == "Gather" and not moves(self.folded, node)
            for value in self._stored.get(node.inputs[0], ())
        )  # fmt: skip

    @property
    def parameters(self) -> int:
        """All that was learnt."""
        return self.graph.parameters

    def weight_bytes(self, matrices: float = 16, others: float = 16) -> float:
        """Bytes of what is stored at the widths of matrices and of all else, batch norms folded.

        What several parts read counts once; a matrix that is a table too has the table's width.
        """
        graph = self.folded
        multiply = {
            value for step in self.steps for name, values in self.stored(step).items() if name[0] == "W"
            for value in values
        }  # fmt: skip
        bits = {True: matrices, False: others}
        read = (value for value in graph.weights if graph.uses[value])
        return sum(graph.elements(value) * bits[value in multiply - self._tables] for value in read) / 8

    @cached_property
    def macs(self) -> int:
        """Multiply-accumulates of the whole; what convolutions do at padded places counts."""
        return sum(part.count * part.cascade.macs for part in self.parts)

    @cached_property
    def _roots(self) -> dict[str, tuple[str, ...]]:
        return roots(self.folded)

    @cached_property
    def _born(self) -> dict[str, int]:
        """The step that computes each value that others read; inputs are there from the first on."""
        made = {value: at for at, step in enumerate(self.steps) for value in step.results}
        return made | dict.fromkeys(self.folded.inputs, 0)

    @cached_property
    def live(self) -> tuple[int, ...]:
        """Elements of activations that are alive during each step: its own, and those that later ones read.

        A value lives from the step that computes it to the last that reads it; what only moves data copies
        nothing. Values within a part are the mapping's to place.
        """
        graph, made_of, born = self.folded, self._roots, self._born
        last = dict(born)
        for at, step in enumerate(self.steps):
            for node in step.nodes:
                for value in node.inputs:
                    last.update((root, at) for root in made_of.get(value, ()) if root in last)
        for value in graph.outputs:
            last.update((root, len(self.steps) - 1) for root in made_of.get(value, ()) if root in last)
        changes = [0] * (len(self.steps) + 1)
        for value, start in born.items():
            changes[start] += graph.elements(value)
            changes[last[value] + 1] -= graph.elements(value)
        found, now = [], 0
        for change in changes[:-1]:
            now += change
            found.append(now)
        return tuple(found)

    @property
    def pieces(self) -> tuple[Piece, ...]:
        """Each step with the values that pass to and from it; a graph's inputs and outputs are outside."""
        graph = self.folded
        left = {root for value in graph.outputs for root in self._roots.get(value, ())}
        known = dict.fromkeys(graph.inputs, OUTSIDE)
        for step in self.steps:
            for tensor in dict.fromkeys(step.results.values()):
                values = [value for value, name in step.results.items() if name == tensor]
                known |= dict.fromkeys(values, OUTSIDE if left & {*values} else len(known))
        part_at = {place: at for at, part in enumerate(self.parts) for place in part.places}
        return tuple(
            Piece(
                part=part_at[at],
                takes={
                    tensor: tuple(known.get(root, OUTSIDE) for root in self._roots[source.value])
                    for tensor, source in step.sources.items()
                    if not source.made and source.value not in self._stored and source.value in self._roots
                },
                makes={tensor: known[value] for value, tensor in step.results.items()},
            )
            for at, step in enumerate(self.steps)
        )  # fmt: skip

    def beside(self, part: ModelPart) -> int:
        """Elements that live on beside a part, which it doesn't read: at the place where they are most."""
        found = 0
        for at in part.places:
            step = self.steps[at]
            read = {
                root for node in step.nodes for value in node.inputs for root in self._roots.get(value, ())
            }
            own = sum(self.folded.elements(value) for value in {*read, *step.results} & set(self._born))
            found = max(found, self.live[at] - own)
        return found

    def peak_activation_bytes(self, bits: float = 16) -> float:
        """The most memory that activations take at once."""
        return max(self.live, default=0) * bits / 8

    @cached_property
    def notes(self) -> tuple[str, ...]:
        """What a reader of its figures has to know."""
        moved: dict[str, int] = {}
        for node in self.folded.nodes:
            copied = any(
                user.op == COPY for one in node.outputs for user in self.folded.consumers.get(one, ())
            )
            if moves(self.folded, node) and not copied:
                moved[node.op] = moved.get(node.op, 0) + 1
        listed = ", ".join(f"{op} x{count}" for op, count in sorted(moved.items()))
        found = [f"cost nothing, as views of memory: {listed}"] if listed else []
        padded = [
            (step.cascade.elements(tensor), math.prod(self.folded.shapes[source.value]))
            for step in self.steps for tensor, source in step.sources.items()
            if any(source.before) or math.prod(source.shape) > math.prod(self.folded.shapes[source.value])
        ]  # fmt: skip
        if padded:
            more = sum(with_padding for with_padding, _ in padded) / sum(own for _, own in padded) - 1
            parts = f"{len(padded)} part{'s' * (len(padded) > 1)}"
            found.append(f"inputs of {parts} are read with padding, {more:.1%} more than there is")
        return tuple(found)


def _lowered(
    graph: OperatorGraph, group: tuple[Node, ...], outside: set[str], stored: Collection[str]
) -> GraphPart:
    own = [value for node in group for value in node.outputs if value in outside]
    draft = PartDraft(graph, own, stored)
    named = next((node for node in group if node.op in CONTRACTIONS), group[0])
    kinds = "-".join(dict.fromkeys(node.op.lower() for node in group))
    for node in group:
        with _told(graph, node):
            LOWERED[node.op](node, draft)
    with _told(graph, named):
        cascade = draft.finish(kinds)
    return GraphPart(
        name=named.name, nodes=group, cascade=cascade, sources=draft.sources, results=draft.results
    )


@contextmanager
def _told(graph: OperatorGraph, node: Node) -> Iterator[None]:
    """Errors name the file and the node; attributes or inputs that none of its operator has are one."""
    place = f"{node.op} {node.name}"
    try:
        yield
    except SpecError as error:
        path = error.path if error.path.startswith(place) else f"{place} {error.path}".strip()
        raise SpecError(path, error.rule, got=error.got, where=graph.source, hint=error.hint) from None
    except (ArithmeticError, AssertionError, LookupError, ValueError) as error:
        raise SpecError(
            place, "is not as its operator is defined", got=str(error), where=graph.source
        ) from None
