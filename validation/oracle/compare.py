"""The oracle against the analytical model and the simulator: where their figures differ, by kind."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

import msgspec
import numpy as np

from einsim.accel.machine import LEAKAGE, Machine
from einsim.dataflow.account import static_counts
from einsim.dataflow.analytical import analyse
from einsim.dataflow.legality import check
from einsim.dataflow.lower import lower
from einsim.dataflow.mapping import Keep, Mapping, walk
from einsim.dataflow.program import Action, Program
from einsim.dataflow.result import Result
from einsim.sim.engine import simulate
from einsim.specs.errors import EinsimError
from einsim.validation.oracle.draw_cascade import KINDS, draw_cascade
from einsim.validation.oracle.draw_machine import draw_machine
from einsim.validation.oracle.draw_mapping import draw_mapping, rework
from einsim.validation.oracle.possible import impossible
from einsim.validation.oracle.price import dynamic_energy, least_cycles
from einsim.validation.oracle.walk import Execution, Inputs, run
from einsim.workloads.cascade import Cascade
from einsim.workloads.execute import execute

NEAR = 1e-9


class DrawnCase(msgspec.Struct, frozen=True, kw_only=True):
    """A cascade on a machine by a mapping; `name` is SEED/NUMBER, from which it is drawn again."""

    name: str
    kind: str
    work: Cascade
    chip: Machine
    mapping: Mapping

    @property
    def size(self) -> int:
        """How much there is to read in it: nodes and ranks' points."""
        return 50 * sum(1 for _ in walk(self.mapping.tree)) + sum(rank.size for rank in self.work.ranks)


class Disagreement(msgspec.Struct, frozen=True, kw_only=True):
    """One figure that differs: `kind` sorts it, `text` gives both. `what` it is of: a memory and its tensor,
    or a component; "" where it is no figure.
    """

    kind: str
    text: str
    what: str = ""


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """What was found of a case. `legal`: legality takes it; `right`: the machine can do it, and it computes
    every point once and the right values. `compared`: how many figures of each kind were compared.
    """

    case: DrawnCase
    legal: bool
    right: bool
    found: tuple[Disagreement, ...]
    compared: dict[str, int] = {}


class Pair(NamedTuple):
    """One figure as it was found, and as the oracle has it; `where` is the kind of place that it is of."""

    kind: str
    where: str
    what: str
    theirs: float
    ours: float


def draw(
    seed: int, number: int, kinds: tuple[str, ...] = tuple(KINDS), *, reworked: bool = False
) -> DrawnCase | None:
    """Case `number` of a seed; None where the template that it asks for does not apply. In the mapping of a
    `reworked` one up to five things were changed.
    """
    rng = random.Random(f"{seed}/{number}")  # noqa: S311 - cases, not secrets
    kind = kinds[number % len(kinds)]
    work = draw_cascade(kind, rng)
    chip = draw_machine(rng, plain=rng.random() < 0.4)
    mapping = draw_mapping(work, chip, rng)
    if mapping is None:
        return None
    if reworked:
        mapping = msgspec.structs.replace(mapping, tree=rework(mapping.tree, work, chip, rng))
    return DrawnCase(name=f"{seed}/{number}", kind=kind, work=work, chip=chip, mapping=mapping)


def values_of(work: Cascade, seed: int = 0) -> Inputs:
    """Values near 1 for every input, so that nothing vanishes and nothing grows out of hand."""
    rng = np.random.default_rng(seed)
    return {tensor.name: rng.uniform(0.5, 1.5, work.shape(tensor.name)) for tensor in work.inputs}


def judge(case: DrawnCase, *, figures: bool = True) -> Verdict:
    """Hold one case against the oracle: whether it is taken, its values, and the `figures` of both levels."""
    outcome, right = _executed(case, 0)
    once = all(outcome.visited[einsum.name] == case.work.points(einsum.name) for einsum in case.work.einsums)
    reasons = list(impossible(case.work, case.chip, case.mapping))
    whole = right and once and not reasons
    try:
        check(case.mapping, case.work, case.chip)
    except EinsimError as error:
        whole = whole and all(
            _executed(case, seed)[1] for seed in (1, 2)
        )  # not right by luck, as a maximum is
        found = [Disagreement(kind=f"refused: {_rule(error)}", text=str(error))] if whole else []
        return Verdict(case=case, legal=False, right=whole, found=tuple(found))
    found = [Disagreement(kind="impossible", text=reasons[0])] if reasons else []
    if not right:
        found.append(Disagreement(kind="values", text=f"missing: {sorted(outcome.missing) or 'nothing'}"))
    if not once:
        found.append(Disagreement(kind="computed again", text=str(dict(outcome.visited))))
    compared: dict[str, int] = {}
    if figures:
        differing, compared = _figures(case, outcome)
        found += differing
    return Verdict(case=case, legal=True, right=whole, found=tuple(found), compared=compared)


def _executed(case: DrawnCase, seed: int) -> tuple[Execution, bool]:
    """What the oracle makes of a case on the values of a seed, and whether its results are the cascade's."""
    inputs = values_of(case.work, seed)
    outcome, wanted = run(case.work, case.chip, case.mapping, inputs), execute(case.work, inputs)
    return outcome, not outcome.missing and all(
        np.allclose(outcome.outputs[name][asked], wanted[name][asked], rtol=1e-9, equal_nan=True)
        for name, asked in outcome.results.items()
    )


def _figures(case: DrawnCase, outcome: Execution) -> tuple[list[Disagreement], dict[str, int]]:
    """Where figures of either level differ, and how many of each kind were compared."""
    found = []
    try:
        program = lower(case.mapping, case.work, case.chip)
        levels = [analyse(program, case.chip), simulate(program, case.chip)]
    except (EinsimError, AssertionError, KeyError, IndexError, ValueError, ZeroDivisionError) as error:
        found.append(Disagreement(kind=f"fails: {type(error).__name__}", text=str(error)))
        levels = []
    seen: set[Disagreement] = set()
    compared = Counter(values=sum(int(asked.sum()) for asked in outcome.results.values()))
    if levels:
        found += _room(case, program, outcome)
        pairs = list(_actions(case.chip, program, outcome))
        compared["actions"] = len(pairs)
        found += [one for pair in pairs for one in _apart(pair)]
    for result in levels:  # where the simulator errs just as the analytical model does, it is said once
        pairs = list(_pairs(case, outcome, result))
        compared.update(pair.kind for pair in pairs)
        new = [*(one for pair in pairs for one in _apart(pair)), *_limits(case, outcome, result)]
        prefix = "" if result.level == "analytical" else "sim only: "
        found += [msgspec.structs.replace(one, kind=prefix + one.kind) for one in new if one not in seen]
        seen |= set(new)
    if levels and levels[0].cycles > levels[1].cycles:
        text = f"{levels[0].cycles} cycles, simulated {levels[1].cycles}"
        found.append(Disagreement(kind="analytical above sim", text=text))
    return found, dict(compared)


def _rule(error: EinsimError) -> str:
    """The rule of an error without its names, to sort by."""
    return " ".join(word for word in str(error).split(": ", 1)[-1].split() if word.islower())[:60]


def _apart(pair: Pair) -> Iterator[Disagreement]:
    """The disagreement, where the figures are not equal but for rounding."""
    theirs, ours = pair.theirs, pair.ours
    if abs(theirs - ours) > NEAR * max(abs(theirs), abs(ours), 1e-18):
        kind = " ".join(word for word in (pair.kind, pair.where, "more" if theirs > ours else "less") if word)
        yield Disagreement(kind=kind, text=f"{pair.what} {theirs:g}, oracle {ours:g}", what=pair.what)


def _actions(chip: Machine, program: Program, outcome: Execution) -> Iterator[Pair]:
    """Ops and register accesses by unit. What a unit without registers holds is part of its ops."""
    theirs: Counter[Action] = Counter()
    for op in program.ops:
        for key, times in static_counts(program)[op.id].items():
            for action, number in op.costs[key].actions.items():
                theirs[action] += number * times
    ours = Counter({Action(unit, "op", op): count for (unit, op), count in outcome.ops.items()})
    for (unit, what), count in outcome.books.registers.items():
        if chip.unit(unit).registers is not None:
            ours[Action(unit, "register", what)] = count
    for action in sorted(theirs | ours):
        yield Pair("actions", action.kind, action.label, theirs[action], ours[action])


def _pairs(case: DrawnCase, outcome: Execution, result: Result) -> Iterator[Pair]:
    """Points, bytes and dynamic energy."""
    where = {memory.name: "near" for memory in case.chip.memories} | {case.chip.dram.name: "dram"}
    for name, cost in result.by_einsum.items():
        yield Pair("points", "", name, cost.points, outcome.points[name])
    for memory, tensors in result.traffic.items():
        moved = (t for m, t in (*outcome.books.reads, *outcome.books.writes) if m == memory)
        for tensor in dict.fromkeys((*tensors, *moved)):
            ours = outcome.books.reads[memory, tensor] + outcome.books.writes[memory, tensor]
            yield Pair("bytes", where[memory], f"{memory} {tensor}", tensors.get(tensor, 0), ours)
    energy = dynamic_energy(case.chip, outcome)
    for name in [name for name in dict.fromkeys((*energy, *result.energy_by)) if name != LEAKAGE]:
        kind = where.get(name, "registers" if name.endswith("registers") else "op")
        yield Pair("energy", kind, name, result.energy_by.get(name, 0.0), energy.get(name, 0.0))


def _room(case: DrawnCase, program: Program, outcome: Execution) -> Iterator[Disagreement]:
    """Memories that held more of a tensor than room was made for. Not looked at where it is compressed, or a
    state, whose old steps the oracle keeps.
    """
    spilling = {node.memory for node, _ in walk(case.mapping.tree) if isinstance(node, Keep) and node.spill}
    exploited = {pattern for unit in case.chip.units for pattern in unit.exploits}
    for (memory, name), values in outcome.held.items():
        tensor, producer = case.work.tensor(name), case.work.producer(name)
        if producer is not None and producer.iterative:
            continue
        least = next((one.value_bits for one in case.chip.memories if one.name == memory), 0)
        size, room = -(-values * max(tensor.bits, least) // 8), program.buffers.get(memory, 0)
        if size > room and memory not in spilling and not exploited & set(tensor.sparsity.patterns):
            yield Disagreement(
                kind="held", text=f"{memory} held {size} bytes of {name}, with room for {room}"
            )


def _limits(case: DrawnCase, outcome: Execution, result: Result) -> Iterator[Disagreement]:
    """Units more than busy, or busy when there is nothing to do, and cycles below what no unit, port or chain
    can do with less.
    """
    for name, share in result.utilization.items():
        if share > 1 + NEAR:
            yield Disagreement(kind="utilisation", text=f"{name} {share:g}")
    busy = {f"unit {name}": rows["busy"] for name, rows in result.breakdown_by_unit.items()}
    if result.level == "analytical":  # the simulator does not report how long its ports were held
        busy |= {f"port {name}": cycles for name, cycles in result.bound_by.items()}
    for name, rows in result.breakdown_by_unit.items():
        if rows["busy"] > outcome.unit_cycles[name] + 1:
            text = f"{name}: busy for {rows['busy']} cycles, needs {outcome.unit_cycles[name]:g}"
            yield Disagreement(kind="busy unit more", text=text)
    for name, least in least_cycles(case.work, case.chip, outcome, case.mapping).items():
        if busy.get(name, least) + 1 < least:
            text = f"{name}: busy for {busy[name]} cycles, at least {least:g}"
            yield Disagreement(kind=f"busy {name.split()[0]}", text=text)
        if result.cycles < least * (1 - NEAR):
            text = f"{name}: {result.cycles} cycles ({result.level}), at least {least:g}"
            yield Disagreement(kind=f"cycles {name.split()[0]}", text=text)
