"""Hugging Face `config.json` files of six kinds to the dimensions of one layer.

Key names are those of the transformers library's configuration classes.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec

from einsim.specs.document import Document
from einsim.specs.errors import MISSING
from einsim.specs.loader import load_json
from einsim.specs.near import near
from einsim.workloads.dimensions import Dimensions

_ACTIVATIONS = {
    "gelu": "gelu", "gelu_new": "gelu_tanh", "gelu_fast": "gelu_tanh", "gelu_pytorch_tanh": "gelu_tanh",
    "relu": "relu", "silu": "silu", "swish": "silu",
}  # fmt: skip
_GATED = {"silu": "swiglu", "gelu": "geglu", "gelu_tanh": "geglu"}
_LARGEST = 2**40
_KEYS = {
    "model_type", "hidden_size", "num_attention_heads", "num_key_value_heads", "intermediate_size",
    "hidden_act", "num_hidden_layers", "head_dim", "sliding_window", "use_sliding_window", "n_embd", "n_head",
    "n_inner", "n_layer", "activation_function", "d_model", "num_heads", "d_kv", "d_ff", "num_layers",
    "feed_forward_proj",
}  # fmt: skip
"""Keys that are read; a missing one is never a misspelling of another."""


class _Config(msgspec.Struct, frozen=True):
    """Strict reading of keys, every error with the file and the line."""

    document: Document

    def size(self, key: str, otherwise: int | None = None) -> int:
        value = self.document.value((key,))
        if (value is MISSING or value is None) and otherwise is not None:
            return otherwise
        self.required(key, value)
        if not isinstance(value, int) or isinstance(value, bool):
            raise self.document.error((key,), "must be a whole number", got=value)
        if not 1 <= value <= _LARGEST:
            raise self.document.error((key,), "must be 1 to 2**40", got=value)
        return value

    def required(self, key: str, value: object) -> None:
        if value is MISSING or value is None:
            hint = near(key, [other for other in self.document.data if other not in _KEYS])
            raise self.document.error((key,), "is missing", hint=hint if hint.startswith("did") else "")

    def text(self, key: str, otherwise: str) -> str:
        value = self.document.value((key,))
        if value is MISSING or value is None:
            return otherwise
        if not isinstance(value, str):
            raise self.document.error((key,), "must be text", got=value)
        return value

    def flag(self, key: str) -> bool:
        value = self.document.value((key,))
        if value is MISSING or value is None or isinstance(value, bool):
            return value is True
        raise self.document.error((key,), "must be true or false", got=value)

    def activation(self, key: str, otherwise: str) -> str:
        name = self.text(key, otherwise)
        if name not in _ACTIVATIONS:
            raise self.document.error((key,), f"unknown activation '{name}'", hint=near(name, _ACTIVATIONS))
        return _ACTIVATIONS[name]

    def head_dim(self, hidden: int, heads: int) -> int:
        given = self.document.value(("head_dim",))
        if given is not MISSING and given is not None:
            return self.size("head_dim")
        if hidden % heads:
            raise self.document.error(
                (), f"hidden size {hidden} is not a multiple of {heads} attention heads"
            )
        return hidden // heads

    def kv_heads(self, heads: int, required: bool) -> int:
        count = self.size("num_key_value_heads", None if required else heads)
        if heads % count:
            raise self.document.error(
                ("num_key_value_heads",), f"must divide the {heads} query heads", got=count
            )
        return count


def _bert(config: _Config) -> Dimensions:
    hidden, heads = config.size("hidden_size"), config.size("num_attention_heads")
    return Dimensions(
        hidden=hidden, heads=heads, head_dim=config.head_dim(hidden, heads),
        ffn=config.size("intermediate_size"),
        layers=config.size("num_hidden_layers"), activation=config.activation("hidden_act", "gelu"),
    )  # fmt: skip


def _gpt2(config: _Config) -> Dimensions:
    hidden, heads = config.size("n_embd"), config.size("n_head")
    return Dimensions(
        hidden=hidden, heads=heads, head_dim=config.head_dim(hidden, heads),
        ffn=config.size("n_inner", 4 * hidden),
        layers=config.size("n_layer"), activation=config.activation("activation_function", "gelu_new"),
        order="pre", causal=True,
    )  # fmt: skip


def _llama(config: _Config, grouped: bool = False, window: int = 0) -> Dimensions:
    hidden, heads = config.size("hidden_size"), config.size("num_attention_heads")
    act = config.activation("hidden_act", "silu")
    if act not in _GATED:
        raise config.document.error(("hidden_act",), "must be silu or a gelu, for the gated network", got=act)
    return Dimensions(
        hidden=hidden, heads=heads, head_dim=config.head_dim(hidden, heads),
        kv_heads=config.kv_heads(heads, grouped),
        ffn=config.size("intermediate_size"), layers=config.size("num_hidden_layers"), activation=_GATED[act],
        norm="rmsnorm", order="pre", rope=True, causal=True, window=window,
    )  # fmt: skip


def _mistral(config: _Config) -> Dimensions:
    given = config.document.value(("sliding_window",))
    window = 0 if given is None or given is MISSING else config.size("sliding_window")
    return _llama(config, grouped=True, window=window)


def _qwen2(config: _Config) -> Dimensions:
    window = config.size("sliding_window") if config.flag("use_sliding_window") else 0
    return _llama(config, grouped=True, window=window)


def _t5(config: _Config) -> Dimensions:
    name = config.text("feed_forward_proj", "relu")
    gated, _, act = name.rpartition("-")
    if gated not in ("", "gated") or act not in _ACTIVATIONS:
        raise config.document.error(
            ("feed_forward_proj",), "must be an activation or gated-ACTIVATION", got=name
        )
    kind = _ACTIVATIONS[act]
    if gated and kind not in _GATED:
        raise config.document.error(("feed_forward_proj",), "must gate by silu or a gelu", got=name)
    return Dimensions(
        hidden=config.size("d_model"), heads=config.size("num_heads"), head_dim=config.size("d_kv"),
        ffn=config.size("d_ff"), layers=config.size("num_layers"), activation=_GATED[kind] if gated else kind,
        norm="rmsnorm", order="pre", cross=True,
    )  # fmt: skip


KINDS: dict[str, Callable[[_Config], Dimensions]] = {
    "bert": _bert, "gpt2": _gpt2, "llama": _llama, "mistral": _mistral, "qwen2": _qwen2, "t5": _t5,
}  # fmt: skip


def read_config(path: Path) -> Dimensions:
    """Dimensions of a model's layer; SpecError with file, line and key for a kind or key that doesn't fit."""
    document = load_json(path)
    config = _Config(document)
    config.required("model_type", document.value(("model_type",)))
    kind = config.text("model_type", "")
    if kind not in KINDS:
        raise document.error(("model_type",), "unsupported kind", got=kind, hint=near(kind, KINDS))
    found = KINDS[kind](config)
    if found.rope and found.head_dim % 2:
        raise document.error((), f"rotary positions need an even head size, not {found.head_dim}")
    return msgspec.structs.replace(found, source=str(path))


def is_config(path: Path) -> bool:
    """Whether a file is to be read as a model's configuration rather than as a cascade."""
    return path.suffix.lower() == ".json"
