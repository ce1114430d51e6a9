"""The mapper's front door: the best mapping of a cascade on a machine, and how sure that is."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from contextlib import suppress

import msgspec

from einsim.accel.machine import Machine
from einsim.dataflow.effort import CHOICES, NODES, Effort
from einsim.dataflow.mapper.bound import counted_share, least
from einsim.dataflow.mapper.doubling import doubled_where_it_fits
from einsim.dataflow.mapper.exact import uncounted
from einsim.dataflow.mapper.found import Found, searched
from einsim.dataflow.mapper.judged import Judged, judged
from einsim.dataflow.mapper.moves import Moves
from einsim.dataflow.mapper.named import TemplateSpace
from einsim.dataflow.mapper.objective import Key, Objective, key_by, nondominated
from einsim.dataflow.mapper.point import Point, mapping
from einsim.dataflow.mapper.refine import JUDGED, refine
from einsim.dataflow.mapper.search import Search, SearchResult
from einsim.dataflow.mapper.seeds import from_dram, longer
from einsim.dataflow.mapper.settled import settled
from einsim.dataflow.mapper.space import MapSpace
from einsim.dataflow.mapper.tiles import MOST_SIZES, Menu
from einsim.dataflow.mapper.unpriced import check_searchable
from einsim.dataflow.mapping import Keep, Mapping, placed
from einsim.dataflow.result import Result
from einsim.dataflow.spatial import Layouts
from einsim.dataflow.templates import build_mapping, template_names
from einsim.dataflow.templates.layerwise import Branches, resident
from einsim.specs.argument import Amount, Count
from einsim.specs.collecting import collected_seldom
from einsim.specs.errors import EinsimError
from einsim.workloads.cascade import Cascade
from einsim.workloads.sparsity import DENSE

#: Why a space has no point.
UNKNOWN = "no groups of the space cover what carries state"

#: Why what a complete search found is not proven: it leaves out that tiles wait for one another.
WAITS = "not proven: its tiles wait for one another, in which another mapping could be faster"

#: A cascade that has another to beat is looked at with one part in so many of the nodes.
LATER = 4

#: A quick search doesn't refine a cascade that is known to be worse than another by more.
QUICK_LOSS = 0.2
#: Objectives by which points of the default's list are taken, for each that a quick search goes by.
LISTED: dict[str, tuple[str, ...]] = {
    "latency": ("latency",), "energy": ("energy", "latency"), "edp": ("energy", "latency"),
}  # fmt: skip

#: A search starts from what the effort below finds, so that more effort is never worse.
BELOW: dict[Effort, Effort] = {"normal": "quick", "proof": "normal"}

#: Next best mappings of a space that are finalists too, of other residents.
OTHERS = 2

#: Called with groups of Einsums done, groups in all, and the best seconds, joules and bytes so far, if any.
Progress = Callable[[int, int, tuple[float, float, float] | None], None]

#: Vectors of tile sizes of one loop nest up to which a menu is the default: it is searched in seconds.
MOST_VECTORS: dict[Menu, int] = {"all": 100_000, "perfect": 30_000}
#: The same where Einsums may be fused: a nest is then searched inside every vector of shared tiles.
MOST_FUSED_VECTORS = 2_000
#: Einsums of a cascade up to which menus finer than steps are a default.
FEW_EINSUMS = 3


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """The best mapping found. `result` is its analytical result.

    `proven`: nothing in `space` is better; else `gap` is the share by which something in it could be:
    1 - least / found, where nothing in it is below the least (`einsim.dataflow.mapper.bound`), or no mapping
    at all where that is better than all of it; None where no bound was worked out, by a quick search. `note`
    says what the answer does not cover, how much better anything could be where it is not of the space
    itself, or which template of the library, outside the space, is better than all of it.
    `front` holds, for the objective "pareto", every unbeaten mapping that was found by latency, energy and
    bytes; else the one answer. `finalists` are the best of the space, the next best with other results on
    chip, what refinement led to, and the library's: a simulation may prefer another than this model does.
    """

    mapping: Mapping
    result: Result
    proven: bool
    space: MapSpace | TemplateSpace
    nodes: int
    seconds: float
    gap: float | None = 0.0
    note: str = ""
    front: tuple[Judged, ...] = ()
    finalists: tuple[Judged, ...] = ()


@collected_seldom
def best_mapping(
    cascade: Cascade,
    machine: Machine,
    objective: Objective = "latency",
    *,
    within_bytes: Amount = math.inf,
    budget_s: Amount = math.inf,
    effort: Effort = "normal",
    nodes: Count | None = None,
    workers: Count = 1,
    space: MapSpace | None = None,
    templates: bool = True,
    layouts: Layouts = "full",
    starts: Sequence[Mapping] = (),
    progress: Progress = lambda *_: None,
    beat: Amount = math.inf,
) -> Answer:
    """The best legal mapping by the analytical model; ties go to the figure of `found.score`.

    `within_bytes` caps what is held on chip at once. After `nodes` partial mappings (as many as the `effort`
    allows, if not given), after `budget_s`, or on Ctrl-C, the best so far is returned, not proven. Neither
    `workers` (groups of Einsums searched at once) nor the speed of the machine changes the answer; a
    `budget_s` that runs out does. With `templates`, the library's mappings compete too, and `starts` that are
    legal, unless `space` restricts the search; what is found is refined, with these `layouts` on arrays. What
    is no better than `starts`, or to `beat`, which another cascade of the same function has reached, need not
    be found. Raises SpecError for an objective of energy on a machine that doesn't state what it costs, and
    EinsimError where no mapping fits.
    """
    check_searchable(cascade, machine, objective, starts)
    start = time.monotonic()
    given = space is not None
    builds = not given and objective in LISTED and within_bytes == math.inf
    builds = builds and (effort != "quick" or not nodes)
    if builds and effort == "quick":
        return _quick(cascade, machine, objective, templates, layouts, starts, start + budget_s, beat)

    def less_effort() -> list[Judged]:
        left = max(0.0, start + budget_s - time.monotonic())
        below = best_mapping(
            cascade, machine, objective, budget_s=left, effort=BELOW[effort], workers=workers,
            templates=templates, layouts=layouts, starts=starts, beat=beat,
        )  # fmt: skip
        return [*below.finalists, *longer(cascade, machine, LISTED[objective])]

    few = effort != "proof" and not given and len(cascade.einsums) > FEW_EINSUMS
    lower = less_effort() if builds and few else []
    nodes = nodes or NODES["quick" if few else effort] // (LATER if beat < math.inf else 1)
    space = space or default_space(cascade, machine, objective, effort)
    relaxed, reason = _searchable(space)
    legal = (judged(one, cascade, machine) for one in (() if given or objective == "pareto" else starts))
    begun = [pair for pair in legal if pair and sum(pair[1].buffers.values()) <= within_bytes]
    bars = [*begun, *lower]  # none of what less effort found where a proof needs what is as good
    least_known = min([beat, *(_rank(result, objective)[0] for _, result in bars)])
    found: list[Judged] = []
    others: list[Judged] = []
    proven, looked, bottom = False, 0, 0.0  # nothing is below that
    if relaxed is not None:
        seconds = relaxed.scale.tick_s

        def report(done: int, groups: int, best: Found | None) -> None:
            figures = None if best is None else (best.ticks * seconds, best.joules, best.held)
            progress(done, groups, figures)

        left = counted_share(space) if reason else {}
        search = Search(
            relaxed, objective, report=report, within=within_bytes, budget_s=budget_s, nodes=nodes,
            workers=workers, left=left, few=few,
            beat=least_known / seconds if objective == "latency" else least_known,
        )  # fmt: skip
        facts = (relaxed, objective, repr(within_bytes), nodes, left, search.few, repr(least_known))
        outcome = searched(search, SearchResult, cascade, *facts)
        proven, looked = outcome.proven and not reason and bool(outcome.found), outcome.nodes

        def pairs(points: Sequence[Found]) -> list[Judged]:
            trees = [
                mapping(cascade, machine, Point(one.groups, one.resident, one.global_buffer))
                for one in points
            ]
            if objective not in ("buffer", "pareto"):
                trees = [doubled_where_it_fits(tree, cascade, machine, within_bytes) for tree in trees]
            legal = (judged(tree, cascade, machine) for tree in trees)
            return [pair for pair in legal if pair and sum(pair[1].buffers.values()) <= within_bytes]

        found, others = pairs(outcome.found), pairs(outcome.others[:OTHERS])
        bottom = outcome.floor * (seconds if objective == "latency" else 1)
        if proven and objective != "pareto":
            bottom = min((_key(one, objective, seconds) for one in outcome.found), default=math.inf)
    found.sort(key=lambda pair: _rank(pair[1], objective))
    done = builds and proven and _rank(found[0][1], objective)[0] <= bottom * (1 + 1e-9)
    done = done and settled(space, found[0], objective)
    if done:
        lower = [pair for pair in (judged(build_mapping(cascade, machine), cascade, machine),) if pair]
    elif builds and not few:
        lower = less_effort()
    begun += lower
    known = list(begun)
    for name in template_names() if templates and not given else ():
        space_of = TemplateSpace(name=name, cascade=cascade, machine=machine)
        known += space_of.best(objective, CHOICES[effort], within_bytes).found
    refined: list[Judged] = []
    beaten = beat < math.inf and not found and bool(known) and effort != "proof"
    if (not given and not beaten and not done) or (
        relaxed is None and not _asked(space, default_space(cascade, machine, objective))
    ):
        seeds = [[pair[0].tree for pair in pairs] for pairs in (known, (*found[:1], *others))]
        refined, judgements = refine(
            cascade, machine, objective, seeds, JUDGED[effort], space=space, within=within_bytes,
            layouts=layouts, until=start + budget_s,
        )  # fmt: skip
        looked += judgements
    mine: Judged | None = found[0] if found else None
    best, note = mine, f"not proven: {reason}" if reason else ""
    for pair in (*refined, *known):
        if mine is None or _better(pair, mine, objective):
            mine = pair
    if mine is None:
        build_mapping(cascade, machine)  # says what the machine lacks, where it has no mapping at all
        cap = f" within {within_bytes:.0f} bytes" if within_bytes < math.inf else ""
        why = f" ({reason})" if reason else ""
        raise EinsimError(f"{machine.name}: found no mapping of {cascade.name} that fits{cap}{why}")
    inside = mine is best and best is not None
    if mine in known and mine not in begun:
        note = f"the library's template {mine[0].template} is better than what the search found"
    elif not inside:
        proven = False
    if proven and inside and objective != "pareto":
        proven = _rank(mine[1], objective)[0] <= bottom * (1 + 1e-9)
        note = note if proven else WAITS
    gap, figure, beyond = 0.0, _rank(mine[1], objective)[0], ""
    if figure and not proven:
        bottom = max(bottom, least(space).of(objective))
        streamed = None if _otherwise(known, space, layouts) else False
        bare = bottom if inside else least(space, streamed=streamed).of(objective)
        if figure < bottom * (1 - 1e-9):  # better than all of the space
            bottom = bare
        gap, more = max(0.0, 1 - bottom / figure), 1 - bare / figure
        beyond = f"outside of the space at most {more:.1%} better" if more > gap + 1e-3 else ""
    note = "; ".join(one for one in (note, beyond, compared_without(mine[1], objective)) if one)
    front = nondominated([*found, *refined], lambda pair: _figures(pair[1]))
    return Answer(
        mapping=mine[0], result=mine[1], proven=proven, space=space, nodes=looked, gap=gap, note=note,
        seconds=time.monotonic() - start, finalists=_unlike([*found[:1], *others, *refined, *known]),
        front=tuple(front) if objective == "pareto" else (mine,),
    )  # fmt: skip


def _quick(
    cascade: Cascade, machine: Machine, objective: Objective, templates: bool, layouts: Layouts,
    starts: Sequence[Mapping], until: float, beat: float,
) -> Answer:  # fmt: skip
    """The best of the default's list, the library's templates and `starts`, and what it leads to."""
    start, space = time.monotonic(), default_space(cascade, machine, objective, "quick")
    known, listed = list[Judged](), list[Mapping]()
    for name in template_names() if templates else ():
        choices = TemplateSpace(name=name, cascade=cascade, machine=machine)
        known += choices.best(objective, CHOICES["quick"]).found
    for kind in LISTED[objective]:
        with suppress(EinsimError):
            alone = None if templates else Branches(cascade, machine, (), kind).mapping("mapper")
            listed.append(alone or resident(cascade, machine, kind))
    bare = [
        msgspec.structs.replace(one, template="mapper", tree=from_dram(cascade, machine, one.tree))
        for one in listed
    ]
    trees = (*starts, *listed, *bare)
    known += [pair for tree in trees if (pair := judged(tree, cascade, machine)) is not None]
    if not known:
        build_mapping(cascade, machine)  # says what the machine lacks, where it has no mapping at all
        raise EinsimError(f"{machine.name}: found no mapping of {cascade.name}")
    known.sort(key=lambda pair: _rank(pair[1], objective))
    refined, judgements = list[Judged](), 0
    if _rank(known[0][1], objective)[0] <= beat * (1 + QUICK_LOSS):
        refined, judgements = refine(
            cascade, machine, objective, [[known[0][0].tree]], JUDGED["quick"], space=space, within=math.inf,
            layouts=layouts, until=until,
        )  # fmt: skip
    finalists = _unlike([*refined, *known])
    mine = min(finalists, key=lambda pair: _rank(pair[1], objective))
    return Answer(
        mapping=mine[0], result=mine[1], proven=False, gap=None, space=space, nodes=judgements, front=(mine,),
        seconds=time.monotonic() - start, note=compared_without(mine[1], objective), finalists=finalists,
    )  # fmt: skip


def _unlike(pairs: Sequence[Judged]) -> tuple[Judged, ...]:
    """The first of those with the same tree."""
    kinds = {msgspec.msgpack.encode(one.tree): (one, result) for one, result in reversed(pairs)}
    return tuple(kinds.values())[::-1]


def compared_without(result: Result, objective: str) -> str:
    """What energies are compared without, where that matters and something isn't stated; else ""."""
    missing = result.energy_not_stated if objective in ("energy", "edp", "pareto") else ()
    return f"energies are compared without {', '.join(missing)}: not stated" if missing else ""


def default_space(
    cascade: Cascade, machine: Machine, objective: Objective = "latency", effort: Effort = "normal"
) -> MapSpace:
    """The space with the finest menu of tile sizes that is searched in seconds, or steps for a quick search.

    For latency, keeps have two buffers, without which loads and compute take turns; else one.
    """
    buffers = 2 if objective == "latency" else 1
    fine = effort != "quick" and len(cascade.einsums) <= FEW_EINSUMS
    for menu, most in MOST_VECTORS.items() if fine else ():
        listed = menu != "all" or all(rank.size <= MOST_SIZES for rank in cascade.ranks)
        space = MapSpace(cascade=cascade, machine=machine, menu=menu, buffers=buffers)
        if listed and space.largest_nest() <= (most if len(cascade.einsums) == 1 else MOST_FUSED_VECTORS):
            return space
    return MapSpace(cascade=cascade, machine=machine, menu="steps", buffers=buffers)


def _asked(space: MapSpace, usual: MapSpace) -> tuple[str, ...]:
    """What a space asks for that moves can't be told."""
    words = ("keep", "order", "groups", "resident", "most_fused", "longest", "buffers")
    return tuple(word for word in words if getattr(space, word) != getattr(usual, word))


def _otherwise(known: Sequence[Judged], space: MapSpace, layouts: Layouts) -> bool:
    """Whether units of some template find operands otherwise than where moves put them."""
    moves, trees = Moves(space, layouts), [pair[0].tree for pair in known]
    spilled = any(isinstance(node, Keep) and node.spill for tree in trees for _, node in placed(tree))
    return layouts != "full" or spilled or any(map(moves.odd, trees))


def _searchable(space: MapSpace) -> tuple[MapSpace | None, str]:
    """The space that the compiled model can search, and why an answer from it is not exact.

    Bounds that are no band are left out of an Einsum's search, patterns other than n:m of all, and an operand
    read at shifted indices counts as a whole: the mapping found is judged with all of it. None where no
    groups of the space cover the cascade: some state is carried in a way that only refinement may find room
    for.
    """
    reason = space.why_not_exact
    if not reason:
        return (space if space.covers else None), "" if space.covers else UNKNOWN
    work = space.cascade
    odd = {
        access.tensor
        for einsum in work.einsums
        for access in (*einsum.reads, einsum.output)
        if uncounted(work, space.machine, einsum, access)
    }
    tensors = tuple(
        msgspec.structs.replace(tensor, sparsity=DENSE) if tensor.name in odd else tensor
        for tensor in work.tensors
    )
    work = msgspec.structs.replace(work, tensors=tensors)
    relaxed = msgspec.structs.replace(space, cascade=work)
    return (relaxed if relaxed.covers else None), reason


def template_mapping(
    name: str,
    cascade: Cascade,
    machine: Machine,
    objective: Objective = "latency",
    *,
    effort: Effort = "normal",
    most: int | None = None,
) -> Answer:
    """The best mapping of a named template, of `most` choices or as many as the effort allows. EinsimError
    where the template does not suit cascade and machine, or where no choice of it fits.

    A template says which unit computes what, so nothing of it takes less than the work of the unit that is
    used most.
    """
    start = time.monotonic()
    space = TemplateSpace(name=name, cascade=cascade, machine=machine)
    best = space.best(objective, most or CHOICES[effort])
    if not best.found:
        build_mapping(cascade, machine, name)  # says why
        raise EinsimError(f"{machine.name}: found no mapping of the template {name} that fits")
    mine, *_ = best.found
    gap = 1 - max(mine[1].utilization.values()) if objective == "latency" else 1.0
    proven = best.complete or gap <= 1e-9
    return Answer(
        mapping=mine[0], result=mine[1], proven=proven, gap=0.0 if proven else gap, space=space,
        nodes=best.judged, seconds=time.monotonic() - start, front=(mine,), finalists=best.found,
    )  # fmt: skip


def _better(one: Judged, other: Judged, objective: str) -> bool:
    """Whether a mapping is better than another by more than rounding."""
    return _rank(one[1], objective)[0] < _rank(other[1], objective)[0] * (1 - 1e-9)


def _key(found: Found, objective: str, seconds: float) -> float:
    """The objective of something found, of which a tick takes so many seconds."""
    return key_by(objective, found.ticks * seconds, found.joules, found.held)[0]


def _figures(result: Result) -> tuple[float, float, float]:
    """Latency, energy and bytes."""
    return result.latency_s, result.energy_stated_j or 0.0, float(sum(result.buffers.values()))


def _rank(result: Result, objective: str) -> Key:
    """The objective, then the figure that breaks ties, from a result."""
    return key_by(objective, *_figures(result))
