"""What a cascade means: its numeric execution with numpy, in float64 or in another arithmetic."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import product
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from einsim.specs.errors import SpecError
from einsim.specs.near import near
from einsim.workloads.bound import SameBlock
from einsim.workloads.cascade import Cascade, Einsum
from einsim.workloads.expression import Access, Apply, Expr, Index, Literal
from einsim.workloads.ops import IDENTITY, OPS, Array, position_rank, prune_parts
from einsim.workloads.order import components, loop_ranks
from einsim.workloads.points import acts, block_starts, difference, relaxed

Ranges = Mapping[str, tuple[int, int]]
Number = TypeVar("Number", np.float64, np.int64)

_REDUCE: dict[str, Callable[..., Array]] = {"sum": np.sum, "max": np.max, "min": np.min}
_LETTERS = 52
"""Distinct subscripts that numpy.einsum takes."""


Places = tuple[NDArray[np.int64], ...]
"""One index array a dimension of a tensor, which together broadcast."""


class Arithmetic:
    """How sums of products are computed, and what is kept of a result: all in float64."""

    def summed(
        self, cascade: Cascade, einsum: Einsum, factors: tuple[Access, ...], values: Mapping[str, Array],
        ranges: Ranges,
    ) -> Array:  # fmt: skip
        """The sum of the factors' product over a box of points, over the output's ranks."""
        mask = kept_points(cascade, tuple(ranges), ranges)
        return contract(factors, einsum.output.ranks, values=values, ranges=ranges, mask=mask)

    def stored(self, tensor: str, result: Array, places: Places) -> Array:
        """What a tensor holds at these places once the result is written there."""
        return result


FLOAT64 = Arithmetic()


def execute(
    cascade: Cascade, inputs: Mapping[str, NDArray[np.generic]], arithmetic: Arithmetic = FLOAT64
) -> dict[str, Array]:
    """Every produced tensor by name, each of the shape `cascade.shape(name)`.

    Points outside the bounds are not computed: they stay 0, add nothing to a reduction and leave an iterative
    state as it was. Raises SpecError for a missing, unknown or misshapen input.
    """
    values = _inputs(cascade, inputs)
    for einsum in cascade.einsums:
        values[einsum.name] = np.zeros(cascade.shape(einsum.name))
        if einsum.iterative:
            values[einsum.name][_at_start(einsum)] = cascade.initial[einsum.name]
    with np.errstate(all="ignore"):  # points outside the bounds may divide by zero; they are dropped
        for group in components(cascade.einsums):
            _run_group(cascade, group, values, arithmetic)
    return {einsum.name: values[einsum.name] for einsum in cascade.einsums}


def _inputs(cascade: Cascade, inputs: Mapping[str, NDArray[np.generic]]) -> dict[str, Array]:
    known = {tensor.name: tensor for tensor in cascade.inputs}
    for name in inputs:
        if name not in known:
            raise SpecError(f"inputs.{name}", "is no input of the cascade", hint=near(name, known))
    values = {}
    for name in known:
        if name not in inputs:
            raise SpecError(f"inputs.{name}", "is missing", hint=f"needs shape {cascade.shape(name)}")
        try:
            values[name] = np.asarray(inputs[name], dtype=np.float64)
        except (TypeError, ValueError) as error:
            raise SpecError(f"inputs.{name}", f"must be an array of numbers: {error}") from None
        if values[name].shape != cascade.shape(name):
            raise SpecError(
                f"inputs.{name}", f"must have shape {cascade.shape(name)}", got=values[name].shape
            )
    return values


def _at_start(einsum: Einsum) -> tuple[slice | int, ...]:
    return tuple(0 if index.terms and index.offset == 1 else slice(None) for index in einsum.output.indices)


def _run_group(
    cascade: Cascade, group: tuple[Einsum, ...], values: dict[str, Array], arithmetic: Arithmetic
) -> None:
    looped = loop_ranks(cascade, group)
    for steps in product(*(range(cascade.size(rank)) for rank in looped)):
        at = {rank: (step, step + 1) for rank, step in zip(looped, steps, strict=True)}
        for einsum in group:
            _run(
                cascade,
                einsum,
                values,
                {rank: at.get(rank, (0, cascade.size(rank))) for rank in einsum.ranks},
                arithmetic,
            )


def _run(
    cascade: Cascade, einsum: Einsum, values: dict[str, Array], ranges: Ranges, arithmetic: Arithmetic
) -> None:
    """Compute one Einsum over a box and write it in place."""
    axes = tuple(ranges)
    kept_axes = einsum.output.ranks
    factors = summed_product(einsum)
    if factors is not None:
        result = arithmetic.summed(cascade, einsum, factors, values, ranges)
    else:
        mask = kept_points(cascade, axes, ranges)
        full = _evaluate(einsum.expr, axes, values, ranges)
        full = np.broadcast_to(full, tuple(stop - start for start, stop in ranges.values()))
        if mask is not None:
            full = np.where(mask, full, IDENTITY[einsum.reduce or "sum"])
        result = full if einsum.reduce is None else _REDUCE[einsum.reduce](
            full, axis=tuple(axes.index(rank) for rank in einsum.reduced)
        )  # fmt: skip
        result = np.transpose(result, [[a for a in axes if a in kept_axes].index(rank) for rank in kept_axes])
    _write(cascade, einsum, values, ranges, result, arithmetic)


def _write(
    cascade: Cascade, einsum: Einsum, values: dict[str, Array], ranges: Ranges, result: Array,
    arithmetic: Arithmetic,
) -> None:  # fmt: skip
    """Store a result over the output's ranks; a state outside the bounds keeps its earlier value."""
    kept = einsum.output.ranks
    inside = kept_points(cascade, einsum.ranks, ranges)
    target = values[einsum.name]
    place = _gather(einsum.output, kept, ranges)
    # The written part may hold a rank less than the bounds name: it is inside when any of its points is.
    if inside is not None:
        reduced = tuple(einsum.ranks.index(rank) for rank in einsum.reduced)
        shown = np.broadcast_to(inside, tuple(stop - start for start, stop in ranges.values())).any(
            axis=reduced
        )
        before: Array | float = 0.0
        if einsum.iterative:
            shifted = tuple(Index(i.terms, 0) if i.offset == 1 else i for i in einsum.output.indices)
            earlier = _gather(
                Access(einsum.name, shifted), kept, ranges
            )  # a partition may reach past the end
            before = target[tuple(np.minimum(at, n - 1) for at, n in zip(earlier, target.shape, strict=True))]
        result = np.where(shown, result, before)
    fits = np.ones((1,) * len(kept), dtype=bool)
    for positions, size in zip(place, target.shape, strict=True):
        fits = fits & (positions < size)
    if not np.all(fits):  # parts beyond a partitioned rank's end
        place, result = tuple(np.broadcast_to(p, fits.shape)[fits] for p in place), result[fits]
    target[place] = arithmetic.stored(einsum.name, result, place)


def _gather(access: Access, axes: tuple[str, ...], ranges: Ranges) -> Places:
    """One index array a dimension, which together broadcast over the axes."""
    found = []
    for index in access.indices:
        place = np.full((1,) * len(axes), index.offset, dtype=np.int64)
        for term in index.terms:
            place = place + term.coefficient * _positions(term.rank, axes, ranges)
        found.append(place)
    return tuple(found)


def _positions(rank: str, axes: tuple[str, ...], ranges: Ranges) -> NDArray[np.int64]:
    shape = [-1 if axis == rank else 1 for axis in axes]
    return np.arange(*ranges[rank], dtype=np.int64).reshape(shape)


def read(
    access: Access, axes: tuple[str, ...], values: Mapping[str, NDArray[Number]], ranges: Ranges
) -> NDArray[Number]:
    """The accessed values over the axes; an axis that the access doesn't use has length 1.

    An index outside the tensor reads the nearest element: `check` made sure that a bound drops that point.
    """
    value = values[access.tensor]
    if not access.indices:
        return value.reshape((1,) * len(axes))
    places = _gather(access, axes, ranges)
    clipped = tuple(np.clip(p, 0, size - 1) for p, size in zip(places, value.shape, strict=True))
    return value[clipped]


def _evaluate(expr: Expr, axes: tuple[str, ...], values: Mapping[str, Array], ranges: Ranges) -> Array:
    if isinstance(expr, Literal):
        return np.full((1,) * len(axes), expr.value)
    if isinstance(expr, Access):
        return read(expr, axes, values, ranges)
    position = position_rank(expr.op)
    if position:
        return _positions(position, axes, ranges).astype(np.float64)
    arguments = [_evaluate(argument, axes, values, ranges) for argument in expr.args]
    pruned = prune_parts(expr.op)
    if pruned:
        return prune(arguments[0], pruned[0], pruned[1], axes.index(pruned[2]))
    result: Array = np.asarray(OPS[expr.op].meaning(*arguments), dtype=np.float64)
    return result


def prune(value: Array, kept: int, group: int, axis: int) -> Array:
    """The `kept` largest magnitudes of every `group` along an axis, 0 elsewhere; of equals the first."""
    moved = np.moveaxis(value, axis, -1)
    padding = -moved.shape[-1] % group
    size = np.pad(np.abs(moved), [(0, 0)] * (moved.ndim - 1) + [(0, padding)], constant_values=-1)
    grouped = size.reshape(*size.shape[:-1], -1, group)
    order = np.argsort(-grouped, axis=-1, kind="stable")
    chosen = np.zeros(grouped.shape, dtype=bool)
    np.put_along_axis(chosen, order[..., :kept], True, axis=-1)
    stays = chosen.reshape(size.shape)[..., : moved.shape[-1]]
    return np.moveaxis(np.where(stays, moved, 0.0), -1, axis)


def summed_product(einsum: Einsum) -> tuple[Access, ...] | None:
    """The factors of an Einsum that sums a pure product of tensors, None of any other."""
    return _factors(einsum.expr) if einsum.reduce == "sum" and len(einsum.ranks) < _LETTERS else None


def _factors(expr: Expr) -> tuple[Access, ...] | None:
    """The accesses of a pure product, None for anything else."""
    if isinstance(expr, Access):
        return (expr,)
    if isinstance(expr, Apply) and expr.op == "mul":
        left, right = _factors(expr.args[0]), _factors(expr.args[1])
        return None if left is None or right is None else left + right
    return None


def contract(
    factors: tuple[Access, ...], kept: tuple[str, ...], *,
    values: Mapping[str, NDArray[Number]], ranges: Ranges, mask: NDArray[np.bool_] | None,
) -> NDArray[Number]:  # fmt: skip
    """A summed product by numpy.einsum, in the values' type; the mask is one more factor over the ranks that
    bounds name.
    """
    axes = tuple(ranges)
    kind = values[factors[0].tensor].dtype
    operands: list[object] = []
    for access in factors:
        value = read(access, access.ranks, values, ranges)
        operands += [
            value.reshape([ranges[r][1] - ranges[r][0] for r in access.ranks]),
            _subscripts(access.ranks, axes),
        ]
    used = {rank for access in factors for rank in access.ranks}
    if mask is not None:
        bound_axes = [rank for at, rank in enumerate(axes) if mask.shape[at] > 1]
        used |= set(bound_axes)
        sizes = [ranges[rank][1] - ranges[rank][0] for rank in bound_axes]
        operands += [mask.reshape(sizes).astype(kind), _subscripts(tuple(bound_axes), axes)]
    for rank in axes:
        if rank not in used:  # a rank that no factor has still repeats, or multiplies the sum
            operands += [np.ones(ranges[rank][1] - ranges[rank][0], kind), _subscripts((rank,), axes)]
    result: NDArray[Number] = np.einsum(*operands, _subscripts(kept, axes), optimize=True)  # type: ignore[call-overload]
    return result


def _subscripts(ranks: tuple[str, ...], axes: tuple[str, ...]) -> list[int]:
    return [axes.index(rank) for rank in ranks]


def kept_points(cascade: Cascade, axes: tuple[str, ...], ranges: Ranges) -> NDArray[np.bool_] | None:
    """Which points of a box the bounds keep, each axis that no bound names of length 1; None when all."""
    sizes = cascade.sizes
    mask: NDArray[np.bool_] | None = None
    for bound in cascade.bounds:
        if not acts(bound, set(axes)):
            continue
        if isinstance(bound, SameBlock):
            left, right = (_blocks(index, bound, axes, ranges, sizes) for index in (bound.left, bound.right))
            kept = (left[0] <= right[1]) & (right[0] <= left[1])
        else:
            kept = _most(difference(bound.right, bound.left), axes, ranges, sizes) >= 0
        mask = kept if mask is None else mask & kept
    return mask


def _blocks(
    index: Index, bound: SameBlock, axes: tuple[str, ...], ranges: Ranges, sizes: dict[str, int]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """First and last block that an index may lie in."""
    up = {term.rank: term.coefficient for term in index.terms}
    high = _most((up, index.offset), axes, ranges, sizes)
    low = -_most(({rank: -value for rank, value in up.items()}, -index.offset), axes, ranges, sizes)
    starts = np.array(block_starts(bound.lengths, int(high.max()) + 1))
    return np.searchsorted(starts, low, side="right"), np.searchsorted(starts, high, side="right")


def _most(
    linear: tuple[dict[str, int], int], axes: tuple[str, ...], ranges: Ranges, sizes: dict[str, int]
) -> NDArray[np.int64]:
    """The largest value of a linear function over the ranks outside the axes, at every point of the box."""
    coefficients, constant = relaxed(linear, dict(ranges), {rank: (0, size) for rank, size in sizes.items()})
    total = np.full((1,) * len(axes), constant, dtype=np.int64)
    for rank, value in coefficients.items():
        total = total + value * _positions(rank, axes, ranges)
    return total
