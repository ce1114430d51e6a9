"""The reference of every key of the YAML files, as Markdown made from their JSON Schema."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Final

from einsim.schema import SCHEMAS, machine_forms
from einsim.specs.json_schema import Schema, definition_name
from einsim.specs.units import Bytes, BytesPerSecond, Hertz, Picojoules, Quantity, Seconds, Watts

QUANTITIES: Final = (Bytes, BytesPerSecond, Hertz, Seconds, Picojoules, Watts)
TITLES: Final = {"generic": "A machine written out", "gpu": "A GPU"}
INDEX: Final = """\
# Keys of the YAML files

Every key that einsim reads, made from the types that read it. Whatever is not listed is refused, with the
nearest key that is. [An editor](../machines.md#in-an-editor) can show the same while you write.

## Quantities

A quantity is a number in its base unit, or text with a unit. Binary prefixes (`Ki Mi Gi`) are powers of 1024,
decimal ones (`K M G`) powers of 1000. Sizes of ranks and tiles are counts: there `K M G` are 1024, 1024² and
1024³.

| base unit | example | range | units |
| --- | --- | --- | --- |"""
ITEMS: Final = ("LoopItem", "KeepItem", "ComputeItem", "PipelineItem", "SequenceItem")


def key_pages() -> dict[str, str]:
    """Markdown by the page's address below the site."""
    machines, cascade, mapping = (SCHEMAS[kind]() for kind in ("machine", "cascade", "mapping"))
    pages = {"keys/index.md": index()}
    for family, form in machine_forms().items():
        address = "machine" if family == "generic" else family
        title = TITLES.get(family, f"Family {family}")
        pages[f"keys/{address}.md"] = page(title, machines["definitions"], [definition_name(form)])
    pages["keys/cascade.md"] = page("A cascade", cascade["definitions"], ["file.CascadeFile"])
    roots = ["mapping_file.RootFile", *(f"mapping_file.{item}" for item in ITEMS)]
    pages["keys/mapping.md"] = page("A mapping", mapping["definitions"], roots)
    return pages


def index() -> str:
    """What the pages are, and the quantities that all share."""
    rows = [
        f"| {kind.NOUN} | `{kind.EXAMPLE}` | {_limit(kind.LOW)} to {_limit(kind.HIGH)} | {_suffixes(kind)} |"
        for kind in QUANTITIES
    ]
    return "\n".join([INDEX, *rows, ""])


def _limit(number: float) -> str:
    """2^50 rather than its digits."""
    bits = int(number).bit_length() - 1
    return (
        f"2^{bits}" if bits > 20 and number == 2**bits else f"{number:,g}" if number < 1e6 else f"{number:g}"
    )


def _suffixes(kind: type[Quantity]) -> str:
    return " ".join(f"`{text}`" for text in sorted(kind.SUFFIXES, key=lambda text: kind.SUFFIXES[text]))


def page(title: str, known: dict[str, Schema], roots: list[str]) -> str:
    """One file's keys: a table for each mapping in it, in the order in which they are met."""
    places = dict(_walk(known, roots))
    lines = [f"# {title}", ""]
    for number, (name, where) in enumerate(places.items()):
        if number:
            lines += [f"## {where} {{ #{_anchor(name)} }}", ""]
        about = _prose(known[name]["description"])
        lines += ([about, ""] if about != f"{where}." else []) + [*_table(known[name], places), ""]
    return "\n".join(lines)


def _walk(known: dict[str, Schema], roots: list[str]) -> Iterator[tuple[str, str]]:
    """(struct, path of where it first stands) of all that these hold, each once, outer ones first."""
    seen: dict[str, str] = {}
    waiting = [(name, "") for name in roots]
    while waiting:
        name, path = waiting.pop(0)
        if name in seen:
            continue
        seen[name] = path
        yield (
            name,
            path or f"`{known[name]['description'].split('`')[1]}`"
            if "`" in known[name]["description"]
            else path,
        )
        for key, own in known[name]["properties"].items():
            inner = path.strip("`") + ("." if path else "") + key
            waiting += [(found, f"`{inner}{more}`") for found, more in _structs(own, known)]


def _structs(own: Schema, known: dict[str, Schema]) -> Iterator[tuple[str, str]]:
    """The structs that a value may be or hold, with what stands between."""
    if "$ref" in own:
        name = own["$ref"].rpartition("/")[2]
        if "properties" in known[name]:
            yield name, ""
    for option in (*own.get("anyOf", ()), *own.get("allOf", ())):
        yield from _structs(option, known)
    if isinstance(own.get("additionalProperties"), dict):
        yield from ((name, f".NAME{more}") for name, more in _structs(own["additionalProperties"], known))
    if own.get("items"):
        yield from ((name, f"[]{more}") for name, more in _structs(own["items"], known))


def _table(struct: Schema, places: dict[str, str]) -> list[str]:
    rows = ["| key | takes | default | meaning |", "| --- | --- | --- | --- |"]
    for key, own in struct["properties"].items():
        default = "*required*" if key in struct["required"] else _default(own)
        rows.append(f"| `{key}` | {takes(own, places)} | {default} | {_prose(own.get('description', ''))} |")
    return rows


def _default(own: Schema) -> str:
    value = own.get("default")
    if isinstance(value, float):
        return f"`{value:g}`"
    return "" if value in (None, [], {}) else f"`{value if isinstance(value, str) else json.dumps(value)}`"


def takes(own: Schema, places: dict[str, str]) -> str:
    """What may stand there, in words."""
    if "$ref" in own:
        return _named(own["$ref"].rpartition("/")[2], places)
    if "enum" in own:
        return ", ".join(f"`{value}`" for value in own["enum"] if value != "")
    options = [
        option for option in (*own.get("anyOf", ()), *own.get("allOf", ())) if option != {"type": "null"}
    ]
    if options:
        return " or ".join(dict.fromkeys(takes(option, places) for option in options))
    match own.get("type"):
        case "object":
            return f"by name: {takes(own['additionalProperties'], places)}"
        case "array":
            return f"list of {takes(own['items'], places)}"
        case "integer":
            return f"whole number{_range(own)}"
        case "number":
            return f"number{_range(own)}"
        case "boolean":
            return "`true`, `false`"
        case "string":
            return f"text such as `{own['examples'][0]}`" if "examples" in own else "text"
    return "anything"


def _named(name: str, places: dict[str, str]) -> str:
    if name == "body":
        return "an item, or a list of items that ends in `compute`, `pipeline` or `sequence`"
    if name in places:
        return f"[keys](#{_anchor(name)})"
    quantity = next(kind for kind in QUANTITIES if definition_name(kind) == name)
    return f"[{quantity.NOUN}](index.md#quantities), `{quantity.EXAMPLE}`"


def _range(own: Schema) -> str:
    limits = {
        "minimum": " from ",
        "exclusiveMinimum": " above ",
        "maximum": " to ",
        "multipleOf": ", a multiple of ",
    }
    return "".join(f"{text}{_limit(own[word])}" for word, text in limits.items() if word in own)


def _anchor(name: str) -> str:
    return name.replace(".", "-").replace("_", "-").lower()


def _prose(text: Any) -> str:
    return str(text).replace("|", "\\|")
