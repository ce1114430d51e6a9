"""A cascade executed in integer formats, and how far that is from float64.

Every tensor with a format holds only values of its grid. The range of a grid is that of the tensor in a
float64 run on the same data: static scales, calibrated. Sums of products of such tensors are sums of products
of codes, in integers and exact, then rescaled; groups that share a scale along a summed rank are summed one
by one. Any other Einsum (an exponential, a quotient, a residual, a maximum) computes on the stored values in
float64. Its result is rounded to its format as it is stored.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from itertools import pairwise, product

import msgspec
import numpy as np
from msgspec.structs import replace

from einsim.specs.errors import SpecError
from einsim.workloads.cascade import Cascade
from einsim.workloads.einsum import Einsum
from einsim.workloads.execute import (
    Arithmetic,
    Places,
    Ranges,
    contract,
    execute,
    kept_points,
    read,
    summed_product,
)
from einsim.workloads.expression import Access
from einsim.workloads.formats import CHANNEL, GROUP, TENSOR, Format, Grid, grid
from einsim.workloads.models import roles
from einsim.workloads.ops import Array

_FLOAT_WHOLE, _INT64_WHOLE = 2**53, 2**63
"""Below these, whole numbers are exact in float64 and in int64."""


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """What a tensor's values differ by from those of float64.

    `sqnr_db` is 10 log10 of the mean square of float64's values over that of the differences, None where
    nothing differs (`exact`) or all values are 0; `rms` is the root of the latter, `relative` its share of
    the root of the former. Elements that are infinite in float64 are left out.
    """

    tensor: str
    format: str
    exact: bool
    sqnr_db: float | None
    rms: float
    relative: float | None


def formats_of(
    cascade: Cascade, by_role: Mapping[str, Format], role: Mapping[str, str], *, operands_only: bool = False
) -> dict[str, Format]:
    """The format of every tensor that has one; `operands_only` leaves the results in float64 that no product
    of two tensors that is summed reads and that are no output: what a vector unit keeps in wide registers.
    """
    outputs = {tensor.name for tensor in cascade.outputs}

    def stays_wide(name: str) -> bool:
        if not operands_only or not cascade.producer(name) or name in outputs:
            return False
        return all(len(einsum.reads) < 2 for einsum, _ in _sums(cascade, name))

    found = {tensor.name: by_role.get(role[tensor.name]) for tensor in cascade.tensors}
    return {name: form for name, form in found.items() if form and not stays_wide(name)}


def plain_roles(cascade: Cascade) -> dict[str, str]:
    """Roles in a cascade that is no model's: caches by their names (K, V), inputs that a contraction reads as
    its second operand are weights, all else activations.
    """
    cached = set(roles.cache(cascade))
    inputs = {tensor.name for tensor in cascade.inputs}
    second = {each.reads[1].tensor for each in cascade.einsums if each.contracts} & inputs

    def role(name: str) -> str:
        return roles.KV if name in cached else roles.WEIGHTS if name in second else roles.ACTIVATIONS

    return {tensor.name: role(tensor.name) for tensor in cascade.tensors}


def blocks_of(cascade: Cascade, tensor: str, form: Format) -> tuple[int, ...]:
    """Elements along each dimension that share a scale.

    A channel is one place of all dimensions that no sum of products sums over; a group is a part of the
    longest summed dimension at one place of all others. A tensor that no such sum reads has one scale.
    """
    shape = cascade.shape(tensor)
    readers = _sums(cascade, tensor)
    if form.per not in {CHANNEL, GROUP} or not readers:
        return shape
    summed = {
        axis
        for einsum, access in readers
        for axis, index in enumerate(access.indices)
        if set(index.ranks) & set(einsum.reduced)
    }
    whole = tuple(size if axis in summed else 1 for axis, size in enumerate(shape))
    plain = [axis for axis in summed if all(access.indices[axis].plain is not None for _, access in readers)]
    if form.per == CHANNEL or not plain:
        return whole
    grouped = max(plain, key=lambda axis: (shape[axis], axis))
    return tuple(
        min(form.group, size) if axis == grouped else 1 if axis in plain else whole[axis]
        for axis, size in enumerate(shape)
    )


def named_format(cascade: Cascade, tensor: str, form: Format | None) -> str:
    """A tensor's format in words, with what really shares a scale where no channel or group can be made."""
    if form is None:
        return "float64"
    blocks = blocks_of(cascade, tensor, form)
    per = form.per
    if per != TENSOR and blocks == cascade.shape(tensor):
        per = TENSOR
    elif per == GROUP and blocks == blocks_of(cascade, tensor, replace(form, per=CHANNEL)):
        per = CHANNEL
    return str(replace(form, per=per))


def _sums(cascade: Cascade, tensor: str) -> list[tuple[Einsum, Access]]:
    """Sums of products that read a tensor, and how."""
    return [
        (einsum, access)
        for einsum in cascade.einsums
        for access in summed_product(einsum) or ()
        if access.tensor == tensor
    ]


def grids_of(cascade: Cascade, values: Mapping[str, Array], formats: Mapping[str, Format]) -> dict[str, Grid]:
    """The grids that float64's values of all tensors span."""
    return {name: grid(values[name], form, blocks_of(cascade, name, form)) for name, form in formats.items()}


class Quantised(Arithmetic):
    """Sums of products in integers, results on the grids."""

    def __init__(self, grids: Mapping[str, Grid]) -> None:
        self.grids = grids
        self._inputs: dict[str, Array] = {}

    def stored(self, tensor: str, result: Array, places: Places) -> Array:
        """The result on the tensor's grid."""
        return self.grids[tensor].rounded(result, places) if tensor in self.grids else result

    def summed(
        self, cascade: Cascade, einsum: Einsum, factors: tuple[Access, ...], values: Mapping[str, Array],
        ranges: Ranges,
    ) -> Array:  # fmt: skip
        """Exact sums of products of codes, times their scales, of one box after the other in which all
        scales are the same along what is summed. Factors without a format, or infinite: in float64.
        """
        tensors = {access.tensor for access in factors}
        if not tensors <= self.grids.keys() or not all(np.isfinite(values[name]).all() for name in tensors):
            return super().summed(cascade, einsum, factors, values, ranges)
        codes = self._codes(cascade, einsum, factors, values, ranges)
        kept, total = einsum.output.ranks, np.zeros(())
        for box in self._boxes(einsum, factors, ranges):
            mask = kept_points(cascade, tuple(box), box)
            sums = contract(factors, kept, values=codes, ranges=box, mask=mask)
            first = {rank: (low, low + 1) if rank in einsum.reduced else (low, high)
                     for rank, (low, high) in box.items()}  # fmt: skip
            scaled = sums.astype(np.float64)
            for access in factors:
                scale = self.grids[access.tensor].scale
                scaled = scaled * (read(access, kept, {access.tensor: scale}, first) if scale.ndim else scale)
            total = total + scaled
        return total

    def _codes(
        self, cascade: Cascade, einsum: Einsum, factors: tuple[Access, ...], values: Mapping[str, Array],
        ranges: Ranges,
    ) -> dict[str, Array]:  # fmt: skip
        """Codes of the factors: float64 while every sum is exact in it (and BLAS is quick), else int64."""
        codes = {}
        for name in {access.tensor for access in factors}:
            if name not in self._inputs:
                found = self.grids[name].codes(values[name])
                if cascade.producer(name):  # it may change from step to step
                    codes[name] = found
                    continue
                self._inputs[name] = found
            codes[name] = self._inputs[name]
        points = math.prod(high - low for rank, (low, high) in ranges.items() if rank in einsum.reduced)
        largest = math.prod(int(np.abs(codes[access.tensor]).max(initial=0)) for access in factors) * points
        if largest >= _INT64_WHOLE:
            raise SpecError(
                einsum.name, f"its sums may reach {largest:.3g}, beyond 64 bits", hint="fewer bits"
            )
        if largest >= _FLOAT_WHOLE:
            return {name: each.astype(np.int64) for name, each in codes.items()}
        return codes

    def _boxes(
        self, einsum: Einsum, factors: tuple[Access, ...], ranges: Ranges
    ) -> Iterator[dict[str, tuple[int, int]]]:
        """The box in parts along the summed ranks, within each of which every factor has one scale."""
        steps: dict[str, int] = {}
        for access in factors:
            own = self.grids[access.tensor]
            for index, block, size in zip(
                access.indices, own.blocks, own.scale.shape or own.blocks, strict=True
            ):
                for rank in set(index.ranks) & set(einsum.reduced):
                    if block < size:
                        steps[rank] = math.gcd(steps.get(rank, 0), block if index.plain else 1)
        cuts = {
            rank: [low, *range(low + step - low % step, high, step), high]
            for rank, step in steps.items()
            for low, high in [ranges[rank]]
        }
        for parts in product(*(pairwise(each) for each in cuts.values())):
            yield {**ranges, **dict(zip(cuts, parts, strict=True))}


def difference(tensor: str, form: str, exact: Array, found: Array) -> Difference:
    """How far a tensor's values, stored in `form`, are from float64's."""
    here = np.isfinite(exact) & np.isfinite(found)
    signal, noise = (float(np.sqrt(np.mean(each**2))) if each.size else 0.0
                     for each in (exact[here], found[here] - exact[here]))  # fmt: skip
    return Difference(
        tensor=tensor, format=form, exact=noise == 0, rms=noise,
        sqnr_db=20 * math.log10(signal / noise) if signal and noise else None,
        relative=noise / signal if signal else None,
    )  # fmt: skip


class LowPrecisionRun(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """All tensors of a cascade by name, in float64 and in its formats, and how far they are apart:
    `differences` has the produced ones, in order.
    """

    exact: dict[str, Array]
    found: dict[str, Array]
    differences: tuple[Difference, ...]


def compare(
    cascade: Cascade, inputs: Mapping[str, Array], formats: Mapping[str, Format],
    given: Mapping[str, Array] | None = None,
) -> LowPrecisionRun:  # fmt: skip
    """The cascade executed in float64 and in the formats.

    `given` are inputs that the latter gets in other values, such as what a layer before computed.
    SpecError for an input that is missing, misshapen or infinite, and for a float64 run that overflows.
    """
    exact = {**inputs, **execute(cascade, inputs)}
    for name, values in exact.items():
        if np.isnan(values).any() or (name in inputs and np.isinf(values).any()):
            raise SpecError(name, "must be finite", got=float(values[~np.isfinite(values)][0]),
                            hint="--data gives other values" if name not in inputs else "")  # fmt: skip
    grids = grids_of(cascade, exact, formats)
    rounded = {
        name: grids[name].rounded(values) if name in grids else values
        for name, values in {**inputs, **(given or {})}.items()
    }
    found = {**rounded, **execute(cascade, rounded, Quantised(grids))}
    return LowPrecisionRun(
        exact=exact, found=found,
        differences=tuple(
            difference(
                each.name, named_format(cascade, each.name, formats.get(each.name)),
                exact[each.name], found[each.name],
            )
            for each in cascade.einsums
        ),
    )  # fmt: skip
