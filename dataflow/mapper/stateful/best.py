"""The best mappings of a fused group that carries state, judged by the analytical model."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Mapping as MappingType

import msgspec

from einsim.accel.machine import Machine
from einsim.dataflow.mapper.found import searched
from einsim.dataflow.mapper.judged import Judged, judged
from einsim.dataflow.mapper.objective import OBJECTIVES, key_by, nondominated
from einsim.dataflow.mapper.stateful.group import group_of, why_not_exact
from einsim.dataflow.mapper.stateful.point import mapping
from einsim.dataflow.mapper.stateful.search import StatefulFound, StatefulSearch
from einsim.dataflow.mapper.stateful.space import StatefulSpace
from einsim.dataflow.mapper.tiles import Menu
from einsim.dataflow.spatial import Layouts
from einsim.workloads.cascade import Cascade
from einsim.workloads.sparsity import DENSE

Progress = Callable[[int, int, tuple[float, float, float] | None], None]
#: A partial choice here takes as long as so many partial mappings of the compiled search.
LOOK = 100
#: What a front is made of: the best by each of these.
ENDS = tuple(name for name in OBJECTIVES if name != "pareto")


class Carried(msgspec.Struct, frozen=True, kw_only=True):
    """What a search found: `found` is empty where nothing fits, and then `note` may say why.

    `bound`: nothing in the space is below it, in the objective's unit; 0 where nothing is known.
    """

    found: tuple[Judged, ...]
    proven: bool
    nodes: int
    space: StatefulSpace | None = None
    bound: float = 0.0
    note: str = ""


def plain(cascade: Cascade) -> Cascade:
    """The cascade without bounds and sparsity, with whole bytes a value."""
    tensors = tuple(
        msgspec.structs.replace(tensor, sparsity=DENSE, bits=-(-tensor.bits // 8) * 8)
        for tensor in cascade.tensors
    )
    return msgspec.structs.replace(cascade, bounds=(), tensors=tensors)


def carried_state(
    cascade: Cascade,
    machine: Machine,
    objective: str,
    *,
    within: float,
    budget_s: float,
    nodes: int,
    menu: Menu = "steps",
    unit: MappingType[str, str] | None = None,
    layouts: Layouts = "full",
    progress: Progress = lambda *_: None,
) -> Carried:
    """Search the space of a cascade whose Einsums carry state, as one fused group.

    Bounds and sparsity are left out of the search; what it finds is judged with them, and is then not
    proven. A front is made of the best by each objective, and is not proven either.
    """
    work = plain(cascade)
    reason = group_of(work)
    if isinstance(reason, str):
        return Carried(found=(), proven=False, nodes=0, note=f"not one fused group with state: {reason}")
    space = StatefulSpace(cascade=work, machine=machine, menu=menu, unit=unit or {}, layouts=layouts)
    inexact = why_not_exact(cascade, machine)
    seconds = 1 / (space.model.clock.ticks_per_cycle * machine.clock_hz)

    def report(done: int, total: int, best: StatefulFound) -> None:
        figures = (best.ticks * seconds, best.joules, float(best.held)) if best.point is not None else None
        progress(done, total, figures)

    pareto = objective == "pareto"
    ends = ENDS if pareto else (objective,)
    found: tuple[Judged, ...] = ()
    for innermost in (
        (False, True) if cascade.bounds else (False,)
    ):  # bounds may forbid to keep an input further out
        space = msgspec.structs.replace(space, innermost=innermost)
        most = nodes // LOOK // len(ends)
        results = [
            searched(
                StatefulSearch(
                    space, end, within=within, budget_s=budget_s / len(ends), most=most, report=report
                ),
                StatefulFound, cascade, space, end, repr(within), most,
            )
            for end in ends
        ]  # fmt: skip
        points = [result.point for result in results if result.point is not None]
        trees = [mapping(space.group, machine, point) for point in points]
        pairs = [judged(tree, cascade, machine) for tree in trees]
        found = tuple(pair for pair in pairs if pair is not None)
        if found:
            break
    least = results[0].bound if not inexact and not pareto else None
    bound = 0.0 if least is None else least[0] * (seconds if objective in ("latency", "edp") else 1)
    complete = bool(found) and least is not None and results[0].proven
    proven = complete and _figure(found[0], objective) <= bound * (1 + 1e-9)
    note = f"not proven: {inexact}" if inexact else _waits(results[0], space, seconds)
    return Carried(
        found=tuple(nondominated(found, _figures)) if pareto else found, proven=proven,
        nodes=LOOK * sum(result.nodes for result in results), space=space, note=note,
        bound=bound,
    )  # fmt: skip


def _waits(result: StatefulFound, space: StatefulSpace, seconds: float) -> str:
    """What the pipeline's pace costs, where it costs something."""
    if result.point is None:
        return ""
    bound = space.model.figures(result.point).bound
    if result.ticks > bound * 1.001:
        return f"tiles can't follow each other fast enough: {result.ticks * seconds:.4g} s with their waits"
    return ""


def _figure(pair: Judged, objective: str) -> float:
    """The objective of a mapping by the analytical model."""
    seconds, joules, held = _figures(pair)
    return key_by(objective, seconds, joules, held)[0]


def _figures(pair: Judged) -> tuple[float, float, int]:
    """Latency, energy and bytes."""
    return pair[1].latency_s, pair[1].energy_stated_j or 0.0, sum(pair[1].buffers.values())
