"""Mappings in the text form that `einsim.dataflow.mapping_text` writes, read for tests."""

from __future__ import annotations

import re

from einsim.accel.machine import DATAFLOWS
from einsim.dataflow.mapping import Compute, Keep, Loop, Mapping, Node, Pipeline, Sequence
from einsim.dataflow.sites import DEEPEST
from einsim.specs.errors import MISSING, SpecError
from einsim.specs.near import near

_HEAD = re.compile(r"(\S.*?) on (\S.*) \(([^()]*)\)")
_LOOP = re.compile(r"for (\S+)/(\d{1,13})")
_KEEP = re.compile(r"keep (\S+(?: \S+)*) in (\S+) x(\d{1,13})( overlay)?(?: spill=(\S+))?")
_COMPUTE = re.compile(r"(\S+) on (\S+)((?: \S+)*)")


def parse_text(text: str) -> Mapping:
    """The mapping that `mapping_text` wrote as `text`; notes are not part of it.

    SpecError with the line for anything else. Whether it is legal is for `einsim.dataflow.legality` to say.
    """
    lines = [(number, line.rstrip()) for number, line in enumerate(text.splitlines(), 1) if line.strip()]
    head = _HEAD.fullmatch(lines[0][1].strip()) if lines else None
    if head is None:
        raise _fault(lines[0][0] if lines else 1, "must begin with 'CASCADE on MACHINE (TEMPLATE)'")
    reader = _TextReader(lines[1:])
    tree = reader.node(0, lines[0][0])
    if reader.lines:
        rule = "stands beside the root, which is one node; indent it by two spaces a level"
        raise _fault(reader.lines[0][0], rule)
    return Mapping(cascade=head[1], machine=head[2], template=head[3], tree=tree)


class _TextReader:
    """Takes lines off the front; `lines` holds those that are left."""

    def __init__(self, lines: list[tuple[int, str]]) -> None:
        self.lines = lines[::-1]  # taken off the end

    def node(self, depth: int, above: int) -> Node:
        """The node that must stand next at this depth, with all below it."""
        if not self.lines or self._depth() != depth:
            raise _fault(above, "must hold a node on the next line, two spaces further in")
        number, line = self.lines.pop()
        if depth >= DEEPEST:
            raise _fault(number, f"is nested deeper than {DEEPEST} nodes")
        line = line.strip()
        if found := _LOOP.fullmatch(line):
            return Loop(rank=found[1], tile=int(found[2]), body=self.node(depth + 1, number))
        if found := _KEEP.fullmatch(line):
            names = tuple(found[1].split())
            return Keep(
                tensors=names, memory=found[2], buffers=int(found[3]), overlay=bool(found[4]),
                spill=_share(found[5], number), body=self.node(depth + 1, number),
            )  # fmt: skip
        if line in ("pipeline", "sequence"):
            below = [self.node(depth + 1, number)]
            while self.lines and self._depth() == depth + 1:
                below.append(self.node(depth + 1, number))
            group = Pipeline if line == "pipeline" else Sequence
            return group(children=tuple(below))
        if found := _COMPUTE.fullmatch(line):
            return _compute(found[1], found[2], found[3].split(), number)
        rule = "must be 'for RANK/TILE', 'keep T in MEMORY xN', 'pipeline', 'sequence' or 'EINSUM on UNIT'"
        raise _fault(number, rule, got=line)

    def _depth(self) -> int:
        number, line = self.lines[-1]
        spaces = len(line) - len(line.lstrip(" "))
        if spaces % 2 or line[spaces] == "\t":
            raise _fault(number, "must be indented by two spaces a level")
        return spaces // 2


def _compute(einsum: str, unit: str, options: list[str], number: int) -> Compute:
    spatial: dict[str, tuple[str, ...]] = {}
    chained: tuple[str, ...] = ()
    stationarity = "output-stationary"
    for option in options:
        key, equals, value = option.partition("=")
        if not equals and option in DATAFLOWS:
            stationarity = option
        elif not equals:
            raise _fault(number, "must be DIMENSION=RANK*RANK, chained=T,T or a dataflow", got=option,
                         hint=near(option, DATAFLOWS))  # fmt: skip
        elif key == "chained":
            chained = tuple(name for name in value.split(",") if name)
        elif key in spatial:
            raise _fault(number, "this dimension stands twice", got=key)
        else:
            spatial[key] = tuple(name for name in value.split("*") if name)
    return Compute(einsum=einsum, unit=unit, spatial=spatial, chained=chained, stationarity=stationarity)


def _share(text: str | None, number: int) -> float:
    try:
        return float(text or 0)
    except ValueError:
        raise _fault(number, "spill must be a number from 0 to 1", got=text) from None


def _fault(number: int, rule: str, *, got: object = MISSING, hint: str = "") -> SpecError:
    return SpecError("mapping", rule, where=f"line {number}", got=got, hint=hint)
