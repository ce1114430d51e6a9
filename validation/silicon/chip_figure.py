"""One figure that others measured on a chip, and tables of them as CSV."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import msgspec

from einsim.specs.errors import SpecError
from einsim.specs.files import read_text, write_text
from einsim.validation.silicon.split import Side, side

Line = tuple[int, dict[str, str]]
"""A line's number in its file, and its cells by column."""

QUANTITIES = {
    "latency_s": "seconds of one run", "per_s": "images, texts or operations a second",
    "tokens_per_s": "new tokens a second", "first_token_s": "seconds until a prompt is read",
    "power_w": "watts", "dram_bytes": "bytes to and from DRAM; of other memories by their names",
}  # fmt: skip
"""What is measured, and its unit. Others are an FPGA's primitives (`dsp`), in a row without work."""


class ChipFigure(msgspec.Struct, frozen=True, kw_only=True):
    """A figure: `value` of a `quantity` of what was run.

    `machine` is einsim's preset and `work` its workload; `settings` are both their `--set` pairs, so that
    `einsim run WORK --accel MACHINE --set SETTINGS` predicts it. `kind` says what kind of work it is
    ("networks", "gemm"), `name` decides whether it may be fitted on (`einsim.validation.silicon.split`), and
    `variant` tells rows of one network apart: precision, runtime, release. `source` is a repository, path
    and commit, or a page.
    """

    machine: str
    kind: str
    name: str
    work: str
    settings: Mapping[str, str]
    variant: str
    quantity: str
    value: float
    source: str

    @property
    def group(self) -> str:
        """Machine and kind of work: what has an error of its own."""
        return f"{self.machine} {self.kind}"

    @property
    def case(self) -> str:
        """What the row is called."""
        return ":".join(word for word in (self.machine, self.name, self.variant) if word)

    @property
    def side(self) -> Side:
        """Whether constants may be fitted on it."""
        return side(self.name)


COLUMNS = ("machine", "kind", "name", "work", "settings", "variant", "quantity", "value")


def read_lines(path: Path) -> tuple[str, tuple[str, ...], list[Line]]:
    """The first comment of a CSV file, its columns, and its lines; lines that begin with # are comments.

    SpecError for what is no such file, and for a line of another length than its head.
    """
    comment, numbered = "", list[tuple[int, str]]()
    for number, text in enumerate(read_text(path).splitlines(keepends=True), 1):
        if text.startswith("#"):
            comment = comment or text.lstrip("# ").strip().removeprefix("source: ")
        elif text.strip():
            numbered.append((number, text))
    try:
        cells = list(csv.reader(io.StringIO("".join(text for _, text in numbered)), strict=True))
    except csv.Error as error:
        raise SpecError("", f"is no table of comma-separated values: {error}", where=str(path)) from None
    if not cells:
        raise SpecError("", "holds no table: a line of columns, then rows", where=str(path))
    head = tuple(cell.strip() for cell in cells[0])
    if len(cells) != len(numbered):
        raise SpecError("", "has a cell with a line break", where=str(path))
    lines = []
    for (number, _), row in zip(numbered[1:], cells[1:], strict=True):
        if len(row) != len(head):
            raise SpecError("", f"must have {len(head)} cells", got=len(row), where=f"{path}:{number}")
        lines.append((number, dict(zip(head, (cell.strip() for cell in row), strict=True))))
    return comment, head, lines


def read(path: Path) -> tuple[ChipFigure, ...]:
    """All rows of a table of ours. SpecError for a wrong head or value, with file, line and column."""
    source, head, lines = read_lines(path)
    if head != COLUMNS:
        raise SpecError("", f"must have the columns {','.join(COLUMNS)}", where=str(path))
    return tuple(_measurements(path, source, lines))


def _measurements(path: Path, source: str, lines: Sequence[Line]) -> Iterator[ChipFigure]:
    for number, cells in lines:
        yield ChipFigure(
            machine=cells["machine"], kind=cells["kind"], name=cells["name"], work=cells["work"],
            settings=dict(pair.split("=", 1) for pair in cells["settings"].split()),
            variant=cells["variant"], quantity=cells["quantity"],
            value=positive(cells["value"], "value", f"{path}:{number}"), source=source,
        )  # fmt: skip


def positive(text: str, column: str, where: str) -> float:
    """A figure above zero; SpecError otherwise."""
    try:
        found = float(text)
    except ValueError:
        found = math.nan
    if not (math.isfinite(found) and found > 0):
        raise SpecError(column, "must be a number above 0", got=text, where=where)
    return found


def write(path: Path, rows: Sequence[ChipFigure], comment: str) -> None:
    """A table of ours; `comment` is its first line, which names the source."""
    out = io.StringIO()
    out.write(f"# source: {comment}\n")
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(COLUMNS)
    for row in rows:
        settings = " ".join(f"{key}={value}" for key, value in row.settings.items())
        told = (row.variant, row.quantity, f"{row.value:.6g}")
        writer.writerow((row.machine, row.kind, row.name, row.work, settings, *told))
    write_text(path, out.getvalue())
