"""What a unit reads in the steps of a tile: in each step, each different value that its lanes use, once.

A step is one fold of every dimension and one place of the ranks that are walked in time. Nothing stays in a
lane from step to step but the stationary operand, which passes once a fold. Where cores share a memory that
multicasts, they read together; else each core reads for itself. docs/mappings.md states the rules.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import cached_property

import numpy as np

from einsim.accel.machine import Unit
from einsim.dataflow.cores import copied, cores_ranks, going_round, most_places, on_a_core
from einsim.dataflow.footprint import coefficients, injective, plainly_alike
from einsim.dataflow.mapping import Compute
from einsim.dataflow.mask import Box, Mask
from einsim.dataflow.passing import in_time, kind_of, passed
from einsim.dataflow.row_stationary import is_row_stationary
from einsim.dataflow.rows import Ints, Skip, different, firsts, stored_bits
from einsim.dataflow.visit import MOST_VISITED, Visit
from einsim.workloads.cascade import Access, Einsum, Tensor
from einsim.workloads.sparsity import group_size

MOST_FOLDS = 4096
"""Folds of a tile in which what bounds leave is counted one by one."""


def stationary(node: Compute, einsum: Einsum) -> Access | None:
    """The operand that stays in the array: the one that moves with most of the ranks laid on it.

    Of several, weight-stationary takes the last one written, input-stationary the first. Row-stationary none;
    output-stationary one that moves with all of them, where a reduced one of them keeps results from staying.
    """
    if is_row_stationary(node):
        return None
    laid = {rank for dim, ranks in node.spatial.items() if dim != "cores" for rank in ranks}
    order = einsum.reads if node.stationarity == "input-stationary" else einsum.reads[::-1]
    if node.stationarity == "output-stationary":
        order = tuple(read for read in order if laid & set(einsum.reduced) and laid <= set(read.ranks))
    return max(order, key=lambda access: len(laid & set(access.ranks)), default=None)


class LaidTile:
    """A tile laid out on a unit: `tile` has the points of each rank, `work` those that sparsity leaves of
    them, `mask` the bounds that cut the tile, None where they leave it whole. `rounded`, once it is counted:
    there was neither a closed form nor time to visit its points, so steps are those of the box around it, and
    each read of a tensor counts by itself.
    """

    def __init__(
        self, unit: Unit, node: Compute, einsum: Einsum, tile: Box, work: Mapping[str, int],
        mask: Mask | None, skips: Sequence[Skip] = (),
    ) -> None:  # fmt: skip
        self.unit, self.node, self.einsum, self.tile = unit, node, einsum, tile
        self.work, self.mask, self.skips = work, mask, skips
        self.cores = unit.dims.get("cores", 1)
        extents = {rank: extent for rank, (_, extent) in tile.items()}
        self.shared_out = going_round(node, extents, self.cores)
        self.dims = {dim: ranks for dim, ranks in node.spatial.items() if dim != "cores"}
        self.placed = frozenset(rank for ranks in self.dims.values() for rank in ranks)
        self.alone = tuple(rank for rank in self.shared_out if rank not in self.placed)
        self.in_time = tuple(rank for rank in einsum.ranks if rank not in {*self.placed, *self.shared_out})
        self.still, self.rounded = stationary(node, einsum), False
        self._visits: dict[tuple[frozenset[str], str], Visit] = {}

    def points(self) -> int:
        """Points that are computed."""
        whole = math.prod(self.work[rank] for rank in self.einsum.ranks)
        if self.mask is None:
            return whole
        kept = self.mask.points(self.tile, self.einsum.ranks)
        if not self.skips:
            return kept
        visit = self.visited()
        if visit is None:
            return min(kept, whole)
        return int(visit.worked.sum()) * self._times([r for r in self.einsum.ranks if r not in visit.ranks])

    def added_to(self, results: int) -> int:
        """Of so many results of the tile those that have a point which is computed."""
        output = self.einsum.output
        skipped = {rank for rank, _ in self.skips} & set(output.ranks)
        visit = self.visited() if skipped and self._irregular else None
        if visit is not None:
            free = [self.tile[rank][1] for rank in output.ranks if rank not in visit.ranks]
            return len(different(visit.results(output, apart=False)[2:])[0]) * math.prod(free)
        whole = math.prod(self.tile[rank][1] for rank in skipped)
        return min(results, results // whole * self._times([*skipped]))

    def steps(self) -> int:
        """Steps of the core that has most; one in which no lane has a point takes none."""
        visit = self.visited(run=self._run(())) if self._irregular else None
        if visit is not None:
            return visit.steps() * self._alike(visit.ranks) * self._times(self._free(visit))
        free = [rank for rank in self.in_time if not self._cut_by_folds({rank})]
        return (
            self._whole_folds()
            * self._on_a_core(self.alone)
            * self._times(free)
            * self._left([r for r in self.in_time if r not in free])
        )

    def filled(self) -> int:
        """Folds of the core that has most in which it has a point; all of the box where those of a visit
        would be too many.
        """
        visit = self.visited(run=self._run(())) if self._irregular else None
        if visit is not None:
            return visit.folds() * self._alike(visit.ranks)
        return self._whole_folds() * (sum(times for times, _ in self._cut_folds) if self._by_folds else 1)

    def _alike(self, ranks: frozenset[str]) -> int:
        """Folds over the dimensions that have none of some ranks."""
        return math.prod(self.folds(dim) for dim, along in self.dims.items() if not ranks & {*along})

    def _whole_folds(self) -> int:
        """Folds over the dimensions in which the mask isn't counted fold by fold."""
        return self._alike(frozenset(self.mask.tied if self.mask is not None and self._by_folds else ()))

    def _cut_by_folds(self, ranks: set[str]) -> bool:
        """Whether the mask is counted fold by fold in these ranks."""
        return self.mask is not None and self._by_folds and bool(ranks & self.mask.tied)

    @cached_property
    def _by_folds(self) -> bool:
        """Whether each tied rank lies alone along a dimension or is walked in time, in few enough folds.
        Where it does not, and there are too many points to visit, steps are those of the whole box.
        """
        if self.mask is None or self.mask.tied & set(self.shared_out):
            return False
        tied = [dim for dim, ranks in self.dims.items() if self.mask.tied & set(ranks)]
        return (
            all(len(self.dims[dim]) == 1 for dim in tied) and math.prod(map(self.folds, tied)) <= MOST_FOLDS
        )

    def _left(self, ranks: list[str]) -> int:
        """Points over some tied ranks, summed over the folds of the tied ranks along dimensions."""
        if self.mask is None or not self._by_folds:
            return 1
        return sum(times * self.mask.points(left, ranks) for times, left in self._cut_folds)

    @cached_property
    def _cut_folds(self) -> list[tuple[int, dict[str, tuple[int, int]]]]:
        """What bounds leave of the folds of the tied ranks, those that lose nothing as one that stands for
        all of them.
        """
        boxes: list[tuple[int, dict[str, tuple[int, int]]]] = [(1, dict(self.tile))]
        if self.mask is None:
            return boxes
        for dim, ranks in self.dims.items():
            if self.mask.tied & set(ranks):
                boxes = [
                    (times * alike, {**box, ranks[0]: cut})
                    for times, box in boxes
                    for alike, cut in self._cuts(ranks[0], self.unit.dims[dim], box)
                ]
        return [(times, left) for times, box in boxes if (left := self.mask.trim(box)) is not None]

    def _cuts(self, rank: str, lanes: int, box: Box) -> list[tuple[int, tuple[int, int]]]:
        """Folds of a rank along a dimension, with how many are alike."""
        low, extent = box[rank]
        folds = -(-extent // lanes)
        alone = {folds - 1} if extent % lanes else set[int]()
        if self.mask is not None:
            for first, stop in self.mask.uneven((rank,), lanes, (low, extent), box):
                alone.update(range(max(0, first), min(stop, folds)))
        found = [(1, (low + at * lanes, min(lanes, extent - at * lanes))) for at in sorted(alone)]
        whole = next((at for at in range(folds) if at not in alone), None)
        return found if whole is None else [*found, (folds - len(alone), (low + whole * lanes, lanes))]

    @property
    def _irregular(self) -> bool:
        """Whether bounds, cores that share out ranks in parts, or cut groups leave no plain product."""
        return self.mask is not None or self.mixed or self._cuts_groups

    @property
    def _cuts_groups(self) -> bool:
        """Whether the tile's border or cores part what the unit skips by."""
        along = cores_ranks(self.node)
        return any(self.tile[rank][0] % group_size(of) or rank in along for rank, of in self.skips)

    def visited(self, more: frozenset[str] = frozenset(), run: str = "") -> Visit | None:
        """The tile visited point by point, but for what is the same at each: ranks walked in time, and
        dimensions, that nothing ties and that are not among `more`. Along the rank `run`, if any, it goes by
        runs. None where those are too many.
        """
        tied = self.mask.tied if self.mask is not None else frozenset()
        chosen = {*cores_ranks(self.node), *tied, *more, *(rank for rank, _ in self.skips)}
        for ranks in self.dims.values():
            chosen |= set(ranks) if chosen & set(ranks) else set()
        visited = [rank for rank in self.einsum.ranks if rank in chosen]
        if math.prod(self.tile[rank][1] for rank in visited if rank != run) > MOST_VISITED:
            self.rounded |= self.mixed or self._cuts_groups or (self.mask is not None and not self._by_folds)
            if self._irregular and self.skips:  # what stays of cut groups may lie anywhere
                self.rounded, self.work = True, self._unskipped()
            return None
        if (more, run) not in self._visits:
            self._visits[more, run] = Visit(
                self.unit, self.node, self.einsum, self.tile, self.mask, self.skips, visited, run
            )
        return self._visits[more, run]

    def _unskipped(self) -> dict[str, int]:
        """Extents as if nothing were skipped, with room for the places of all groups that the tile cuts."""
        found = {**self.work, **{rank: extent for rank, (_, extent) in self.tile.items()}}
        for rank, sparsity in self.skips:
            (low, extent), of = self.tile[rank], group_size(sparsity)
            groups = (low + extent - 1) // of - low // of + 1
            found[rank] = max(extent, groups * sparsity.kept(of))
        return found

    def _run(self, accesses: Sequence[Access]) -> str:
        """The longest rank of which bounds keep one run wherever the others stand, which is alone along its
        dimension or walked in time, and alone in the index of each access that has it; "" if there is none.
        """
        if self.mask is None or self.skips:
            return ""
        lone = {ranks[0] for ranks in self.dims.values() if len(ranks) == 1} | set(self.in_time)
        found = [
            rank
            for rank in sorted((self.mask.tied & lone) - set(cores_ranks(self.node)))
            if self.mask.in_runs(rank) and (not accesses or plainly_alike(accesses, rank))
        ]
        return max(found, key=lambda rank: self.tile[rank][1], default="")

    def _free(self, visit: Visit) -> list[str]:
        return [rank for rank in self.in_time if rank not in visit.ranks]

    def folds(self, dim: str) -> int:
        """Folds of the tile over one dimension, on the core that has most of it."""
        return -(-self.lanes(dim) // self.unit.dims[dim])

    def lanes(self, dim: str) -> int:
        """Points along one dimension, on the core that has most of them."""
        ranks = self.dims.get(dim, ())
        rest = [rank for rank in ranks if rank not in self.shared_out]
        return self._times(rest) * self._on_a_core(tuple(rank for rank in self.shared_out if rank in ranks))

    def _on_a_core(self, ranks: tuple[str, ...]) -> int:
        """Places of some of the ranks that go round the cores, on the core that has most of them."""
        if ranks == self.shared_out:
            return on_a_core(self._times(ranks), self.cores)
        if not ranks:
            return 1
        extents = tuple(self.work[rank] for rank in self.shared_out)
        return most_places(extents, tuple(rank in ranks for rank in self.shared_out), self.cores)

    @property
    def mixed(self) -> bool:
        """Whether several ranks go round the cores and one of them lies along a dimension too."""
        return len(self.shared_out) > 1 and bool(self.placed & set(self.shared_out))

    def _times(self, ranks: tuple[str, ...] | list[str]) -> int:
        return math.prod(self.work[rank] for rank in ranks)

    def read(self, accesses: tuple[Access, ...], whole: frozenset[str], *, apart: bool) -> int:
        """Elements of one tensor that all its accesses read, or of the result that is added to. `whole` are
        ranks along which the operand, or another one that the unit skips by, is sparse: what moves with them
        passes whole. `apart`: each core by itself.
        """
        run = self._run(accesses)
        seen = self._seen(accesses, whole, apart=apart, run=run)
        if seen is None:
            count = sum(self._read_one(one, whole & set(one.ranks), apart=apart) for one in accesses)
            if self.rounded and self.mixed:  # cores may be at different places of what they share
                count = max(
                    count, len(accesses) * math.prod(self.tile[rank][1] for rank in self.einsum.ranks)
                )
            return count
        visit, times = seen
        if run:
            still = None if accesses[0] == self.einsum.output else self.still
            return visit.count_rows(accesses, still, whole, apart=apart) * times
        return len(self._rows(visit, accesses, whole, apart=apart)[0]) * times

    def stored(
        self, tensor: Tensor, accesses: tuple[Access, ...], whole: frozenset[str], *, apart: bool,
        at_once: bool = False, later: bool = False,
    ) -> int | None:  # fmt: skip
        """Bits of what `read` counts as they are stored compressed, `at_once` rather than step by step, or in
        the steps `later` than the first of each; as if all were there where that can't be told. None where it
        goes by the rate of the tile.
        """
        along = tensor.sparsity.rank
        ranks = accesses[0].indices[tensor.ranks.index(along)].ranks if along else ()
        parted = bool(set(ranks) - whole)  # steps part its groups
        more = frozenset(ranks) | (self.placed if at_once or later else frozenset())
        seen = self._seen(accesses, whole, apart=apart, more=more, visiting=parted)
        if seen is None:
            if not (parted or self._irregular):
                return None
            self.rounded = True
            each = tensor.bits + tensor.sparsity.metadata_bits(1)
            return each * self.read(accesses, whole, apart=apart)
        visit, times = seen
        rows = self._rows(visit, accesses, whole, apart=apart)
        once = self._times([rank for rank in self._free(visit) if rank in accesses[0].ranks])
        if at_once:  # however many steps add to them
            return stored_bits(tensor, different([rows[0], *rows[2:]]), once)
        if not later:
            return stored_bits(tensor, rows, times)
        again = [column[~firsts(rows[2:])] for column in rows]
        return stored_bits(tensor, again, once) + stored_bits(tensor, rows, times - once)

    def _rows(
        self, visit: Visit, accesses: tuple[Access, ...], whole: frozenset[str], *, apart: bool
    ) -> list[Ints]:
        if accesses[0] == self.einsum.output:
            return visit.results(accesses[0], apart=apart)
        return visit.rows(accesses, self.still, whole, apart=apart)

    def _seen(
        self, accesses: tuple[Access, ...], whole: frozenset[str], *, apart: bool,
        more: frozenset[str] = frozenset(), visiting: bool = False, run: str = "",
    ) -> tuple[Visit, int] | None:  # fmt: skip
        """The visit in which what passes the unit's edge is counted (with the ranks `more`), and how often it
        passes; None where it isn't visited.
        """
        mixed = frozenset[str]()
        if len(accesses) > 1:
            every = ((rank, {coefficients(one, rank) for one in accesses}) for rank in self.in_time)
            mixed = frozenset(rank for rank, some in every if self.still in accesses or len(some) > 1)
        plain = (
            len(accesses) == 1 and not self._tangled(accesses[0]) and not (apart and self._split(accesses[0]))
        )
        if plain and not self._irregular and not visiting:
            return None
        together = self._tangled(accesses[0])
        if len(accesses) > 1:
            together = frozenset(rank for rank in self.placed if not plainly_alike(accesses, rank))
        visit = self.visited(mixed | more | together, run)
        if visit is None:
            self.rounded |= not plain
            return None
        free, mine = self._free(visit), set(accesses[0].ranks)
        if self.still in accesses:
            free = [rank for rank in free if rank in mine]
        times = self._times(free)
        for dim, ranks in self.dims.items():
            if not visit.ranks & set(ranks):
                times *= self._passed(ranks, self.unit.dims[dim], mine, whole & mine, apart=apart)
        return visit, times

    def _read_one(self, access: Access, whole: frozenset[str] | set[str], *, apart: bool) -> int:
        mine, still = set(access.ranks), access == self.still
        total, left = 1, set[str]()
        for rank in self.in_time:
            if not self._cut_by_folds({rank}):
                kind = kind_of(rank, mine, whole)
                total *= in_time(kind, still, self.tile[rank][1], self.work[rank])
            elif rank in mine or not still:
                left.add(rank)
        for dim, ranks in self.dims.items():
            if self._cut_by_folds({*ranks}):
                left |= mine & set(ranks)
            else:
                total *= self._passed(ranks, self.unit.dims[dim], mine, whole, apart=apart)
        total *= self._left([rank for rank in self.einsum.ranks if rank in left])
        if still and self.alone:
            own = math.prod(
                self.tile[rank][1] if rank in whole else self.work[rank]
                for rank in self.alone
                if rank in mine
            )
            return total * own * (copied(self.unit, self.node, mine, self.work) if apart else 1)
        lanes = 1 if apart else self.cores  # places of the cores' own ranks, so many at a time
        return total * self._passed(self.alone, lanes, mine, whole, apart=apart)

    def _passed(
        self, ranks: tuple[str, ...], lanes: int, mine: set[str], whole: frozenset[str] | set[str], *,
        apart: bool,
    ) -> int:  # fmt: skip
        """Values of an operand along one dimension, over its folds; what passes whole stands where its rank
        begins.
        """
        times = math.prod(self.tile[rank][1] for rank in ranks if rank in whole)
        wide = [rank for rank in ranks if self.work[rank] > 1]
        if all(rank in mine and rank not in whole for rank in wide):  # lanes use different values
            return times * self._times(wide)
        core = next((at for at, r in enumerate(ranks) if r in self.shared_out and r in self.placed), -1)
        found = passed(
            np.array([self.work[rank] for rank in ranks], np.float64),
            np.array([kind_of(rank, mine, whole) for rank in ranks], np.int64),
            len(ranks), float(lanes), core, float(self.cores), apart,
        )  # fmt: skip
        return times * int(found)

    def _split(self, access: Access) -> bool:
        """Whether cores that read for themselves share out several ranks of which the access lacks some."""
        return len(self.shared_out) > 1 and bool(set(self.shared_out) - set(access.ranks))

    def _tangled(self, access: Access) -> frozenset[str]:
        """Ranks along the unit in which lanes may differ and yet use the same value: they share an index."""
        spatial = self.placed | set(self.shared_out)
        shared = [spatial & set(index.ranks) for index in access.indices if not injective(index, self.tile)]
        return frozenset(rank for ranks in shared if len(ranks) > 1 for rank in ranks)
