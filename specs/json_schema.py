"""JSON Schema of what the strict loader takes, so that an editor completes keys and marks what is wrong.

It is made of `msgspec.inspect`, as `msgspec.json.schema` is; that one knows neither quantities with units and
their defaults nor the texts below fields.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import msgspec
from msgspec import inspect

from einsim.specs.described import descriptions
from einsim.specs.units import Quantity

Schema = dict[str, Any]

DIALECT: Final = "http://json-schema.org/draft-07/schema#"
"""The newest dialect that every YAML editor knows."""


def definitions(structs: Iterable[type]) -> dict[str, Schema]:
    """The schemas of these structs and of all that they hold, by the names that `reference` refers to."""
    found: dict[str, Schema] = {}
    for struct in structs:
        _define(inspect.type_info(struct), found)
    return found


def reference(kind: type) -> Schema:
    """`{"$ref": ...}` to the definition of a struct or of a quantity."""
    return {"$ref": f"#/definitions/{definition_name(kind)}"}


def definition_name(kind: type) -> str:
    """`npu.Dram`: several files have a Dram."""
    return f"{kind.__module__.rpartition('.')[2]}.{kind.__name__}"


def _define(kind: inspect.Type, found: dict[str, Schema]) -> Schema:
    """The schema of a type; structs and quantities go to `found` and are referred to."""
    match kind:
        case inspect.Metadata():
            extra = kind.extra_json_schema or {}
            return extra if "$ref" in extra else {**_define(kind.type, found), **extra}
        case inspect.StructType():
            name = definition_name(kind.cls)
            if name not in found:
                found[name] = {}  # a struct may hold itself
                found[name] = _object(kind, found)
            return reference(kind.cls)
        case inspect.CustomType() if issubclass(kind.cls, Quantity):
            found[definition_name(kind.cls)] = _quantity(kind.cls)
            return reference(kind.cls)
        case inspect.DictType():
            inner = {"additionalProperties": _define(kind.value_type, found)}
            names = _define(kind.key_type, found)
            names.pop("type")  # every key of YAML is text here
            return {
                "type": "object",
                **inner,
                **({"propertyNames": names} if names else {}),
                **_sizes(kind, "Properties"),
            }
        case inspect.ListType() | inspect.VarTupleType():
            return {"type": "array", "items": _define(kind.item_type, found), **_sizes(kind, "Items")}
        case inspect.UnionType():
            return {"anyOf": [_define(inner, found) for inner in kind.types]}
        case inspect.LiteralType():
            return {"enum": list(kind.values)}
        case inspect.IntType() | inspect.FloatType():
            limits = {
                "ge": "minimum",
                "gt": "exclusiveMinimum",
                "le": "maximum",
                "lt": "exclusiveMaximum",
                "multiple_of": "multipleOf",
            }
            word = "integer" if isinstance(kind, inspect.IntType) else "number"
            return {"type": word, **_given(kind, limits)}
        case inspect.StrType():
            return {"type": "string", **_given(kind, {"pattern": "pattern"}), **_sizes(kind, "Length")}
        case inspect.BoolType():
            return {"type": "boolean"}
        case inspect.NoneType():
            return {"type": "null"}
        case inspect.AnyType():
            return {}
    raise TypeError(f"no JSON Schema is known for {kind}")


def _object(kind: inspect.StructType, found: dict[str, Schema]) -> Schema:
    texts = descriptions(kind.cls)
    properties: dict[str, Schema] = {}
    for field in kind.fields:
        own = _define(field.type, found)
        if "$ref" in own:  # what stands beside a $ref is not read
            own = {"allOf": [own]}
        if field.name in texts:
            own["description"] = texts[field.name]
        if field.default not in (
            msgspec.NODEFAULT,
            None,
            "",
        ):  # the last two stand for a key that is left out
            own["default"] = _plain(field.default)
        properties[field.encode_name] = own
    return {
        "type": "object",
        "description": " ".join((kind.cls.__doc__ or "").split()),
        "properties": properties,
        "required": [field.encode_name for field in kind.fields if field.required],
        "additionalProperties": not kind.forbid_unknown_fields,
    }


def _plain(value: object) -> object:
    """A default as YAML would hold it."""
    if isinstance(value, Quantity):
        return value + 0  # type: ignore[operator]
    return list(value) if isinstance(value, tuple) else value


def _quantity(kind: type[Quantity]) -> Schema:
    units = "|".join(sorted(kind.SUFFIXES, key=lambda text: (-len(text), text)))
    number = {"type": "integer" if kind.WHOLE else "number", "minimum": kind.LOW, "maximum": kind.HIGH}
    text = {
        "type": "string",
        "pattern": rf"^\s*\+?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]{{1,3}})?\s*({units})?\s*$",
    }
    return {"description": kind.__doc__, "anyOf": [number, text], "examples": [kind.EXAMPLE]}


def _given(kind: object, words: dict[str, str]) -> Schema:
    return {word: getattr(kind, name) for name, word in words.items() if getattr(kind, name) is not None}


def _sizes(kind: object, noun: str) -> Schema:
    return _given(kind, {"min_length": f"min{noun}", "max_length": f"max{noun}"})
