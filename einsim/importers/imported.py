"""What an importer makes: the text of a YAML file of ours, and what of the other file is not in it."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Literal

import msgspec
import yaml


class Imported(msgspec.Struct, frozen=True, kw_only=True):
    """`body` is a machine's or a cascade's YAML; `left` says, a line each, what is not in it, `assumed` what
    is in it that the file doesn't say.
    """

    kind: Literal["machine", "workload"]
    body: str
    source: str
    left: tuple[str, ...] = ()
    assumed: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """The file, its first lines comments."""
        head = [f"# from {self.source}"]
        head += [f"# not carried over: {line}" for line in self.left]
        head += [f"# assumed: {line}" for line in self.assumed]
        return "\n".join(head) + "\n" + self.body


def cascade_body(
    name: str, ranks: Mapping[str, int], einsums: Sequence[str], where: Sequence[str] = (),
    tensors: Mapping[str, Mapping[str, object]] | None = None,
) -> str:  # fmt: skip
    """The YAML of a cascade."""
    data: dict[str, object] = {"name": name, "ranks": dict(ranks)}
    if tensors:
        data["tensors"] = {tensor: dict(keys) for tensor, keys in tensors.items()}
    if where:
        data["where"] = list(where)
    text = yaml.safe_dump(data, sort_keys=False, default_flow_style=None, width=100)
    return text + "einsums: |\n" + "".join(f"  {einsum}\n" for einsum in einsums)


def word(name: str, taken: Mapping[str, object] | Sequence[str] = ()) -> str:
    """A name of letters, digits and _ that none of `taken` has."""
    plain = re.sub(r"[^A-Za-z0-9_]+", "_", name).strip("_") or "T"
    plain = plain if plain[0].isalpha() else f"L{plain}"
    if plain not in taken:
        return plain
    return next(f"{plain}_{at}" for at in range(2, 100_000) if f"{plain}_{at}" not in taken)


def quantity(value: float, unit: str) -> str:
    """A figure with its unit, as our files write it: 12.5GB/s."""
    for factor, prefix in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= factor:
            return f"{_short(value / factor)}{prefix}{unit}"
    return f"{_short(value)}{unit}"


def _short(value: float) -> str:
    return str(int(value)) if value == math.floor(value) else f"{value:.6g}"
