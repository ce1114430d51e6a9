"""Files of figures that others publish: which columns name the chip, what was run and what was measured.

A kind of file is recognised by its columns. A new kind is a row of KINDS, a new chip or network a line of a
table.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import msgspec

from einsim.specs.errors import SpecError
from einsim.specs.near import near
from einsim.validation.silicon import names
from einsim.validation.silicon.chip_figure import ChipFigure, positive, read_lines
from einsim.workloads.graphs import networks
from einsim.workloads.load import is_model_name, load_model, network_names

QUALCOMM_WIDTHS = {
    "float": "bits=16 precision=16",  # runs as fp16
    "w8a8": "weights=8 activations=8 precision=8",
    "w8a16": "weights=8 activations=16 precision=16",
}


class FileKind(msgspec.Struct, frozen=True, kw_only=True):
    """A kind of file.

    `columns` are those that it is recognised by. `chip` is the column of the chip and `chips` what einsim
    calls those that it knows, a preset with `--set` pairs; without a column, all rows are of the one chip.
    `work` are the columns that name what was run, which `find` knows; `kind` is what kind of work it is, ""
    where the first of these columns says so. `image` is the column of the image's size, `widths` that of the
    precision with its `--set` pairs by its text. `values` are quantities and their factors to einsim's units
    by column. `variant` are columns that tell rows apart. A row whose cell isn't among those of `only` is not
    judged.
    """

    name: str
    columns: tuple[str, ...]
    chips: Mapping[str, str]
    work: tuple[str, ...]
    find: names.Finder
    values: Mapping[str, tuple[str, float]]
    chip: str = ""
    kind: str = ""
    image: str = ""
    widths: str = ""
    width: Mapping[str, str] = {}
    variant: tuple[str, ...] = ()
    only: Mapping[str, tuple[str, ...]] = {}


KINDS = (
    FileKind(
        name="aihub",
        columns=("model", "component", "precision", "chipset", "runtime", "latency_ms", "layers_cpu"),
        chip="chipset", chips={"SA8295P": "sa8295p"}, kind="networks",
        work=("model", "component"), find=names.network("aihub"), image="input_resolution",
        widths="precision", width=QUALCOMM_WIDTHS, values={"latency_ms": ("latency_s", 1e-3)},
        variant=("precision", "runtime"), only={"layers_cpu": ("0", ""), "layers_gpu": ("0", "")},
    ),
    FileKind(
        name="tpu-v6e-ops", columns=("op", "shape", "latency_ns"), chips={},
        work=("op", "shape"), find=names.shape, values={"latency_ns": ("latency_s", 1e-9)},
    ),
)  # fmt: skip


class NotKnown(msgspec.Struct, frozen=True, kw_only=True):
    """A row that isn't judged, and why; `missed` where it is of a network that is held to be known."""

    line: int
    what: str
    why: str
    missed: bool = False


def recognise(head: tuple[str, ...], where: str) -> FileKind:
    """The kind of file with these columns; SpecError with the nearest kind's columns for none."""
    found = [kind for kind in KINDS if set(kind.columns) <= set(head)]
    if found:
        return max(found, key=lambda kind: len(kind.columns))
    likest = max(KINDS, key=lambda kind: len(set(kind.columns) & set(head)))
    rule = "has the columns of no kind of file that is known"
    lacks = next(column for column in likest.columns if column not in head)
    nearest = near(lacks, head) or f"no {lacks} here"
    raise SpecError(
        "", rule, got=",".join(head), where=where,
        hint=f"{likest.name} has {', '.join(likest.columns)}; {nearest}",
    )  # fmt: skip


def read_file(path: Path) -> Iterator[ChipFigure | NotKnown]:
    """Every figure of a file, and every row that isn't known. SpecError for a file that can't be read."""
    source, head, lines = read_lines(path)
    kind = recognise(head, str(path))
    for number, cells in lines:
        yield from _row(kind, cells, number, path, source)


def _row(
    kind: FileKind, cells: Mapping[str, str], number: int, path: Path, source: str
) -> Iterator[ChipFigure | NotKnown]:
    chip = cells[kind.chip] if kind.chip else kind.name
    what = " ".join(word for word in (chip, *(cells[column] for column in kind.work)) if word)
    machine = kind.chips.get(chip)
    if machine is None:
        yield NotKnown(line=number, what=what, why="no machine of this name is known")
        return
    wrong = [column for column, known in kind.only.items() if cells.get(column, "") not in known]
    if wrong:
        yield NotKnown(line=number, what=what, why=f"{wrong[0]} is {cells[wrong[0]]}")
        return
    found = kind.find(tuple(cells[column] for column in kind.work))
    if found is None:
        missed = names.is_named(" ".join(cells[column] for column in kind.work))
        yield NotKnown(line=number, what=what, why="no network or layer of this name is known", missed=missed)
        return
    if kind.widths and cells[kind.widths] not in kind.width:
        yield NotKnown(line=number, what=what, why=f"{kind.widths} {cells[kind.widths]}")
        return
    preset, *pairs = machine.split()
    given = (*pairs, *(kind.width[cells[kind.widths]].split() if kind.widths else ()))
    settings = {**found.settings, **dict(pair.split("=", 1) for pair in given)}
    if kind.image:
        settings |= image_settings(found.work, cells.get(kind.image, ""))
    for column, (quantity, factor) in kind.values.items():
        if cells.get(column):
            yield ChipFigure(
                machine=preset, kind=kind.kind or cells[kind.work[0]], name=found.name, work=found.work,
                settings=settings, quantity=quantity, source=source,
                variant=" ".join(cells[one] for one in kind.variant),
                value=positive(cells[column], column, f"{path}:{number}") * factor,
            )  # fmt: skip


def image_settings(work: str, text: str) -> dict[str, str]:
    """The size of an image as a network takes it, from a text such as 224x224 or [1, 3, 640, 640]."""
    sizes = [int(one) for one in re.findall(r"\d+", text)]
    sizes = sizes[-3:-1] if len(sizes) > 2 and sizes[-1] in {1, 3} else sizes[-2:]
    if len(sizes) != 2 or not is_model_name(work):
        return {}
    model = load_model(work)
    taken = {parameter.name for parameter in model.parameters} if model else set()
    if "image" not in taken:
        return {}
    if work in network_names() and networks.entry(work).fixed:
        return {}
    rows, columns = sizes
    return {"image": str(rows)} if rows == columns else {"image": str(rows), "columns": str(columns)}
