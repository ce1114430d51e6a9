"""SCALE-Sim topologies (Samajdar et al., ISPASS 2020): a CSV of convolutions or products, a layer a line."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from pathlib import Path

from einsim.importers.imported import Imported, cascade_body, word
from einsim.specs.errors import SpecError
from einsim.specs.files import read_text

_MOST_LAYERS = 5000


def topology(path: Path) -> Imported:
    """All layers as one cascade, each Einsum over ranks of its own; inputs come padded as in the file."""
    rows = list(_rows(path))
    if not rows:
        raise SpecError("", "holds no layer", where=str(path))
    gemm = len(_cells(rows[0][1])) < 7
    ranks: dict[str, int] = {}
    einsums: list[str] = []
    names: dict[str, object] = {}
    left: list[str] = []
    for at, (line, cells) in enumerate(rows, 1):
        name = word(cells[0], names)
        names[name] = None
        sizes = [_size(cell, path, line) for cell in _cells(cells)]
        if gemm:
            m, n, k, *rest = _enough(sizes, 3, path, line)
            ranks |= {f"m{at}": m, f"n{at}": n, f"k{at}": k}
            einsums.append(f"{name}[m{at},n{at}] = I_{name}[m{at},k{at}] * W_{name}[k{at},n{at}]")
        else:
            high, wide, r, q, c, k, down, *rest = _enough(sizes, 7, path, line)
            across = rest.pop(0) if rest else down
            if high < r or wide < q:
                raise SpecError(
                    cells[0], "a filter is larger than its input", got=f"{r}x{q}", where=f"{path}:{line}"
                )
            y, x = (high - r) // down + 1, (wide - q) // across + 1
            ranks |= {f"k{at}": k, f"c{at}": c, f"y{at}": y, f"x{at}": x, f"r{at}": r, f"q{at}": q}
            read = f"I_{name}[c{at},{_step('y', at, down)}+r{at},{_step('x', at, across)}+q{at}]"
            einsums.append(f"{name}[k{at},y{at},x{at}] = {read} * W_{name}[k{at},c{at},r{at},q{at}]")
        sparse = next((cell for cell in cells[1:] if ":" in cell), "")
        if sparse:
            left.append(f"{cells[0]}: sparsity {sparse} of its filters")
        if rest:
            left.append(f"{cells[0]}: columns after the stride ({', '.join(map(str, rest))})")
    return Imported(
        kind="workload", body=cascade_body(word(path.stem), ranks, einsums), source=str(path),
        left=tuple(left),
        assumed=("widths: 16 bits; layers don't read each other's results",),
    )  # fmt: skip


def _step(rank: str, at: int, stride: int) -> str:
    return f"{rank}{at}" if stride == 1 else f"{rank}{at}*{stride}"


def _rows(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Lines that hold a layer: the head and titles between have no figure in their second column."""
    reader = csv.reader(io.StringIO(read_text(path)))
    for line, row in enumerate(reader, 1):
        cells = [cell.strip() for cell in row]
        while cells and not cells[-1]:
            cells.pop()
        if len(cells) > 1 and (cells[1][:1].isdigit() or cells[1][:1] == "-"):
            if line > _MOST_LAYERS:
                raise SpecError("", f"has more than {_MOST_LAYERS} lines", where=str(path))
            yield line, cells


def _cells(cells: list[str]) -> list[str]:
    """The figures of a line."""
    return [cell for cell in cells[1:] if ":" not in cell]


def _enough(sizes: list[int], least: int, path: Path, line: int) -> list[int]:
    if len(sizes) < least:
        raise SpecError("", f"a layer has {least} figures", got=len(sizes), where=f"{path}:{line}")
    return sizes


def _size(cell: str, path: Path, line: int) -> int:
    try:
        size = int(cell)
    except ValueError:
        size = 0
    if not 1 <= size <= 2**31:
        raise SpecError("", "a figure must be a whole number >= 1", got=cell, where=f"{path}:{line}")
    return size
