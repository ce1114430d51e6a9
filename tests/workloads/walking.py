"""Random small cascades, and the passes that they take when they are walked point by point."""

from __future__ import annotations

import itertools
import random

import numpy as np

from einsim.specs.errors import SpecError
from einsim.validation.oracle.points import box_points, einsum_points, elements
from einsim.workloads.cascade import Cascade
from einsim.workloads.notation import parse

ENDLESS = 99
HEAD = """
rank m = {long}, p = {long}, k = {short}, q = {short}, w = {short}, i = 2, j = 2, n = {chunked}
n -> c, i
"""
SIZES = {"long": (6, 8), "short": (3, 5), "chunked": (6, 10)}
"""Sizes of a kind of rank, and what it grows to."""
KINDS = {"m": "long", "p": "long", "k": "short", "q": "short", "w": "short", "c": "chunked"}
"""Kinds of the ranks that can grow: an inner part is as long as it is."""
WRITES = {"L": ["m", "p"], "S": ["k", "q"], "N": ["n", "c*I+i", "c*I+j"], "C": ["c"], "I": ["i", "j"]}
READS = {
    "L": ["m", "p", "m", "p", "m-w", "M-1-m", "0", "M-1", "m+1", "p+k", "m-p"],
    "S": ["k", "q", "0", "K-1-k"],
    "N": ["n", "n", "c*I+i", "c*I+j", "c*I+j", "(C-1-c)*I+i", "c*I+i+1"],
    "C": ["c", "c", "0", "C-1-c"],
    "I": ["i", "j", "I-1-j", "0", "I-1"],
}
STATES = {"m": ["m", "m+1", "m", "M", "p", "0", "m-w"], "p": ["p", "p+1", "P"], "c": ["c", "c+1", "C"],
          "i": ["i", "i+1", "j+1", "I"], "k": ["k", "k+1", "K", "q"]}  # fmt: skip
BOUNDS = {"w <= m": "m-w", "m <= M-2": "m+1", "p + k <= M-1": "p+k", "p <= m": "m-p", "c*I+i <= N-2": "c*I+i+1",
          "m - p < 2": "", "j <= i": "", "m <= p": "", "m >= 1": ""}  # fmt: skip
"""Bounds of the points, each with the read that it keeps in range."""


def random_text(seed: int) -> str:
    """Two to six Einsums with states, digits, windows, reversals and bounds; not all are cascades."""
    pick = random.Random(seed)
    count = pick.randint(2, 6)
    shapes = []  # of each result: its dimensions' kinds and the ranks that write them
    for _ in range(count):
        kinds, written = [], []
        for kind in pick.choices("LSNCI", weights=(5, 2, 2, 2, 1), k=pick.randint(0, 3)):
            form = pick.choice(WRITES[kind])
            if not set(form.replace("n", "ci")) & set("".join(written).replace("n", "ci")):
                kinds.append(kind)
                written.append(form)
        state = pick.choice([*written, ""]) if pick.random() < 0.4 else ""
        shapes.append([(k, w, w == state and w in STATES) for k, w in zip(kinds, written, strict=True)])
    lines = []
    for at, shape in enumerate(shapes):
        if any(state for *_, state in shape):
            lines.append(f"initial T{at} = 0")
    for at, shape in enumerate(shapes):
        reads = []
        for _ in range(pick.randint(1, 3)):
            late = [to for to in range(at, count) if any(state for *_, state in shapes[to])]
            to = pick.choice(late) if late and pick.random() < 0.3 else pick.randrange(at) if at else -1
            if to < 0:
                reads.append(pick.choice(["X[m,p]", "X[m,p]", "Y[k]", "Z[n]"]))
                continue
            index = [pick.choice((STATES[w][:1] if to >= at else STATES[w]) if state else [w, w, *READS[kind]])
                     for kind, w, state in shapes[to]]  # fmt: skip
            reads.append(f"T{to}[{','.join(index)}]" if index else f"T{to}")
        left = ",".join(f"{w}+1" if state else w for _, w, state in shape)
        lines.append((f"T{at}[{left}]" if left else f"T{at}") + f" = {' * '.join(reads)}")
    reads = "\n".join(lines)
    bounds = [b for b, read in BOUNDS.items() if pick.random() < (0.9 if read and read in reads else 0.06)]
    return "\n".join([*(f"where {bound}" for bound in bounds), *lines])


def cascade_of(text: str, grown: str = "") -> Cascade:
    """The cascade of a text, with the ranks of one kind longer."""
    return parse(HEAD.format(**{kind: sizes[kind == grown] for kind, sizes in SIZES.items()}) + text)


def random_cascades(seeds: range, count: int) -> list[tuple[str, Cascade]]:
    """The first texts that are cascades at every size, with the smallest one."""
    found = []
    for seed in seeds:
        text = random_text(seed)
        try:
            found.append((text, cascade_of(text)))
        except SpecError:
            continue
        if len(found) == count:
            break
    return found


class Walker:
    """What each Einsum of a cascade reads of which one at which point, element by element."""

    def __init__(self, cascade: Cascade) -> None:
        self.cascade = cascade
        box = {rank.name: (0, rank.size) for rank in cascade.ranks}
        read = {e.name: einsum_points(cascade, e, box) for e in cascade.einsums}
        written = {e.name: box_points(e.ranks, box) if e.iterative else read[e.name] for e in cascade.einsums}
        self.pairs = []  # (writer, reader, place of each write by rank, place of each read by rank)
        for reader, access in (
            (e, a) for e in sorted(cascade.einsums, key=lambda e: e.name) for a in e.reads
        ):
            if (writer := cascade.producer(access.tensor)) is None:
                continue
            made = elements(cascade, writer.output, written[writer.name])
            wanted = elements(cascade, access, read[reader.name])
            order = np.argsort(made, kind="stable")
            first, last = (np.searchsorted(made[order], wanted, side) for side in ("left", "right"))
            xs = np.repeat(np.arange(len(wanted)), last - first)
            ys = order[np.arange(len(xs)) - np.repeat(np.cumsum(last - first) - last, last - first)]
            self.pairs.append((
                writer.name, reader.name,
                {rank: places[ys] for rank, places in written[writer.name].at.items()},
                {rank: places[xs] for rank, places in read[reader.name].at.items()},
            ))  # fmt: skip

    def agreeing(self, given):
        """Pairs in one iteration of the loops over `given`, by edge: None where there are none."""
        for writer, reader, ys, xs in self.pairs:
            together = np.ones(len(next(iter({**ys, **xs}.values()), [0])), dtype=bool)
            for rank in given:
                if rank in ys and rank in xs:
                    together &= ys[rank] == xs[rank]
            if together.any() or not {**ys, **xs}:
                cut = [{rank: places[together] for rank, places in side.items()} for side in (ys, xs)]
                yield writer, reader, cut[0], cut[1]
            else:
                yield None


class Sizes:
    """A cascade at its small size and with some of its ranks longer."""

    def __init__(self, text: str, small: Cascade) -> None:
        self.text, self.cascade, self.walkers = text, small, {"": Walker(small)}

    def of(self, rank: str) -> list[Walker]:
        """The walkers between which a rank grows; an inner part doesn't."""
        kind = KINDS.get("c" if rank == "n" else rank, "")
        if kind not in self.walkers:
            self.walkers[kind] = Walker(cascade_of(self.text, kind))
        return [self.walkers[""], self.walkers[kind]]

    def keeping_up(self, rank: str, now: set[str], done: set[str], reads) -> set[str]:
        """Einsums of a loop that end as soon after its last place however long it is."""
        delays = [
            loop_delays(walker, each, rank, now, done)
            for walker, each in zip(self.of(rank), reads, strict=True)
        ]
        return {
            name for name in now
            if delays[0][name] == delays[1][name] < (ENDLESS if rank in KINDS else 1)
        }  # fmt: skip

    def inside(self, rank: str, given) -> list[list[tuple]]:
        """At both sizes: the reads within one iteration of the loops over `given`, if all can be in one."""
        names = {e.name for e in self.cascade.einsums if set(given) <= set(e.ranks)}
        found = [list(walker.agreeing(given)) for walker in self.of(rank)]
        kept = [edge is not None and {*edge[:2]} <= names for edge in found[0]]
        for depth, outer in enumerate(given):
            alone = zip(*(walker.agreeing(given[:depth]) for walker in self.of(outer)), strict=True)
            for at, pair in enumerate(alone):
                if kept[at]:  # with nothing else to do, the reader keeps up with the writer
                    reads = [[("writer", "reader", *edge[2:])] for edge in pair]
                    kept[at] = "reader" in self.keeping_up(outer, {"writer", "reader"}, set(), reads)
        return [[edge for edge, keep in zip(each, kept, strict=True) if keep] for each in found]


def walks(sizes: Sizes, rank: str, given, walking: set[str], whole: set[str]) -> dict[str, int]:
    """In which loop over a rank each Einsum of `whole` runs if all run as soon as they can; ENDLESS where none
    will do. The others of `walking` may take a place in a loop or run between two.
    """
    names = {e.name for e in sizes.cascade.einsums if set(given) <= set(e.ranks)}
    reads = sizes.inside(rank, given)
    done, found = set(), {}

    def ready(candidates):
        """The most Einsums that need no loop of the rank and can run now."""
        while late := {r for w, r, *_ in reads[0] if r in candidates and w not in done | candidates}:
            candidates = candidates - late
        return candidates

    for loop in itertools.count(1):
        done |= ready(names - whole - done)
        now = walking - done
        while now != (now := sizes.keeping_up(rank, now, done, reads)):
            pass
        if not now & whole:
            break
        done |= now
        found.update(dict.fromkeys(now & whole, loop))
    return {name: found.get(name, ENDLESS) for name in whole}


def loop_delays(walker: Walker, reads, rank: str, now: set[str], done: set[str]) -> dict[str, int]:
    """Ticks after the last place at which each Einsum of a loop ends, each one place further a tick at most.

    It takes a place when all that it reads there was made by earlier loops, or by now in this one.
    """
    size = walker.cascade.size(rank)
    needs = {name: [] for name in now}  # by reader: (writer, the furthest place read at each place)
    for writer, reader, ys, xs in reads:
        if reader in now and writer not in done:
            furthest = np.full(size, -1 if writer in now else ENDLESS)
            if writer in now:
                np.maximum.at(furthest, xs[rank], ys[rank])
            else:
                furthest[[place for place in range(size) if rank not in xs or place not in xs[rank]]] = -1
            needs[reader].append((writer, furthest))
    place, ends = dict.fromkeys(now, 0), dict.fromkeys(now, ENDLESS)
    for tick in range(4 * size):
        going = {name for name in now if place[name] < size and place[name] <= tick}
        while stuck := {
            name for name in going for writer, furthest in needs[name]
            if furthest[place[name]] >= place.get(writer, 0) + (writer in going)
        }:  # fmt: skip
            going -= stuck
        for name in going:
            place[name] += 1
            if place[name] == size:
                ends[name] = tick - size + 1
    return ends
