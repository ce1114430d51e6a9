"""The strict loader: YAML to msgspec structs, every fault told with file, line, path, rule and value."""

from __future__ import annotations

import re
from typing import Any, Final, TypeVar

import msgspec

from einsim.specs.document import Document, Path
from einsim.specs.errors import MISSING, RuleError, SpecError
from einsim.specs.near import near
from einsim.specs.schema import WORDED, known_keys, known_values
from einsim.specs.units import decode_quantity
from einsim.specs.yaml_reader import load_json, load_yaml, read_value, read_yaml

__all__ = ["Document", "decode", "load_json", "load_yaml", "override", "read_yaml"]

T = TypeVar("T")

_PLACE: Final = re.compile(r"(?s)(.*?)(?: - at (`key` in )?`\$(.*)`)?")
_PART: Final = re.compile(r"\.([^.\[\]]+)|\[([0-9]+)\]|(\[\.\.\.\])")
_ENGLISH: Final = {
    "int": "an integer", "float": "a number", "str": "text", "bool": "true or false",
    "object": "a mapping", "array": "a list", "null": "null",
}  # fmt: skip


def decode(document: Document, struct_type: type[T], root: str = "accel") -> T:
    """The document as a `struct_type`; SpecError at the first fault, its path below `root`."""
    try:
        return _convert(document.data, struct_type)
    except msgspec.ValidationError as error:
        raise _explain(document, struct_type, root, error) from None


def override(document: Document, key: str, value: object) -> Document:
    """A copy of the document with one value replaced, as `--set KEY=TEXT` asks; text is read as YAML.

    KEY is a dotted path. A path that the document lacks is added, so that `decode` judges it, and names
    the near key, exactly as if it had been written in the file.
    """
    flag = f"--set {key}"
    parts = key.split(".")
    if not all(parts):
        raise SpecError(key, "must be a dotted path such as array.rows", where="--set")
    data = dict(document.data)
    here: Any = data
    path: Path = ()
    flags = dict(document.flags)
    for depth, part in enumerate(parts):
        step = _step(here, part, key, parts[:depth])
        path = (*path, step)
        if depth == len(parts) - 1 or (isinstance(here, dict) and step not in here):
            flags.setdefault(path, flag)
        if depth == len(parts) - 1:
            here[step] = read_value(value, flag) if isinstance(value, str) else value
        else:
            inner = here.get(step, {}) if isinstance(here, dict) else here[step]
            here[step] = inner.copy() if isinstance(inner, dict | list) else inner
            here = here[step]
    lines = {known: line for known, line in document.lines.items() if known[: len(path)] != path}
    return Document(label=document.label, data=data, lines=lines, flags=flags)


def _step(here: Any, part: str, key: str, above: list[str]) -> str | int:
    if isinstance(here, dict):
        return part
    if isinstance(here, list):
        if part.isdecimal() and int(part) < len(here):
            return int(part)
        rule = f"'{'.'.join(above)}' is a list; give an index below {len(here)}"
        raise SpecError(key, rule, got=part, where="--set")
    rule = f"'{'.'.join(above)}' is a single value, nothing can be set inside it"
    raise SpecError(key, rule, where="--set")


def _convert(data: object, struct_type: type[T]) -> T:
    return msgspec.convert(data, struct_type, strict=True, dec_hook=decode_quantity)


def _explain(document: Document, struct_type: Any, root: str, error: msgspec.ValidationError) -> SpecError:
    found = _PLACE.fullmatch(str(error))
    what, of_key, place = found.groups() if found else (str(error), None, None)
    path = _path(document, struct_type, place or "", str(error))
    cause = error.__cause__
    if isinstance(cause, RuleError):
        inner = (*path, *cause.at)
        written = document.value(inner)  # shows 4 where the struct holds 4.0
        got = cause.got if written is MISSING or cause.got is MISSING else written
        return document.error(inner, cause.rule, got=got, hint=cause.hint, root=root)
    if match := re.fullmatch(r"Object contains unknown field `(.*)`", what):
        return document.error(
            (*path, match[1]), "unknown key", hint=near(match[1], known_keys(struct_type, path)), root=root
        )
    if match := re.fullmatch(r"Object missing required field `(.*)`", what):
        return document.error(path, f"missing key '{match[1]}'", root=root)
    got = _guilty_key(document, struct_type, path, str(error)) if of_key else document.value(path)
    if what.startswith(("Invalid enum value", "Invalid value")):
        choices = known_values(struct_type, path)
        return document.error(path, "unknown value", got=got, hint=near(got, choices), root=root)
    return document.error(path, ("a key " if of_key else "") + _rule(what), got=got, root=root)


def _rule(what: str) -> str:
    if match := re.fullmatch(r"Expected `([^`]*)`(?:, got `.*`)?", what):
        return "must be " + " or ".join(_ENGLISH.get(kind, kind) for kind in match[1].split(" | "))
    if match := re.fullmatch(r"Expected `[^`]*` ((?:>=|<=|>|<) .*)", what):
        return "must be " + match[1]
    if match := re.fullmatch(r"Expected `[^`]*` (?:of|with) length (.*?)(?:, got .*)?", what):
        return "must have length " + match[1]
    if match := re.fullmatch(r"Expected `[^`]*` that's (a multiple of .*)", what):
        return "must be " + match[1]
    if match := re.fullmatch(r"Expected `str` matching regex (.*)", what):
        return f"must be {WORDED[match[1]]}" if match[1] in WORDED else f"must match {match[1]}"
    return what[:1].lower() + what[1:]


def _path(document: Document, struct_type: Any, place: str, message: str) -> Path:
    """The path of msgspec's `$.units[...].rows`, which hides mapping keys: they are found by trial."""
    path: Path = ()
    for name, index, hidden in _PART.findall(place):
        if hidden:
            path = (*path, _guilty_key(document, struct_type, path, message))
        else:
            path = (*path, int(index) if index else name)
    return path


def _guilty_key(document: Document, struct_type: Any, path: Path, message: str) -> str:
    entries: Any = document.value(path)
    for key, value in entries.items():
        try:
            _convert(_replaced(document.data, path, {key: value}), struct_type)
        except msgspec.ValidationError as error:
            if str(error) == message:
                return str(key)
    return str(next(iter(entries)))


def _replaced(data: Any, path: Path, value: Any) -> Any:
    if not path:
        return value
    copy = data.copy()
    copy[path[0]] = _replaced(data[path[0]], path[1:], value)
    return copy
