"""Values for a cascade's inputs: seeded as freshly initialised networks are, or from an `.npz` file."""

from __future__ import annotations

import math
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.lib import format as npy

from einsim.specs.errors import SpecError
from einsim.specs.near import near
from einsim.workloads.cascade import Cascade
from einsim.workloads.execute import summed_product
from einsim.workloads.expression import Access, Apply, Expr, nodes
from einsim.workloads.models import roles
from einsim.workloads.ops import Array

SPREAD = 0.1
"""Standard deviation of biases, and of gains about 1."""
ROTARY_BASE = 10_000.0  # Su et al., arXiv 2104.09864
OUTLIER_SHARE = 100
"""One feature in so many is an outlier: LLM.int8 (Dettmers et al., arXiv 2208.07339) finds under 1 %."""


def seeded(
    cascade: Cascade, role: Mapping[str, str], *, seed: int = 0, outliers: float = 1.0
) -> dict[str, Array]:
    """Normal values for every input, in the order of their names.

    What a contraction reads as a weight or a cache has the deviation 1 / sqrt(values summed), so that
    results are as large as the other operand (LeCun et al., Efficient BackProp, 1998); WQ's is smaller by the
    root of the head's width, which models fold into it. Gains lie about 1, biases about 0; COS and SIN are
    those of positions 0 on. Others are activations of deviation 1, of which `outliers` makes one feature in
    100 (along the dimensions that a contraction sums, at least one) so many times as large.
    """
    rng = np.random.default_rng(seed)
    found = {}
    for name in sorted(tensor.name for tensor in cascade.inputs):
        shape = cascade.shape(name)
        values: Array = rng.standard_normal(shape)
        summed = _summed(cascade, name)
        operand = role[name] in {roles.WEIGHTS, roles.KV}
        if name in {"COS", "SIN"} and len(shape) == 2:
            values = _rotary(name, shape)
        elif operand and summed:
            values = values / math.sqrt(math.prod(shape[axis] for axis in summed))
            if name == "WQ":
                values = values / math.sqrt(shape[-1])
        elif role[name] == roles.OTHERS:
            values = SPREAD * values + (1.0 if _multiplies(cascade, name) else 0.0)
        elif summed and outliers != 1.0:
            values = values * _outliers(shape, summed, outliers, rng)
        found[name] = values
    return found


def _summed(cascade: Cascade, name: str) -> tuple[int, ...]:
    """Dimensions along which sums of products of several tensors read an input."""
    axes = {
        axis
        for einsum in cascade.einsums
        for access in summed_product(einsum) or ()
        if access.tensor == name and len({each.tensor for each in einsum.reads}) > 1
        for axis, index in enumerate(access.indices)
        if set(index.ranks) & set(einsum.reduced)
    }
    return tuple(sorted(axes))


def _multiplies(cascade: Cascade, name: str) -> bool:
    """Whether an input is a factor where it is read, as gains are."""

    def factor(expr: Expr) -> bool:
        return isinstance(expr, Apply) and expr.op == "mul" and any(
            isinstance(each, Access) and each.tensor == name for each in expr.args
        )  # fmt: skip

    return any(factor(node) for einsum in cascade.einsums for node in nodes(einsum.expr))


def _rotary(name: str, shape: tuple[int, ...]) -> Array:
    """Tables of features by positions: both halves turn alike, and the first takes the sine negative."""
    half = (shape[0] + 1) // 2
    place = np.arange(shape[0])
    angle = np.outer(ROTARY_BASE ** (-(place % half) / half), np.arange(shape[1]))
    if name == "COS":
        return np.asarray(np.cos(angle))
    return np.asarray(np.where(place < half, -1.0, 1.0)[:, None] * np.sin(angle))


def _outliers(
    shape: tuple[int, ...], summed: tuple[int, ...], size: float, rng: np.random.Generator
) -> Array:
    """Factors: `size` at one in 100 places of the longest summed dimension, 1 elsewhere."""
    axis = max(summed, key=lambda each: shape[each])
    factors = np.ones(shape[axis])
    factors[rng.choice(shape[axis], max(1, shape[axis] // OUTLIER_SHARE), replace=False)] = size
    return factors.reshape([-1 if each == axis else 1 for each in range(len(shape))])


def read_npz(path: Path, cascade: Cascade) -> dict[str, Array]:
    """An `.npz` file's arrays, one for each input and of its shape, all numbers and finite.

    Names, shapes and types are judged before the values are read, and pickles are never loaded. SpecError
    for what doesn't fit, and for a file that can't be read.
    """
    where = str(path)
    wanted = {tensor.name: cascade.shape(tensor.name) for tensor in cascade.inputs}
    try:
        with zipfile.ZipFile(path) as archive:
            names = [entry.removesuffix(".npy") for entry in archive.namelist()]
            for name in names:
                if name not in wanted:
                    raise SpecError(name, "is no input of the cascade", where=where, hint=near(name, wanted))
                if names.count(name) > 1:
                    raise SpecError(name, "is there twice", where=where)
            for name, shape in wanted.items():
                if name not in names:
                    raise SpecError(name, "is missing", where=where, hint=f"needs shape {shape}")
            return {name: _array(archive, name, wanted[name], where) for name in names}
    except OSError as error:
        raise SpecError("", f"cannot be read: {error.strerror or error}", where=where) from None
    except (zipfile.BadZipFile, zlib.error, ValueError, EOFError, NotImplementedError, RuntimeError) as error:
        raise SpecError("", f"is no .npz file that numpy reads: {error}", where=where) from None


def _array(archive: zipfile.ZipFile, name: str, shape: tuple[int, ...], where: str) -> Array:
    entry = f"{name}.npy" if f"{name}.npy" in archive.namelist() else name
    with archive.open(entry) as file:
        version = npy.read_magic(file)
        header = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
        found, _, kind = header(file)
    if found != shape:
        raise SpecError(name, f"must have shape {shape}", got=found, where=where)
    if kind.kind not in "fiub":
        raise SpecError(name, "must be an array of real numbers", got=str(kind), where=where)
    with archive.open(entry) as file:
        values = np.asarray(npy.read_array(file, allow_pickle=False), dtype=np.float64)
    if not np.isfinite(values).all():
        raise SpecError(name, "must be finite", got=float(values[~np.isfinite(values)][0]), where=where)
    return values
