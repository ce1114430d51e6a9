"""`einsim accuracy` in Python: a workload in integer formats against float64."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

import msgspec

from einsim.settings import PLACE
from einsim.specs.argument import Setting
from einsim.specs.errors import SpecError
from einsim.specs.near import near
from einsim.workload import as_it_is, find_workload
from einsim.workloads.cascade import Cascade
from einsim.workloads.execute import summed_product
from einsim.workloads.formats import (
    AFFINE,
    CHANNEL,
    FEWEST_BITS,
    GROUP,
    MOST_BITS,
    SYMMETRIC,
    TENSOR,
    Format,
)
from einsim.workloads.low_precision import Difference, compare, formats_of, plain_roles
from einsim.workloads.models import roles
from einsim.workloads.order import components, loop_ranks
from einsim.workloads.sample import read_npz, seeded
from einsim.workloads.settings import Parameter, Settings, read_settings

MOST_POINTS = 2**33
"""Iteration points of all Einsums together: about a minute."""
MOST_VALUES = 2**26
"""Values that numpy holds at once: of all tensors, or of one Einsum's points where those are computed one by
one."""
MOST_STEPS = 2**16
"""Steps of recurrences, each of which is a call of numpy."""
FLOAT = "float"
ROLES = (roles.WEIGHTS, roles.ACTIVATIONS, roles.KV, roles.OTHERS)
_SAID = {
    roles.WEIGHTS: "matrices", roles.ACTIVATIONS: "activations and states", roles.KV: "cached values",
    roles.OTHERS: "gains, biases and tables",
}  # fmt: skip
_PER = {roles.WEIGHTS: CHANNEL}
FORMATS: tuple[Parameter, ...] = (
    *(Parameter(name=role, kind="text", default=FLOAT,
                summary=f"bits of {_SAID[role]}, {FEWEST_BITS} to {MOST_BITS}, or float") for role in ROLES),
    *(Parameter(name=f"{role}_per", kind="choice", choices=(TENSOR, CHANNEL), default=_PER.get(role, TENSOR),
                summary="what shares a scale") for role in ROLES),
    *(Parameter(name=f"{role}_scheme", kind="choice", choices=(SYMMETRIC, AFFINE), default=SYMMETRIC,
                summary="with a zero point or without") for role in ROLES),
    Parameter(name="group", kind="size", summary="values of a weight along a summed rank that share a scale"),
    Parameter(name="stored", kind="choice", choices=("all", "operands"), default="all",
              summary="which results are rounded: all, or those that a contraction reads and the outputs"),
)  # fmt: skip
"""What `--set` takes beside the workload's own settings."""


class Accuracy(msgspec.Struct, frozen=True, kw_only=True):
    """How far a workload in integer formats is from float64, by Einsum and for its outputs."""

    workload: str
    sizes: dict[str, int]
    formats: dict[str, str]
    data: str
    einsums: tuple[Difference, ...]
    outputs: tuple[Difference, ...]


def accuracy(
    workload: str | Cascade,
    settings: Mapping[str, Setting] | None = None,
    *,
    data: str | Path | None = None,
    seed: int = 0,
    outliers: float = 1.0,
) -> Accuracy:
    """Execute a workload, or one part of a model, in integer formats and in float64, and compare.

    `settings` are the workload's and those of `FORMATS`: `{"seq": 16, "weights": 8, "activations": 16}`.
    `data` is an `.npz` file with every input; otherwise values are drawn from `seed`, with one feature in
    100 of the activations `outliers` times as large. SpecError for a setting, a file or a size that can't be.
    """
    if not (math.isfinite(outliers) and 0 < outliers <= 1e6):
        raise SpecError("", "must be a number above 0, up to 1e6", got=outliers, where="--outliers")
    if seed < 0:
        raise SpecError("", "must be >= 0", got=seed, where="--seed")
    source = as_it_is(workload) if isinstance(workload, Cascade) else find_workload(workload)
    given = dict(settings or {})
    known = {parameter.name for parameter in FORMATS}
    for key in given:
        if key not in known and key not in source.keys:
            raise SpecError(key, "neither the workload nor a format has such a setting", where=PLACE,
                            hint=near(key, [*source.keys, *known]))  # fmt: skip
    chosen = read_settings(FORMATS, {key: given.pop(key) for key in list(given) if key in known}, PLACE)
    by_role = {role: form for role in ROLES if (form := _format(chosen, role))}
    cascade = source.build(given)
    check_size(cascade, source.keys)
    role = roles.roles_of(cascade) if source.model is not None else plain_roles(cascade)
    formats = formats_of(cascade, by_role, role, operands_only=chosen.text("stored") == "operands")
    inputs = (
        seeded(cascade, role, seed=seed, outliers=outliers) if data is None else read_npz(Path(data), cascade)
    )
    run = compare(cascade, inputs, formats)
    outputs = {tensor.name for tensor in cascade.outputs}
    drawn = f"normal, seed {seed}" + (f", outliers {outliers:g} times" if outliers != 1 else "")
    return Accuracy(
        workload=cascade.name, sizes=cascade.sizes, data=drawn if data is None else str(data),
        formats={name: str(by_role[name]) if name in by_role else "float64" for name in ROLES},
        einsums=run.differences, outputs=tuple(each for each in run.differences if each.tensor in outputs),
    )  # fmt: skip


def _format(chosen: Settings, role: str) -> Format | None:
    text = chosen.text(role).strip()
    group = chosen.size("group", 0) if role == roles.WEIGHTS else 0
    if text == FLOAT:
        if group:
            raise chosen.error("group", "needs weights, the bits of the values that share a scale")
        return None
    if not text.isdecimal() or len(text) > 3 or not FEWEST_BITS <= int(text) <= MOST_BITS:
        raise chosen.error(role, f"must be {FLOAT} or bits, {FEWEST_BITS} to {MOST_BITS}")
    return Format(bits=int(text), per=GROUP if group else chosen.text(f"{role}_per"), group=group,
                  scheme=chosen.text(f"{role}_scheme"))  # fmt: skip


def check_size(cascade: Cascade, keys: tuple[str, ...]) -> None:
    """SpecError where executing a cascade takes too long or too much memory; `keys` are its settings."""
    sizes = cascade.sizes
    points = {einsum.name: math.prod(sizes[rank] for rank in einsum.ranks) for einsum in cascade.einsums}
    values = sum(cascade.elements(tensor.name) for tensor in cascade.tensors)
    steps = 0
    for group in components(cascade.einsums):
        looped = loop_ranks(cascade, group)
        steps += len(group) * math.prod(sizes[rank] for rank in looped) if looped else 0
    held = {
        einsum.name: max(math.prod(sizes[rank] for rank in access.ranks) for access in factors)
        if (factors := summed_product(einsum))
        else points[einsum.name]
        for einsum in cascade.einsums
    }
    most = max(held, key=lambda name: held[name], default="")
    for number, limit, what in (
        (sum(points.values()), MOST_POINTS, "iteration points"),
        (values, MOST_VALUES, "values in its tensors"),
        (held.get(most, 0), MOST_VALUES, f"values at once in {most}"),
        (steps, MOST_STEPS, "steps of recurrences"),
    ):
        if number > limit:
            raise SpecError("", f"is too large to be executed: {number:,} {what}, at most {limit:,}",
                            where=cascade.name, hint=_smaller(cascade, keys, number / limit))  # fmt: skip


def _smaller(cascade: Cascade, keys: tuple[str, ...], times: float) -> str:
    """Which settings make it smaller."""
    sizes = cascade.sizes
    tokens = {"b", "p", "m"} & sizes.keys()
    weights = sum(cascade.elements(each.name) for each in cascade.tensors if not tokens & set(each.ranks))
    if "part" in keys and weights > MOST_VALUES:
        return "another part or a smaller model will do"
    found = []
    if "b" in keys and sizes.get("b", 1) > 1:
        batch = max(1, int(sizes["b"] / times))
        found.append(f"b={batch}")
        times *= batch / sizes["b"]
    if times > 1:
        length = max(sizes.get("p", 1), sizes.get("m", 1))
        own = [rank for rank in sizes if rank in keys and sizes[rank] > 1 and rank != "b"]
        if "seq" in keys and length > 1:
            found.append(f"seq={max(1, int(length / times))}")
        elif "image" in keys:
            found.append("image=64")
        elif own:
            longest = max(own, key=lambda rank: sizes[rank])
            found.append(f"{longest}={max(1, int(sizes[longest] / times))}")
    return f"--set {' '.join(found)} makes it smaller" if found else ""
