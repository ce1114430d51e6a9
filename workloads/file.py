"""A user's own cascade from a YAML file.

name: my-attention
ranks: {b: 2, e: 64, m: 4K, p: 4K, m0: 256}
partitions: {m: [m1, m0]}                 # optional, as are all that follow but einsums
parameters: {W: 128}                      # numbers to use by name
tensors: {K: {bits: 8, sparse: "2:4 e"}}
where: ["m <= p", "p - m < W"]
initial: {RM: -inf}
outputs: [K]                              # written to memory, though they are read on
ops: {clip(x): "min(max(x, 0), 6)"}
einsums: |
  QK[b,m,p] = Q[b,e,p] * K[b,e,m]
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from pathlib import Path

import msgspec

from einsim.specs.document import Document
from einsim.specs.document import Path as Keys
from einsim.specs.errors import SpecError
from einsim.specs.loader import decode, load_yaml
from einsim.specs.near import near
from einsim.workloads.cascade import Cascade
from einsim.workloads.notation import (
    Declared,
    Draft,
    Line,
    add_output,
    add_partition,
    add_rank,
    add_tensor,
    parse_sparsity,
    read_statement,
    resolve,
    statements,
)  # fmt: skip
from einsim.workloads.settings import Size, read_size
from einsim.workloads.sparsity import DENSE


class TensorFile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a file may say of a tensor."""

    ranks: list[str] | None = None
    """Its ranks, where no Einsum says them in order."""
    bits: int = 16
    """Width of a value in bits."""
    sparse: str | None = None
    """Its sparsity: `2:4 e`, `topk 8:64 e`, `block 16 0.3 e` or `density 0.1`."""


class CascadeFile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A cascade file's keys."""

    einsums: str | list[str]
    """The Einsums in order, one a line: `H[p,f] = N[p,d] * W[d,f]`."""
    name: str = ""
    """Its name; the file's where it is left out."""
    ranks: dict[str, Size] = {}
    """Sizes by rank; `4K` is 4096."""
    partitions: dict[str, list[str]] = {}
    """Ranks that are walked in parts, the outer part first: `{m: [m1, m0]}`; give the size of the inner one.
    """
    parameters: dict[str, int | float] = {}
    """Numbers that the statements use by name, and that `--set` changes."""
    tensors: dict[str, TensorFile] = {}
    """Widths and sparsity by tensor."""
    where: str | list[str] = []
    """Bounds: only these points are iterated, such as `m <= p`."""
    initial: dict[str, int | float | str] = {}
    """By tensor with an iterative rank: the state before the first step, such as `-inf`."""
    outputs: list[str] = []
    """Tensors that are read on and outputs too: they end in DRAM."""
    ops: dict[str, str] = {}
    """Operators of your own by their head: `{clip(x): "min(max(x, 0), 6)"}`."""


def read_cascade(path: Path, settings: Mapping[str, object]) -> Cascade:
    """The cascade of a YAML file; settings replace sizes of its ranks and values of its parameters.

    Raises SpecError with file and line for whatever is wrong in it.
    """
    document = load_yaml(path)
    file = decode(document, CascadeFile, root="")
    parameters = {name: float(value) for name, value in file.parameters.items()}
    draft = Draft(name=file.name or path.stem)
    _ranks(file, document, draft, settings)
    for name, value in settings.items():
        if name in file.parameters:
            parameters[name] = _number(name, value)
        elif name not in file.ranks and name not in {
            part for into in file.partitions.values() for part in into
        }:
            hint = near(name, [*file.ranks, *file.parameters])
            raise SpecError(name, "unknown setting", where="--set", hint=hint)
    for rank, into in file.partitions.items():
        add_partition(draft, rank, tuple(into), document.where(("partitions", rank)))
    for name, tensor in file.tensors.items():
        where = document.where(("tensors", name))
        sparsity = DENSE if tensor.sparse is None else parse_sparsity(tensor.sparse, f"tensors.{name}", where)
        ranks = None if tensor.ranks is None else tuple(tensor.ranks)
        add_tensor(draft, name, Declared(ranks, tensor.bits, sparsity, where))
    for line in _lines(file.where, document, ("where",)):
        draft.where.append(line)
    for name, state in file.initial.items():
        line = Line(document.where(("initial", name)), f"initial {name} = {state}")
        read_statement(line, draft, parameters)
    for at, name in enumerate(file.outputs):
        add_output(draft, name, document.where(("outputs", at)))
    for head, body in file.ops.items():
        draft.definitions.append(Line(document.where(("ops", head)), f"{head} = {body}"))
    for line in _lines(file.einsums, document, ("einsums",)):
        read_statement(line, draft, parameters)
    return resolve(draft, parameters, document.label)


def _ranks(file: CascadeFile, document: Document, draft: Draft, settings: Mapping[str, object]) -> None:
    parts = [part for into in file.partitions.values() for part in into]
    for name in dict.fromkeys([*file.ranks, *(part for part in parts if part in settings)]):
        given = name in settings
        where = "--set" if given else document.where(("ranks", name))
        value = settings[name] if given else file.ranks[name]
        add_rank(draft, name, read_size(value, name if given else f"ranks.{name}", where), where)


def _number(name: str, value: object) -> float:
    """A parameter from the command line: a number, or a size such as 4K."""
    try:
        number = float(str(value))
    except ValueError:
        number = math.inf
    if math.isfinite(number):
        return number
    try:
        return float(read_size(value, name, "--set"))
    except SpecError:
        raise SpecError(name, "must be a number", got=value, where="--set") from None


def _lines(value: str | list[str], document: Document, path: Keys) -> Iterator[Line]:
    """Statements of a block of text or of a list, each with its own line of the file."""
    if isinstance(value, list):
        for at, item in enumerate(value):
            yield from (Line(document.where((*path, at)), line.text) for line in statements(item))
        return
    label, _, first = document.where(path).rpartition(":")
    block = "\n" in value  # a block of text begins on the line after its key
    yield from statements(value, label, int(first) + block)
