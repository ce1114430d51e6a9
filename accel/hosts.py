"""What units have to do with each other and with memories: modes of one arithmetic, what passes results on,
memories that stand still while a unit computes.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import NamedTuple

from einsim.specs.errors import RuleError
from einsim.specs.near import near


class Bonds(NamedTuple):
    """Of a unit the names of the one that it is a mode of, of the one that it follows and of the memory that
    it stops, "" for none.
    """

    name: str
    is_vector: bool
    mode_of: str
    follows: str
    stops: str


def check_hosts(units: Sequence[Bonds], ports: Collection[str]) -> None:
    """RuleError where a unit is a mode of none with arithmetic of its own, follows no matrix unit, or stops a
    memory that isn't among those with a single port.
    """
    matrix = [unit.name for unit in units if not unit.is_vector]
    for unit in units:
        hosts = [other.name for other in units if other.name != unit.name and not other.mode_of]
        if unit.mode_of and unit.mode_of not in hosts:
            rule, hint = "must name a unit with arithmetic of its own", near(unit.mode_of, hosts)
            raise RuleError(rule, got=unit.mode_of, hint=hint, at=("units", unit.name, "mode_of"))
        if unit.follows and (unit.follows not in matrix or not unit.is_vector):
            rule, hint = "must name a matrix unit, from a vector unit", near(unit.follows, matrix)
            raise RuleError(rule, got=unit.follows, hint=hint, at=("units", unit.name, "follows"))
        if unit.stops and (unit.stops not in ports or unit.mode_of):
            rule = "must name a memory of one bank and one shared bandwidth, from a unit that is no mode"
            hint = near(unit.stops, ports)
            raise RuleError(rule, got=unit.stops, hint=hint, at=("units", unit.name, "stops"))
