"""Parameters of a workload: what may be set, its default, and strict reading of what the user gave."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from einsim.specs.errors import SpecError
from einsim.specs.near import near

Value = int | bool | str | tuple[int, ...] | None
Kind = Literal["size", "flag", "choice", "text", "sizes"]

_SIZE = re.compile(r"(\d+)\s*([KMG]?)", re.IGNORECASE)
_SCALE = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30}
_LARGEST = 2**40

Size = (
    Annotated[int, Meta(extra_json_schema={"minimum": 1, "maximum": _LARGEST})]
    | Annotated[str, Meta(extra_json_schema={"pattern": r"^\s*[0-9]+\s*[KMGkmg]?\s*$", "examples": ["4K"]})]
)
"""A size in a file, read by `read_size`: the limits are for the schema, so that errors stay in its words."""


class Parameter(msgspec.Struct, frozen=True, kw_only=True):
    """One parameter; `default` None means that it follows from the others, `choices` are the known values.

    Every choice of an `open` one computes the same, so that without a setting the machine decides.
    """

    name: str
    kind: Kind
    summary: str
    default: Value = None
    choices: tuple[str, ...] = ()
    least: int = 1
    open: bool = False


class Settings(msgspec.Struct, frozen=True):
    """Values by parameter, defaults filled in; None where the workload derives it."""

    values: dict[str, Value]
    where: str

    def size(self, name: str, otherwise: int | None = None) -> int:
        """A size; `otherwise` when it isn't set, and an error when neither is."""
        value = self.values.get(name)
        if value is None:
            value = otherwise
        if isinstance(value, int):
            return value
        raise self.error(name, "must be set")

    def flag(self, name: str) -> bool:
        """Whether a flag is set."""
        return self.values.get(name) is True

    def text(self, name: str) -> str:
        """A choice or text, "" when it isn't set."""
        value = self.values.get(name)
        return "" if value is None else str(value)

    def sizes(self, name: str) -> tuple[int, ...]:
        """A list of sizes, () when it isn't set."""
        value = self.values.get(name)
        return value if isinstance(value, tuple) else ()

    def given(self, name: str) -> bool:
        """Whether a parameter has a value."""
        return self.values.get(name) is not None

    def error(self, name: str, rule: str, hint: str = "") -> SpecError:
        """A fault of one parameter."""
        if self.values.get(name) is None:
            return SpecError(name, rule, where=self.where, hint=hint)
        return SpecError(name, rule, got=self.values[name], where=self.where, hint=hint)


def read_settings(parameters: Sequence[Parameter], given: Mapping[str, object], where: str) -> Settings:
    """The given values (text or Python values) by the parameters' kinds; SpecError for the first bad one."""
    known = {parameter.name: parameter for parameter in parameters}
    for name in given:
        if name not in known:
            raise SpecError(name, "unknown parameter", where=where, hint=near(name, known))
    values = {name: known[name].default for name in known}
    values |= {name: _read(known[name], value, where) for name, value in given.items()}
    return Settings(values, where)


def _read(parameter: Parameter, value: object, where: str) -> Value:
    if value is None:
        return parameter.default
    match parameter.kind:
        case "flag":
            if isinstance(value, bool):
                return value
            if str(value).lower() in ("true", "yes", "on", "1", "false", "no", "off", "0"):
                return str(value).lower() in ("true", "yes", "on", "1")
            raise SpecError(parameter.name, "must be true or false", got=value, where=where)
        case "size":
            return read_size(value, parameter.name, where, parameter.least)
        case "sizes":
            parts = (
                value if isinstance(value, list | tuple) else re.split(r"[,+\s]+", str(value).strip("[]() "))
            )
            return tuple(read_size(part, parameter.name, where) for part in parts)
        case "choice":
            if str(value) not in parameter.choices:
                hint = near(value, parameter.choices)
                raise SpecError(parameter.name, f"unknown {parameter.name} '{value}'", where=where, hint=hint)
            return str(value)
        case "text":
            return str(value)


def read_size(value: object, name: str, where: str, least: int = 1) -> int:
    """A whole number, or text such as 4096, 4K or 1M (K = 1024), from `least` to 2**40."""
    number = value if isinstance(value, int) and not isinstance(value, bool) else None
    if number is None:
        found = _SIZE.fullmatch(str(value).strip()) if isinstance(value, str) else None
        if found is None and not (isinstance(value, str) and re.fullmatch(r"-\d+", value.strip())):
            raise SpecError(name, "must be a whole number such as 4096, 4K or 1M", got=value, where=where)
        number = int(found[1]) * _SCALE[found[2].upper()] if found else int(str(value))
    if number < least:
        raise SpecError(name, f"must be >= {least}", got=number, where=where)
    if number > _LARGEST:
        raise SpecError(name, "must be <= 2**40", got=number, where=where)
    return number
