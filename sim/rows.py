"""The jump from row to row: rows of tiles under a bound, each by as much longer than the one before.

Below a causal bound a loop over `p` goes down the diagonal, and the loop over `m` inside it some iterations
further each time. Rows that begin in the same state do the same until they are in the stretch of `m` that no
bound cuts. There the state repeats, as the jump inside the row has seen; so a longer row goes round that
period some more times (a shorter one fewer, as long as there are), leaves it in the same state, and does the
same along the diagonal. Three rows that begin in the same state say all that follows: each takes what the
last one took, and once more what that took longer than the one before.

It holds where all that decides is the same one row on. A place in a row counts from its nearer end, and the
ends move by the same steps from row to row. Bounds are linear, and moving on with an end of the rows changes
none of them: a tile there loses the same points as one there in the next row. Where an end stands still,
tiles there are whole in the first row and in the last. What one result adds up is an interval, of which a
tile has begun the same in each row but the first.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any, Final, NamedTuple, Protocol

from einsim.dataflow.cut import Cut
from einsim.dataflow.iteration import Path
from einsim.dataflow.mask import Box
from einsim.sim.actor import Actor
from einsim.sim.ledger import Ledger
from einsim.sim.stateful import Base, Period, Stateful
from einsim.sim.watch import Watch

EVER: Final = 2**63
KEPT: Final = 2
"""Rows kept clear at the end."""
FEWEST: Final = 8
"""Rows of a loop that is looked at."""

Skipped = tuple[dict[int, int], int, int]
"""A period inside a row that was skipped: iterations by loop, its ticks, and how often it was."""


Ends = dict[int, tuple[int, int]]
"""First and one-past-last iteration of loops by their slot, or how far these move."""


class RowStart(NamedTuple):
    """The beginning of a row: the loop's iteration, the time, a mark of every part and the state; what was
    skipped in the row before; and by how much each time is out of sight.
    """

    at: int
    time: int
    marks: list[Any]
    state: Any
    skipped: list[Skipped]
    hidden: list[int]


class RunOfRows(Protocol):
    """What is asked of a run."""

    actors: list[Actor]
    watch: Watch | None
    ledger: Ledger
    skipped: int

    @property
    def parts(self) -> Sequence[Stateful]:
        """All that has a state, operations first and in their order."""

    def now(self) -> int:
        """Simulated time in ticks, skipped periods included."""


class LooksAtLoops(Protocol):
    """What is asked of the jump: see `einsim.sim.jump.Jumper`."""

    lags: dict[int, int]
    members: dict[int, list[Actor]]

    def around(self, loop: int, reference: Actor, slot: int) -> Any:
        """The state of all that is outside a loop; None where something there is at work."""

    def base(self, loop: int) -> Base:
        """What states are relative to."""

    def leads(self, loop: int, base: Base, among: list[Actor]) -> list[Any]:
        """How far ahead each is that another waits for in a sibling loop, among some."""

    def until(self, most: int, movers: dict[int, int], strides: dict[int, int]) -> int:
        """So many periods, or fewer where something that stands still waits for the end of one."""


class RowJumper:
    """Watches loops that bounds cut anew in each iteration, and skips rows of them."""

    def __init__(self, run: RunOfRows, jumper: LooksAtLoops) -> None:
        self.run, self.jumper = run, jumper
        self.begun: dict[int, list[RowStart]] = {}
        self.skipped: dict[int, list[Skipped]] = {}
        self.versions: dict[int, dict[int, int]] = {}  # of the operations of a loop, as its last row began

    def jumped(self, strides: dict[int, int], ticks: int, periods: int) -> None:
        """Periods of some iterations of loops inside a row were skipped, each of so many ticks."""
        for skipped in self.skipped.values():
            skipped.append((strides, ticks, periods))

    def look(self, loop: int, reference: Actor, slot: int) -> bool:
        """A row begins: skip those that are known; whether there were any."""
        skipped, self.skipped[loop] = self.skipped.get(loop, []), []
        outside, members = self.jumper.around(loop, reference, slot), self.jumper.members[loop]
        if outside is None:
            self.begun.pop(loop, None)
            return False
        before, self.versions[loop] = self.versions.get(loop, {}), {one.op.id: one.version for one in members}
        moving = [one for one in members if before.get(one.op.id) != one.version or one.flying]
        base = self.jumper.base(loop)
        inner = {one.op.id: _inner(one, base.slots[one.op.id]) for one in members}
        base, now = base._replace(inner=inner), self.run.now()
        ages = [now - time for one in moving for time in one.mark().times]
        free = self.run.ledger.free_since
        idle = [now - free[unit] for unit in sorted({one.op.engine for one in moving} & {*free})]
        oldest = max(idle, default=0)  # no time before the idle one that is to be accounted for is looked at
        times = (idle, [min(age, oldest) for age in ages])
        parts = [part.state(base) for part in (*moving, *self.run.parts[len(self.run.actors) :])]
        still = [(one.op.id, one.version, one.phase) for one in members if one not in moving]
        state = (outside, self.jumper.leads(loop, base, moving), times, parts, still)
        marks = [part.mark() for part in self.run.parts]
        row = RowStart(reference.position[slot], now, marks, state, skipped, [age - oldest for age in ages])
        begun = self.begun.setdefault(loop, [])
        if begun and (begun[-1].at != row.at - 1 or begun[-1].state != state):
            begun.clear()
        begun.append(row)
        if len(begun) < 3 or any(phase not in ("waiting", "done") for *_, phase in still):
            return False
        done = self._skip(loop, moving, base, *begun)
        del begun[: 3 if done else 1]
        return done

    def _skip(
        self, loop: int, moving: list[Actor], base: Base, first: RowStart, second: RowStart, third: RowStart
    ) -> bool:  # fmt: skip
        movers = {actor.op.id: base.slots[actor.op.id] for actor in moving}
        for op, at in movers.items():
            places = [row.marks[op].position[at] for row in (first, second, third)]
            begun = self.run.actors[op].path.span(first.marks[op].position, at)[0]
            if at < 0 or places != [places[0], places[0] + 1, places[0] + 2]:
                return False
            if places[0] - begun <= self.jumper.lags[loop]:
                return False
        ticks, before = third.time - second.time, second.time - first.time
        longer = _longer(moving, movers, second.skipped, third.skipped)
        if longer is None or ticks - before != longer[0]:
            return False
        grown, most = longer
        for one, two, three in zip(first.hidden, second.hidden, third.hidden, strict=True):
            if two - one != three - two:
                return False
            most = min(most, three // (two - three)) if three < two else most
        rows = self.jumper.until(_together(moving, movers, most), movers, dict.fromkeys(movers, 1))
        if not all(_free(actor, movers, rows) for actor in moving):
            return False

        def takes(many: int) -> int:
            return many * ticks + grown * many * (many + 1) // 2

        if self.run.watch is not None:  # no further than to where the watch begins
            while rows > 0 and takes(rows) > self.run.watch.begin - self.run.now():
                rows -= 1
        if rows < 1:
            return False
        period = Period(
            ticks=takes(rows), movers=movers, strides=dict.fromkeys(movers, rows),
            lag=self.jumper.lags[loop], inner=base.inner,
        )  # fmt: skip
        alone = [actor for actor in moving if _one_a_row(actor, movers[actor.op.id])]
        counts = {actor.op.id: _counted(actor, movers[actor.op.id], rows) for actor in alone}
        for part, older, mark in zip(self.run.parts, first.marks, second.marks, strict=True):
            part.shift(part.longer(older, mark, rows), period, 1)
        for op, mine in counts.items():
            self.run.actors[op].counts = mine
        self.run.skipped += period.ticks
        return True


def _inner(actor: Actor, at: int) -> tuple[int, ...]:
    """Slots of the loops inside one whose iterations hang on it."""
    inside = range(at + 1, actor.path.depth) if at >= 0 else ()
    return tuple(slot for slot in inside if at in actor.path.couples[slot])


def _longer(
    actors: list[Actor], movers: dict[int, int], then: list[Skipped], now: list[Skipped]
) -> tuple[int, int] | None:  # fmt: skip
    """Ticks that a row takes longer than the one before, by the periods of the loops that grow, and rows in
    which there are some; None where that is not sure.
    """
    growth: dict[int, int] = {}
    for actor in actors:
        at = movers[actor.op.id]
        for slot, (first, stop) in _moved(_ends(actor, at, 0), _ends(actor, at, 1)).items():
            if growth.setdefault(actor.op.path[slot], stop - first) != stop - first:
                return None
    growing, found, most = {loop for loop, each in growth.items() if each}, 0, EVER
    alike = [[one for one in skipped if growing & {*one[0]}] for skipped in (then, now)]
    if [one[:2] for one in alike[0]] != [one[:2] for one in alike[1]]:
        return None
    for strides, ticks, periods in alike[1]:
        if not {*strides} <= growing or any(growth[loop] % each for loop, each in strides.items()):
            return None
        times = {growth[loop] // each for loop, each in strides.items()}
        if len(times) > 1:
            return None
        more = times.pop()
        found += more * ticks
        most = min(most, periods // -more) if more < 0 else most
        growing -= {*strides}  # in one period only
    return None if growing else (found, most)


def _ends(actor: Actor, at: int, ahead: int) -> Ends:
    """First and one-past-last iteration of each loop that hangs on the rows' one, in a row so far ahead."""
    path = actor.path
    place = [*actor.position[:at], actor.position[at] + ahead, *(0 for _ in range(at + 1, path.depth))]
    return {
        slot: path.span(place, slot)
        for slot in range(at + 1, path.depth)
        if at in path.couples[slot] and max(path.couples[slot]) == at  # not on one between
    }


def _moved(one: Ends, other: Ends) -> Ends:
    return {slot: (other[slot][0] - first, other[slot][1] - stop) for slot, (first, stop) in one.items()}


def _together(actors: list[Actor], movers: dict[int, int], most: int) -> int:
    """Rows that follow alike on all paths: eight times as many are looked at while all do, so that a look
    costs little more than what it finds.
    """
    found, reach = 0, 1
    while True:
        room = reach = min(reach, most)
        for actor in actors:
            room = min(room, _rows(actor, movers[actor.op.id], room))
            if room <= found:
                return found
        if room < reach or reach == most:
            return room
        found, reach = room, 8 * reach


def _rows(actor: Actor, at: int, most: int) -> int:
    """Rows that follow alike on an operation's path, those of the last two with them."""
    path = actor.path
    loop, (_, stop) = path.loops[at], path.span(actor.position, at)
    stop = min(stop, path.range(actor.position, at)[1] // loop.tile)  # the last one may be smaller
    room = min(most, stop - 1 - KEPT - actor.position[at])
    start = _ends(actor, at, -2)
    step = _moved(start, _ends(actor, at, -1))
    for ahead in range(room + KEPT):
        far = {slot: (first * (ahead + 2), last * (ahead + 2)) for slot, (first, last) in step.items()}
        if _moved(start, _ends(actor, at, ahead)) != far:
            room = ahead - 1 - KEPT
            break
    if room < 1 or path.cut is None or _along(path, path.cut, actor.position, at, step, room + KEPT):
        return room
    if not _one_a_row(actor, at):
        return 0
    first, *others = _keys(actor, at, range(-2, room + KEPT))
    cost = actor.op.costs[first]
    return next((ahead - 1 - KEPT for ahead, key in enumerate(others) if actor.op.costs[key] != cost), room)


def _one_a_row(actor: Actor, at: int) -> bool:
    """Whether an operation has one tile in this row, which stands in its loops inside as the row before's."""
    path, ends = actor.path, _ends(actor, at, 0)
    inside = range(at + 1, path.depth)
    alone = (
        ends[slot][1] - ends[slot][0] == 1 if slot in ends else path.loops[slot].count == 1 for slot in inside
    )
    return all(alone) and ends == _ends(actor, at, -1)


def _free(actor: Actor, movers: dict[int, int], rows: int) -> bool:
    """Whether nothing that stands still is waited for up to so many rows on."""
    at, path = movers[actor.op.id], actor.path
    ends = [_ends(actor, at, ahead) for ahead in (0, rows)]
    last = [max(one[slot][1] for one in ends) - 1 if slot in ends[0] else path.loops[slot].count - 1
            for slot in range(at + 1, path.depth)]  # fmt: skip
    corner = [*actor.position[:at], actor.position[at] + rows, *last]
    for lookup, producer in actor.waits:
        if producer.op.id not in movers:
            target = lookup.before(list(corner))
            if target is not None and not producer.reached(target):
                return False
    return True


def _keys(actor: Actor, at: int, ahead: range) -> list[tuple[int, ...]]:
    """Keys of the tiles of an operation that has one in each row, in rows so far ahead."""
    here = actor.position
    return [actor.path.key([*here[:at], here[at] + row, *here[at + 1 :]]) for row in ahead]


def _counted(actor: Actor, at: int, rows: int) -> dict[tuple[int, ...], int]:
    """What it has done so many rows on, if it has one tile in each: what it is at counts as it has begun."""
    begun = int(actor.phase != "waiting")
    return dict(Counter(actor.counts) + Counter(_keys(actor, at, range(begun, rows + begun))))


def _along(path: Path, cut: Cut, position: list[int], at: int, step: Ends, rows: int) -> bool:
    """Whether in the two rows before and in so many more tiles that move with an end of them are cut alike,
    and those where an end stands still are whole.
    """
    several = [loop for loop in path.loops[at:] if len(loop.ranks) > 1]
    if several or cut.skips or any(mask.blocks or mask.within for mask in cut.masks):
        return False
    ranks = [path.loops[slot].rank for slot in (at, *step)]
    if len({*ranks}) < len(ranks):
        return False
    for end in (0, 1):
        by = {path.loops[at].rank: path.loops[at].tile}
        by |= {path.loops[slot].rank: ends[end] * path.loops[slot].tile for slot, ends in step.items()}
        if any(by.get(rank, 0) % of if of else by.get(rank, 0) for rank, of in cut.places.items()):
            return False
        lines = [line for mask in cut.masks for line in mask.linear]
        moving = [line for line in lines if sum(value * by.get(r, 0) for r, value in line[0].items())]
        still = all(not ends[end] for ends in step.values())
        corners = [_corner(path, position, at, [*step], end, ahead) for ahead in (-2, rows)] if moving else []
        if (moving and not still) or any(mask.lacking(moving, box) for box in corners for mask in cut.masks):
            return False
    return True


def _corner(path: Path, position: list[int], at: int, slots: list[int], end: int, ahead: int) -> Box:
    """The tile at the first (0) or the last end (1) of a row so far ahead."""
    place = [*position[:at], position[at] + ahead, *(0 for _ in range(at + 1, path.depth))]
    found = path.box(place, at + 1)
    for slot in slots:
        first, stop = path.span(place, slot)
        place[slot] = stop - 1 if end else first
        found[path.loops[slot].rank] = path.interval(place, slot)
    return found
