"""What each operation waits for: data written before it is read, buffers emptied before they are refilled,
and the barriers of sequences.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from einsim.dataflow.draft import DraftOp
from einsim.dataflow.footprint import access_of, relevant_ranks
from einsim.dataflow.layout import Barrier, Home, Layout, Leaf, summed
from einsim.dataflow.program import Target, Wait
from einsim.workloads.ahead import Dependence, initial_only
from einsim.workloads.cascade import Access, Cascade

#: Versions of an iterative tensor that are alive at once: the one read and the one written.
STATE_VERSIONS = 2


def add_waits(cascade: Cascade, layout: Layout, drafts: list[DraftOp]) -> list[tuple[Wait, ...]]:
    """Waits of each draft, in the drafts' order."""
    builder = _WaitsOf(cascade, layout, drafts)
    return [builder.waits(number) for number in range(len(drafts))]


class _WaitsOf:
    def __init__(self, cascade: Cascade, layout: Layout, drafts: list[DraftOp]) -> None:
        self.cascade = cascade
        self.layout = layout
        self.drafts = drafts
        self.loads: dict[tuple[str, tuple[int, ...]], list[int]] = {}
        self.stores: dict[tuple[str, tuple[int, ...]], int] = {}
        self.users: dict[str, list[int]] = {}  # of each tensor what reads or moves it
        self.members: dict[tuple[int, ...], list[int]] = {}  # computes and stores below each node
        self.barriers = {(*barrier.place, barrier.child): barrier for barrier in layout.barriers}
        self.computes: dict[str, int] = {}
        self.empty = not all(cascade.points(einsum.name) for einsum in cascade.einsums)
        for number, draft in enumerate(drafts):
            if draft.kind == "compute":
                self.computes[draft.subject] = number
            elif draft.home is not None:
                key = draft.subject, draft.home.place
                if draft.kind == "load":
                    self.loads.setdefault(key, []).append(number)
                else:
                    self.stores[key] = number
            compute = draft.kind == "compute"
            reads = [access.tensor for access in cascade.einsum(draft.subject).reads] if compute else []
            for tensor in dict.fromkeys(reads if compute else [draft.subject]):
                self.users.setdefault(tensor, []).append(number)
            place = draft.standing
            for depth in range(len(place) + 1) if draft.kind != "load" else ():
                self.members.setdefault(place[:depth], []).append(number)

    def waits(self, number: int) -> tuple[Wait, ...]:
        draft = self.drafts[number]
        found: list[Wait] = []
        if draft.kind == "compute":
            einsum = self.cascade.einsum(draft.subject)
            for access in einsum.reads:
                found += self._data(number, access, _inner(draft.leaf, access.tensor))
            found += self._going_on(number, number, summed(self.cascade, self.layout, draft.leaf))
            home = _inner(draft.leaf, draft.subject)
            if home is not None:
                found += self._room(number, home)
                found += self._brought(number, home)
        elif draft.kind == "load" and draft.resumes:
            assert draft.home is not None
            found += [*self._left(number, draft.home), *self._room(number, draft.home)]
        elif draft.kind == "load":
            assert draft.home is not None
            reads = [access for leaf, access in draft.moves if leaf is draft.leaf]
            for access in reads if draft.carried else reads[:1]:
                found += self._data(number, access, _outer(draft))
            found += self._room(number, draft.home)
        else:
            found += self._written(number)
            target = _outer(draft)
            if target is not None:
                found += [*self._room(number, target), *self._brought(number, target)]
        found += self._barriers(number)
        return _distinct(found)

    def _data(self, number: int, access: Access, home: Home | None) -> list[Wait]:
        """Wait for whoever puts the tile there that this operation reads."""
        provider = self._provider(access, home)
        if provider is None or provider == number:
            producer = self.computes.get(access.tensor)
            if producer != number:
                return []
            provider = number
        loaded = self.drafts[provider].kind == "load"  # which itself waits for an earlier step
        cause = "bandwidth" if loaded else "dependency"
        behind, loops = (0, ()) if loaded else self._state_lag(number, access)
        reader = self.cascade.einsum(self.drafts[number].leaf.node.einsum)
        writer = self.cascade.producer(access.tensor)
        initial = writer is not None and initial_only(self.cascade, Dependence(writer, reader, access))
        if (provider == number and not behind) or initial:
            return []
        if not behind:
            return [self._wait(provider, number, access.tensor, cause, borrow=False)]
        found, load = [], self._load_into(access, home)
        if load is not None and home is not None:
            within = tuple(at for at in loops if self.drafts[number].path.index(at) >= home.depth)
            if within != loops:
                found.append(self._wait(load, number, access.tensor, "bandwidth", borrow=False))
            loops = within
        return found + self._going_on(provider, number, loops, access.tensor, behind)

    def _load_into(self, access: Access, home: Home | None) -> int | None:
        """The load that brings what an access finds into a home."""
        loads = self.loads.get((access.tensor, home.place), ()) if home is not None else ()
        return next((n for n in loads if any(read == access for _, read in self.drafts[n].moves)), None)

    def _provider(self, access: Access, home: Home | None) -> int | None:
        """The operation that fills a home where nothing makes the tensor below it, or leaves it there or in
        DRAM; None for the workload's input.
        """
        tensor, load = access.tensor, self._load_into(access, home)
        maker = self.computes.get(tensor)
        made = maker is not None and home in self.drafts[maker].leaf.homes.get(tensor, ())
        if load is not None and not made:
            return load
        store = self._store_into(tensor, home)
        return store if store is not None else self.computes.get(tensor)

    def _store_into(self, tensor: str, home: Home | None) -> int | None:
        """The store from an inner home of the tensor's producer into `home`, or into DRAM."""
        moving = (number for number in self.users.get(tensor, ()) if self.drafts[number].kind == "store")
        return next((number for number in moving if _outer(self.drafts[number]) == home), None)

    def _written(self, number: int) -> list[Wait]:
        """A store waits for the tile that it moves."""
        draft = self.drafts[number]
        assert draft.home is not None
        provider = self._store_into(draft.subject, draft.home)
        if provider is None:
            provider = self.computes[draft.subject]
        return [self._wait(provider, number, draft.subject, "dependency")]

    def _brought(self, number: int, home: Home) -> list[Wait]:
        """Wait for the partial results that come back into a home."""
        result = self.cascade.einsum(self.drafts[number].subject).output
        load = self._load_into(result, home)
        return [] if load is None else [self._wait(load, number, result.tensor, "bandwidth")]

    def _left(self, number: int, home: Home) -> list[Wait]:
        """Partial results come back after the tile before has left them, in the iteration before of each
        reduced loop around their home; from further out they have to come first.
        """
        draft, outer = self.drafts[number], _outer(self.drafts[number])
        store = self.stores[draft.subject, home.place]
        around = summed(self.cascade, self.layout, draft.leaf, home.depth)
        begin = outer.depth if outer is not None else 0
        loops = tuple(loop for loop in around if draft.path.index(loop) >= begin)
        found = self._brought(number, outer) if outer is not None else []
        return found + self._going_on(store, number, loops)

    def _going_on(
        self, producer: int, number: int, loops: tuple[int, ...], tensor: str = "", behind: int = 1
    ) -> list[Wait]:
        """Partial sums of the same results, or the steps of a state, are those of so many iterations before
        of each of these loops, at the end of those inside it. Of a state that is all of them which don't walk
        it alike where it is written and where it is read.
        """
        theirs, mine = self.drafts[producer], self.drafts[number]
        targets = self._targets(producer, number, tensor or mine.subject, depth=None)
        alike = set[str]()
        if tensor:
            alike = self._aligned(theirs, mine, tensor) | {*self.cascade.einsum(tensor).iterative}
        apart = {at for at in mine.path if tensor and not {*self.layout.loops[at].ranks} <= alike}

        def inside(at: int, lag_loop: int) -> set[int]:
            return {*loops[at + 1 :], *apart.intersection(mine.path[mine.path.index(lag_loop) + 1 :])}

        return [
            Wait(
                producer=producer,
                targets=tuple(
                    Target(kind="last") if target.loop in inside(at, lag_loop) else target
                    for target in targets
                ),
                cause="dependency",
                lag=behind,
                lag_loop=lag_loop,
                borrow=False,
            )
            for at, lag_loop in enumerate(loops)
        ]

    def _state_lag(self, number: int, access: Access) -> tuple[int, tuple[int, ...]]:
        """How many steps an access to the state before this step's update looks back, and the loops that
        walk them, outermost first.
        """
        for rank, behind in self._behind(access):
            loops = tuple(at for at in self.drafts[number].path if self._steps(at, rank))
            if loops:
                return behind, loops
        return 0, ()

    def _behind(self, access: Access) -> Iterator[tuple[str, int]]:
        """Ranks along which an access reads the state of an earlier step, and how many steps earlier."""
        producer = self.cascade.producer(access.tensor)
        if producer is None:
            return
        for mine, theirs in zip(access.indices, producer.output.indices, strict=True):
            if len(theirs.terms) == len(mine.terms) == 1 and theirs.terms[0].rank in producer.iterative:
                behind = theirs.offset - mine.offset
                if behind > 0:
                    yield mine.terms[0].rank, behind

    def _steps(self, loop: int, rank: str) -> bool:
        """Whether this loop takes steps of a rank; others over it have a single iteration."""
        return self.layout.loops[loop].ranks == (rank,) and self.layout.loops[loop].count > 1

    def _wait(
        self, producer: int, number: int, tensor: str, cause: str, *, depth: int | None = None, lag: int = 0,
        loop: int = -1, borrow: bool = True,
    ) -> Wait:  # fmt: skip
        """The wait of an operation for a producer's tile of a tensor, with `depth` for its buffer."""
        targets = self._targets(producer, number, tensor, depth)
        return Wait(producer=producer, targets=targets, cause=cause, lag=lag, lag_loop=loop, borrow=borrow)

    def _targets(self, producer: int, consumer: int, tensor: str, depth: int | None) -> tuple[Target, ...]:
        """Where each of the producer's loops must stand, seen from the consumer.

        With `depth` (a buffer's home), loops below it that don't move the tensor must have run to their end.
        """
        theirs, mine = self.drafts[producer], self.drafts[consumer]
        ranks = (
            relevant_ranks(self.cascade, access_of(self.cascade.einsum(theirs.leaf.node.einsum), tensor))
            if depth is not None
            else None
        )
        found = []
        for at, loop in enumerate(theirs.path):
            pinned = theirs.when.get(loop)
            below = depth is not None and at >= depth
            irrelevant = ranks is not None and not ranks & set(self.layout.loops[loop].ranks)
            if pinned:
                found.append(Target(kind=pinned))
            elif below and irrelevant:
                found.append(Target(kind="last"))
            elif loop in mine.path:
                found.append(Target(kind="same", loop=loop))
            elif self._aligned(theirs, mine, tensor) >= set(self.layout.loops[loop].ranks):
                found.append(self._matching(loop, theirs, mine))
            else:
                found.append(Target(kind="last"))
        return tuple(found)

    def _aligned(self, theirs: DraftOp, mine: DraftOp, tensor: str) -> set[str]:
        """Ranks along which both sides walk the tensor alike: tiles of the same number are the same."""
        ends = [self.cascade.einsum(draft.leaf.node.einsum) for draft in (theirs, mine)]
        written = access_of(ends[0], tensor)
        others = [a for a in (ends[1].output, *ends[1].reads) if a.tensor == tensor]
        ranks = set(relevant_ranks(self.cascade, written))
        for other in others:
            pairs = list(zip(written.indices, other.indices, strict=True))
            alike = [a for a, b in pairs if a.terms == b.terms and b.offset <= a.offset]
            ranks &= {term.rank for index in alike for term in index.terms}
        return ranks

    def _matching(self, loop: int, theirs: DraftOp, mine: DraftOp) -> Target:
        """A loop of another branch over the same rank in the same steps stands at the same tile."""
        own = self.layout.loops[loop]
        for other in mine.path:
            candidate = self.layout.loops[other]
            if other in theirs.path or other in mine.when:
                continue
            if (candidate.ranks, candidate.tile, candidate.extent) == (own.ranks, own.tile, own.extent):
                return Target(kind="same", loop=other)
        return Target(kind="last")

    def _room(self, writer: int, home: Home) -> list[Wait]:
        """Wait until the readers of the tile that this one overwrites are done."""
        tensor = self.drafts[writer].subject
        tensors: tuple[str, ...] = (tensor,)
        if home.overlay:
            if tensor != home.overlay[0]:
                return []
            tensors = home.overlay
        found = []
        for name in tensors:
            for reader in self._readers(name, home):
                if home.depth:
                    loop, lag = self.drafts[writer].path[home.depth - 1], home.buffers
                    found.append(
                        self._wait(reader, writer, name, "capacity", depth=home.depth, lag=lag, loop=loop)
                    )
                found += self._version(writer, reader, name)
        return found

    def _version(self, writer: int, reader: int, tensor: str) -> list[Wait]:
        """Old versions of an iterative tensor are overwritten in turn."""
        producer = self.cascade.producer(tensor)
        if producer is None or writer == reader:
            return []
        for loop in reversed(self.drafts[writer].path):
            if loop in self.drafts[reader].when:
                continue  # it reads one version only, when no other will follow
            stepped = any(self._steps(loop, rank) for rank in producer.iterative)
            if stepped and loop in self.drafts[reader].path:
                two = STATE_VERSIONS
                return [self._wait(reader, writer, tensor, "capacity", lag=two, loop=loop, borrow=False)]
        return []

    def _readers(self, tensor: str, home: Home) -> list[int]:
        """Operations that take the tensor out of this home."""
        found, ours = [], (home, _sibling(home, tensor))
        for number in self.users.get(tensor, ()):
            draft = self.drafts[number]
            if draft.kind == "compute":
                source = None if draft.subject == tensor else _inner(draft.leaf, tensor)
            else:
                source = draft.home if draft.kind == "store" else _outer(draft)
            if source is not None and source in ours:
                found.append(number)
        return found

    def _barriers(self, number: int) -> list[Wait]:
        """The child before this one in every sequence, or the last child one iteration earlier; where bounds
        may leave nothing of some of them, as of whole Einsums they rarely do, all before this one, and one
        iteration earlier all others.
        """
        mine = self.drafts[number]
        place = mine.standing
        found = []
        around = (self.barriers.get(place[:depth]) for depth in range(1, len(place) + 1))
        for barrier in filter(None, around):
            before = (barrier.child or barrier.children) - 1
            every = self.cascade.bounds and (barrier.depth or self.empty)
            for child, other in self._members(barrier, None if every else before):
                later = child >= barrier.child
                if later and barrier.depth == 0:
                    continue
                theirs = self.drafts[other]
                targets = tuple(
                    Target(kind=theirs.when[loop]) if loop in theirs.when
                    else Target(kind="same", loop=loop) if at < barrier.depth
                    else Target(kind="last")
                    for at, loop in enumerate(theirs.path)
                )  # fmt: skip
                found.append(
                    Wait(
                        producer=other,
                        targets=targets,
                        cause="dependency",
                        lag=1 if later else 0,
                        lag_loop=mine.path[barrier.depth - 1] if later else -1,
                    )
                )
        return found

    def _members(self, barrier: Barrier, child: int | None) -> Iterator[tuple[int, int]]:
        """Computes and stores in a sequence, each with its child, or in one `child`; loads are done when
        computes are.
        """
        at = barrier.place if child is None else (*barrier.place, child)
        for number in self.members.get(at, ()):
            yield self.drafts[number].standing[len(barrier.place)], number


def _inner(leaf: Leaf, tensor: str) -> Home | None:
    """The innermost home of a tensor around a leaf; None when it is in DRAM only."""
    homes = leaf.homes.get(tensor, ())
    return homes[-1] if homes else None


def _outer(draft: DraftOp) -> Home | None:
    """The home outside the one that a transfer serves; None for DRAM."""
    assert draft.home is not None
    homes = draft.leaf.homes[draft.subject]
    at = homes.index(draft.home)
    return homes[at - 1] if at else None


def _sibling(home: Home, tensor: str) -> Home:
    """The same keep's home of another tensor of its overlay."""
    return msgspec.structs.replace(home, tensor=tensor)


def _distinct(waits: list[Wait]) -> tuple[Wait, ...]:
    found: list[Wait] = []
    for wait in waits:
        if wait not in found:
            found.append(wait)
    return tuple(found)
