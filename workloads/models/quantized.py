"""Matrices in few bits with a scale, and a zero point, for each group of values along the contracted rank.

A matrix unit multiplies the few bits as they are. What the scales then take depends on how many tokens there
are. Few: the product of each group is a sum of its own, G, and Y = sum over groups of (G - ZP * sum of the
group's inputs) * SC, a few operations a group. Many: the matrix is made wide once, DQ = (W - ZP) * SC, two
operations a value, and multiplied as any other. Both compute (W - ZP) * SC times X, as GPTQ (Frantar et al.,
arXiv 2210.17323) and AWQ (Lin et al., arXiv 2306.00978) store it. No machine states a load path that does it.
"""

from __future__ import annotations

import math
from collections.abc import Collection

from msgspec.structs import replace

from einsim.workloads.cascade import Cascade
from einsim.workloads.einsum import Einsum
from einsim.workloads.expression import Access, Apply
from einsim.workloads.models import roles
from einsim.workloads.models.network import Quantization
from einsim.workloads.notation import parse
from einsim.workloads.text import access_text

LARGEST_GROUP = 1024
"""Groups along one rank; larger ones are blocks of a matrix, whose few scales are neither stored nor read."""


def form_of(
    given: Quantization | None, stored: Quantization | None, layer: bool, chosen: bool
) -> Quantization | None:
    """How a part's matrices are stored: as is given, else as the file says of layers, or of experts only."""
    if given or not stored or not layer:
        return given
    return stored if chosen or not stored.experts_only else None


def quantized(cascade: Cascade, form: Quantization, wide: Collection[str] = ()) -> Cascade:
    """The cascade with its products by matrices of few bits, their scales and zero points beside them.

    Matrices that are named in `wide` stay as they are, and without `form.routers` those of routers.
    """
    kept = {*wide, *(() if form.routers else roles.ROUTERS)}
    matrices = {name for name in roles.matrices(cascade) if name not in kept}
    tensors = tuple(
        replace(tensor, bits=form.bits) if tensor.name in matrices else tensor for tensor in cascade.tensors
    )
    cascade = replace(cascade, tensors=tensors)
    if not 0 < form.group <= LARGEST_GROUP:
        return cascade
    found = _Rewriting(cascade, form, matrices)
    for einsum in cascade.einsums:
        found.take(einsum)
    return found.made()


class _Rewriting:
    """Einsums as text, those by grouped matrices replaced."""

    def __init__(self, cascade: Cascade, form: Quantization, matrices: set[str]) -> None:
        self.cascade, self.form, self.matrices = cascade, form, matrices
        self.partitions: dict[str, str] = {}
        self.sums: dict[str, tuple[str, ...]] = {}
        self.declared: list[str] = []
        self.replaced: dict[str, list[str]] = {}

    def take(self, einsum: Einsum) -> None:
        """Replace an Einsum if it is the product of a matrix whose last contracted rank can be grouped."""
        operands = einsum.expr.args if isinstance(einsum.expr, Apply) and einsum.contracts else ()
        if len(operands) != 2 or not all(isinstance(each, Access) for each in operands):
            return
        left, right = operands
        matrix, values = (right, left) if right.tensor in self.matrices else (left, right)  # type: ignore[union-attr]
        assert isinstance(matrix, Access)
        assert isinstance(values, Access)
        plain = [index.plain for index in matrix.indices]
        rank = next((name for name in reversed(plain) if name in einsum.reduced), None)
        inputs = [index.plain for index in values.indices]
        if matrix.tensor not in self.matrices or rank is None or None in plain or rank not in inputs:
            return
        if rank in {part.rank for part in self.cascade.partitions}:
            return
        self._group(rank)
        scale = f"[{','.join(f'{rank}g' if name == rank else str(name) for name in plain)}]"
        if self.form.zero_bits:
            self.declared.append(f"tensor ZP{matrix.tensor}{scale} bits {self.form.zero_bits}")
        self.declared.append(f"tensor SC{matrix.tensor}{scale} bits {self.form.scale_bits}")
        tokens = math.prod(self.cascade.size(name) for name in einsum.output.ranks if name not in plain)
        few = tokens < min(self.form.group, self.cascade.size(rank))
        write = self._sums_of_groups if few else self._wide
        self.replaced[einsum.name] = write(einsum, values, matrix, rank, scale)

    def _group(self, rank: str) -> None:
        size = min(self.form.group, self.cascade.size(rank))
        self.partitions[rank] = f"rank {rank}k = {size}\n{rank} -> {rank}g, {rank}k"

    def _sums_of_groups(
        self, einsum: Einsum, values: Access, matrix: Access, rank: str, scale: str
    ) -> list[str]:
        sizes, name = self.cascade.sizes, einsum.name
        own = [index.plain for index in matrix.indices]
        out = [*einsum.output.ranks]
        out += [name for name in own if name in einsum.reduced and name != rank]  # scales differ along them
        full = f"[{','.join(out)},{rank}g]"
        lines = [f"{name}GR{full} = {access_text(values, sizes)} * {access_text(matrix, sizes)}"]
        last = f"{name}GR{full}"
        if self.form.zero_bits:
            kept = tuple(each for each in values.ranks if each in out)
            sums, new = self._sums_name(f"{values.tensor}{rank.upper()}S", kept)
            sums = f"{sums}[{','.join((*kept, f'{rank}g'))}]"
            if new:
                others = [each for each in values.ranks if each not in (*out, rank)]
                lines.append(f"{sums} = sum[{','.join((*others, f'{rank}k'))}]({access_text(values, sizes)})")
            lines.append(f"{name}GZ{full} = {last} - {sums} * ZP{matrix.tensor}{scale}")
            last = f"{name}GZ{full}"
        return [*lines, f"{access_text(einsum.output, sizes)} = {last} * SC{matrix.tensor}{scale}"]

    def _sums_name(self, name: str, ranks: tuple[str, ...]) -> tuple[str, bool]:
        """The name of the sums of a tensor's groups over these ranks, as it is read by p and by m, and if
        it is new.
        """
        number = 1
        while (numbered := name if number == 1 else f"{name}{number}") in self.sums:
            if self.sums[numbered] == ranks:
                return numbered, False
            number += 1
        self.sums[numbered] = ranks
        return numbered, True

    def _wide(self, einsum: Einsum, values: Access, matrix: Access, rank: str, scale: str) -> list[str]:
        sizes = self.cascade.sizes
        own = access_text(matrix, sizes)
        wide = own.replace(matrix.tensor, f"DQ{matrix.tensor}", 1)
        shifted = f"({own} - ZP{matrix.tensor}{scale})" if self.form.zero_bits else own
        self.declared.append(f"tensor {wide}")
        return [
            f"{wide} = {shifted} * SC{matrix.tensor}{scale}",
            f"{access_text(einsum.output, sizes)} = {access_text(values, sizes)} * {wide}",
        ]

    def made(self) -> Cascade:
        """The cascade, read again."""
        lines = []
        first = True
        for line in str(self.cascade).splitlines():
            name = line.partition("[")[0].strip()
            if name in self.replaced and " = " in line and not line.startswith(("tensor", "rank")):
                if first:
                    lines += [*self.partitions.values(), *self.declared]
                    first = False
                lines += self.replaced[name]
            else:
                lines.append(line)
        return parse("\n".join(lines), name=self.cascade.name, source=self.cascade.source)
