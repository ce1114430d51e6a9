"""Safe YAML text to plain data: bounded, without tags, without duplicate keys, every line remembered.

Scalars follow the core schema of YAML 1.2 (so `no` is text and `1e9` is a number), keys are always text.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from contextlib import suppress
from functools import lru_cache
from pathlib import Path as FilePath
from typing import Any, Final

import yaml

from einsim.specs.document import Document, Path
from einsim.specs.errors import EinsimError, SpecError, dotted
from einsim.specs.files import read_text

LARGEST_BYTES: Final = 2**20
DEEPEST: Final = 32
MOST_VALUES: Final = 100_000
"""Values of a document after alias expansion; a specification has hundreds, a YAML bomb has billions."""

_LONGEST_NUMBER: Final = 40
_INTEGER: Final = re.compile(r"[-+]?[0-9]+")
_BASED: Final = re.compile(r"0x[0-9a-fA-F]+|0o[0-7]+")
_REAL: Final = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_BLANK: Final = re.compile(r"\ufeff?(---|\.\.\.|%.*)?\s*(#.*)?")
_CONTROL: Final = re.compile(r"[^\t\n\x20-\x7e\xa0-\U0010ffff]|[\ud800-\udfff\u202a-\u202e\u2066-\u2069]")
"""C0 and C1 but tab and newline, half characters, and marks that turn text round."""
_NOT_FINITE: Final = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
_WORDS: Final[dict[str, bool | None]] = {
    "": None, "~": None, "null": None, "Null": None, "NULL": None,
    "true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False,
}  # fmt: skip


def load_yaml(source: FilePath, label: str = "") -> Document:
    """Reads a YAML file whose root is a mapping; SpecError for anything else. `label` names it in errors."""
    label = label or str(source)
    return read_yaml(read_text(source, label, LARGEST_BYTES), label)


def load_json(source: FilePath) -> Document:
    """Reads a JSON file as YAML, which it is save for its tabs: so every key has its line."""
    try:
        return load_yaml(source)
    except SpecError as error:
        if "'\\t'" not in error.rule:
            raise
    return read_yaml(read_text(source, most=LARGEST_BYTES).replace("\t", " "), str(source))


@lru_cache(maxsize=64)
def read_yaml(text: str, label: str) -> Document:
    """Reads YAML text whose root is a mapping, under the same rules as `load_yaml`; the same text once."""
    lines: dict[Path, int] = {}
    data = _Builder(text, label, lines).document()
    if data is None and all(_BLANK.fullmatch(line) for line in text.splitlines()):
        raise SpecError("", "is empty", where=label)
    if not isinstance(data, dict):
        raise SpecError("", "must be a mapping at its root", got=data, where=f"{label}:{lines.get((), 1)}")
    return Document(label=label, data=data, lines=lines)


def read_value(text: str, label: str) -> Any:
    """Reads one YAML value, such as the right side of `--set array.rows=128`, where `label` is the flag."""
    return _Builder(text, label, {}).document()


FAST: Final[Any] = getattr(yaml, "CSafeLoader", None)
BROKEN: Final = (ValueError, RecursionError, IndexError, TypeError)
"""What PyYAML itself fails with on malformed escapes and directives."""


class _Builder:
    """Builds plain data from PyYAML's event stream, which is lazy, flat and constructs nothing itself."""

    def __init__(self, text: str, label: str, lines: dict[Path, int]) -> None:
        self.text, self.label, self.lines = text, label, lines
        self.language = "JSON" if label.lower().endswith(".json") else "YAML"
        self.values = 0
        self.anchors: dict[str, tuple[Any, int] | None] = {}  # value and size; None while still open

    def document(self) -> Any:
        """The only document of the text; None where there is none."""
        if FAST is not None:
            # libyaml is ten times as fast; what it refuses PyYAML's own parser judges and explains.
            with suppress(yaml.YAMLError, *BROKEN):
                return _Builder(self.text, self.label, self.lines).document_of(FAST)
        try:
            return self.document_of(yaml.SafeLoader)
        except EinsimError:
            raise
        except yaml.reader.ReaderError as error:
            line = self.text.count("\n", 0, error.position) + 1
            raise self._error(line, f"is not text (character code {error.character})") from None
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            rule = f"is not valid {self.language}: {error.problem}"
            raise self._error(mark.line + 1 if mark else 1, rule) from None
        except BROKEN as error:
            raise self._error(1, f"is not valid {self.language}: {error}") from None

    def document_of(self, loader: Any) -> Any:
        """The only document as a parser reads it."""
        events: Iterator[yaml.Event] = yaml.parse(self.text, Loader=loader)
        data: Any = None
        documents = 0
        for event in events:
            if isinstance(event, yaml.DocumentStartEvent):
                documents += 1
                if documents > 1:
                    raise self._error(_line(event), "holds a second document; one is allowed")
                data = self._value(next(events), events, ())
        return data

    def _error(self, line: int, rule: str, path: Path = ()) -> SpecError:
        where = self.label if self.label.startswith("--") else f"{self.label}:{line}"
        return SpecError(dotted(path), rule, where=where)

    def _count(self, number: int, line: int) -> None:
        self.values += number
        if self.values > MOST_VALUES:
            raise self._error(line, f"holds more than {MOST_VALUES} values, aliases expanded")

    def _value(self, event: yaml.Event, events: Iterator[yaml.Event], path: Path) -> Any:
        line = _line(event)
        self.lines[path] = line
        if len(path) > DEEPEST:
            raise self._error(line, f"is nested deeper than {DEEPEST} levels")
        if isinstance(event, yaml.AliasEvent):
            return self._alias(event.anchor, line, path)
        if not isinstance(event, yaml.ScalarEvent | yaml.CollectionStartEvent):
            raise self._error(line, "holds a YAML construct that is not allowed", path)
        if event.tag is not None:
            raise self._error(line, f"YAML tags are not allowed ('{event.tag}')", path)
        before = self.values
        self._count(1, line)
        if event.anchor is not None:
            self.anchors[event.anchor] = None
        value: Any
        if isinstance(event, yaml.ScalarEvent):
            text = self._text(event.value, line, path)
            value = self._plain(text, line, path) if event.implicit[0] else text
        elif isinstance(event, yaml.SequenceStartEvent):
            value = self._sequence(events, path)
        else:
            value = self._mapping(events, path)
        if event.anchor is not None:
            self.anchors[event.anchor] = (value, self.values - before)
        return value

    def _alias(self, anchor: str | None, line: int, path: Path) -> Any:
        if anchor is None or anchor not in self.anchors:
            raise self._error(line, f"alias '*{anchor}' has no anchor before it", path)
        known = self.anchors[anchor]
        if known is None:
            raise self._error(line, f"alias '*{anchor}' stands inside its own anchor", path)
        self._count(known[1], line)
        return known[0]

    def _sequence(self, events: Iterator[yaml.Event], path: Path) -> list[Any]:
        items: list[Any] = []
        while not isinstance(event := next(events), yaml.SequenceEndEvent):
            items.append(self._value(event, events, (*path, len(items))))
        return items

    def _mapping(self, events: Iterator[yaml.Event], path: Path) -> dict[str, Any]:
        data: dict[str, Any] = {}
        first: dict[str, int] = {}
        while not isinstance(event := next(events), yaml.MappingEndEvent):
            line = _line(event)
            if not isinstance(event, yaml.ScalarEvent) or event.tag is not None:
                raise self._error(line, "a key must be plain text", path)
            key = self._text(event.value, line, path)
            if key in data:
                raise self._error(line, f"key stands twice (first on line {first[key]})", (*path, key))
            first[key] = line
            data[key] = None
            data[key] = self._value(next(events), events, (*path, key))
            self.lines[(*path, key)] = line
        return data

    def _text(self, text: str, line: int, path: Path) -> str:
        """Text as it is; SpecError for control characters, which could make a terminal do something."""
        if found := _CONTROL.search(text):
            raise self._error(line, f"must not hold control characters (got {found[0]!a})", path)
        return text

    def _plain(self, text: str, line: int, path: Path) -> Any:
        if text in _WORDS:
            return _WORDS[text]
        if _NOT_FINITE.fullmatch(text):
            raise self._error(line, f"must be a finite number (got {text})", path)
        if not (_INTEGER.fullmatch(text) or _BASED.fullmatch(text) or _REAL.fullmatch(text)):
            return text
        if len(text) > _LONGEST_NUMBER:
            raise self._error(line, f"number of {len(text)} characters is too long", path)
        if _INTEGER.fullmatch(text):
            return int(text)
        if _BASED.fullmatch(text):
            return int(text, 0)
        number = float(text)
        if not math.isfinite(number):
            raise self._error(line, f"must be a finite number (got {text})", path)
        return number


def _line(event: yaml.Event) -> int:
    return event.start_mark.line + 1 if event.start_mark else 1
