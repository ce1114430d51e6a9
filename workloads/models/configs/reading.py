"""Strict reading of a model's `config.json`: every fault with the file, its line and the key.

Key names and defaults are those of the transformers library's configuration classes. A key that changes cost
in some kind and is set where its kind's reader doesn't take it is refused, never passed over.
"""

from __future__ import annotations

import difflib
import math

import msgspec

from einsim.specs.document import Document
from einsim.specs.errors import MISSING, SpecError
from einsim.specs.near import near
from einsim.workloads.models.network import Quantization

ACTIVATIONS = {
    "gelu": "gelu", "gelu_python": "gelu", "gelu_new": "gelu_tanh", "gelu_fast": "gelu_tanh",
    "gelu_pytorch_tanh": "gelu_tanh", "quick_gelu": "gelu_quick", "relu": "relu", "silu": "silu",
    "swish": "silu",
}  # fmt: skip
ROTATIONS = ("default", "linear", "dynamic", "yarn", "longrope", "su", "llama3", "mrope")
"""Scalings of rotary positions; "su" is longrope as Phi-3 first called it."""
_LARGEST = 2**40
_MOST_LAYERS = 4096
"""Each is a value of its own: some thirty times the deepest published ones."""
_LAYERS = frozenset({
    "num_hidden_layers", "num_layers", "num_decoder_layers", "n_layer", "n_layers", "encoder_layers",
    "decoder_layers",
})  # fmt: skip

COSTLY = frozenset({
    "_remove_final_layer_norm", "layer_norm_elementwise_affine", "qkv_bias",
    "add_cross_attention", "alibi", "attention_bias", "attention_chunk_size", "attn_layer_period",
    "attn_logit_softcapping", "bias", "conv_L_cache", "conv_bias", "cross_attention_hidden_size",
    "embedding_size", "expert_layer_period", "final_logit_softcapping", "first_k_dense_replace",
    "full_attn_idxs", "head_dim", "is_decoder", "kv_lora_rank", "layer_types", "mamba_d_state",
    "max_window_layers", "mlp_bias", "mlp_only_layers", "moe_intermediate_size", "moe_layer_freq",
    "multi_query", "n_routed_experts", "n_shared_experts", "new_decoder_architecture", "num_experts",
    "num_key_value_heads", "num_kv_heads", "num_local_experts", "parallel_attn",
    "position_embedding_type", "pruned_heads", "q_lora_rank", "qk_layernorm",
    "relative_attention_num_buckets", "shared_expert_intermediate_size", "sliding_window",
    "sliding_window_pattern", "use_bias", "use_conv_bias", "use_parallel_residual", "use_qk_norm",
    "use_sliding_window", "v_head_dim", "word_embed_proj_dim",
})  # fmt: skip
"""Keys that change what some kind costs."""
_NEUTRAL: tuple[object, ...] = (MISSING, None, False, 0, "", [], {})


class ModelConfig(msgspec.Struct, frozen=True):
    """A configuration, or the part of one at `path`; `taken` gathers the paths that were asked for."""

    document: Document
    path: tuple[str, ...] = ()
    taken: set[tuple[str, ...]] = msgspec.field(default_factory=set)

    def value(self, key: str) -> object:
        """What the file has at a key, MISSING where it is left out or null."""
        self.taken.add((*self.path, key))
        value = self.document.value((*self.path, key))
        return MISSING if value is None else value

    def asked(self, key: str) -> bool:
        """Whether a reader has taken this key."""
        return (*self.path, key) in self.taken

    def error(self, key: str, rule: str, *, hint: str = "") -> SpecError:
        """A fault at a key, with what the file has there."""
        return self.document.error((*self.path, key), rule, got=self.value(key), hint=hint)

    def names(self) -> list[str]:
        """The keys of this part."""
        part = self.document.value(self.path) if self.path else self.document.data
        return [str(key) for key in part] if isinstance(part, dict) else []

    def part(self, key: str) -> ModelConfig:
        """The configuration within another."""
        if not isinstance(self.value(key), dict):
            self.required(key)
            raise self.error(key, "must be a table of keys")
        return ModelConfig(self.document, (*self.path, key), self.taken)

    def required(self, key: str) -> object:
        """The value at a key; a fault where there is none, with the key that it may be misspelt as."""
        value = self.value(key)
        if value is MISSING:
            others = [other for other in self.names() if (*self.path, other) not in self.taken]
            slip = difflib.get_close_matches(key, others, n=1, cutoff=0.8)
            hint = f"did you mean '{slip[0]}'?" if slip else ""
            raise self.document.error((*self.path, key), "is missing", hint=hint)
        return value

    def size(self, key: str, otherwise: int | None = None, least: int = 1) -> int:
        """A whole number from `least` to 2**40, of layers to 4096."""
        if self.value(key) is MISSING and otherwise is not None:
            return otherwise
        value = self.required(key)
        if not isinstance(value, int) or isinstance(value, bool):
            raise self.error(key, "must be a whole number")
        if key in _LAYERS and value > _MOST_LAYERS:
            raise self.error(key, f"must be {least} to {_MOST_LAYERS}")
        if not least <= value <= _LARGEST:
            raise self.error(key, f"must be {least} to 2**40")
        return value

    def number(self, key: str, otherwise: float = 0.0) -> float:
        """A number, `otherwise` where there is none."""
        value = self.value(key)
        if value is MISSING:
            return otherwise
        if not isinstance(value, int | float) or isinstance(value, bool):
            raise self.error(key, "must be a number")
        return float(value)

    def flag(self, key: str, otherwise: bool = False) -> bool:
        """True or false."""
        value = self.value(key)
        if value is MISSING:
            return otherwise
        if not isinstance(value, bool):
            raise self.error(key, "must be true or false")
        return value

    def text(self, key: str, otherwise: str = "") -> str:
        """Text, `otherwise` where there is none."""
        value = self.value(key)
        if value is MISSING:
            return otherwise
        if not isinstance(value, str):
            raise self.error(key, "must be text")
        return value

    def whole_numbers(self, key: str) -> tuple[int, ...] | None:
        """A list of places, None where there is none."""
        value = self.value(key)
        if value is MISSING:
            return None
        if not isinstance(value, list) or not all(type(each) is int for each in value):
            raise self.error(key, "must be a list of whole numbers")
        return tuple(value)

    def places(self, key: str, layers: int) -> tuple[int, ...] | None:
        """A list of layers, each from 0 and once; None where there is none."""
        found = self.whole_numbers(key)
        if found is None:
            return None
        if not all(0 <= each < layers for each in found):
            raise self.error(key, f"must list layers from 0 to {layers - 1}")
        if len(set(found)) < len(found):
            raise self.error(key, "must list each layer once")
        return found

    def only(self, key: str, *allowed: object, rule: str) -> None:
        """Refuse what a reader has no form for."""
        value = self.value(key)
        if value is not MISSING and value not in allowed:
            raise self.error(key, rule)

    def activation(self, key: str, otherwise: str) -> str:
        """An activation in the notation's name."""
        name = self.text(key, otherwise)
        if name not in ACTIVATIONS:
            raise self.document.error(
                (*self.path, key), f"unknown activation '{name}'", hint=near(name, ACTIVATIONS)
            )
        return ACTIVATIONS[name]

    def head_dim(self, hidden: int, heads: int, otherwise: int | None = None) -> int:
        """Elements of a head: as given, else `otherwise`, else a hidden size's share for each head."""
        if self.value("head_dim") is not MISSING:
            return self.size("head_dim")
        if otherwise:
            return otherwise
        if hidden % heads:
            rule = f"hidden size {hidden} is not a multiple of {heads} attention heads"
            raise self.document.error(self.path, rule)
        return hidden // heads

    def kv_heads(self, heads: int, otherwise: int | None = None, key: str = "num_key_value_heads") -> int:
        """Key and value heads: as many as query heads unless the file or `otherwise` says less."""
        count = self.size(key, otherwise or heads)
        if heads % count:
            raise self.document.error((*self.path, key), f"must divide the {heads} query heads", got=count)
        return count

    def layer_types(self, layers: int, known: tuple[str, ...]) -> tuple[str, ...] | None:
        """The kind of each layer where the file lists them."""
        value = self.value("layer_types")
        if value is MISSING:
            return None
        if not isinstance(value, list) or len(value) != layers:
            raise self.error("layer_types", f"must list {layers} layers")
        for each in value:
            if each not in known:
                raise self.error("layer_types", f"unknown kind of layer '{each}'", hint=near(each, known))
        return tuple(value)

    def quantization(self) -> Quantization | None:
        """How weights are stored, from `quantization_config`; None where they are as they were trained.

        Only bitsandbytes takes every linear layer, routers too: of the other ways' published files none does.
        """
        if self.value("quantization_config") is MISSING:
            return None
        part = self.part("quantization_config")
        method = part.text("quant_method")
        match method:
            case "gptq" | "awq" | "hqq":
                bits = part.size(
                    "bits", 4
                )  # a zero point in as many is kept also where it is always the same
                return Quantization(bits=bits, group=part.group("group_size"), zero_bits=bits)
            case "compressed-tensors":
                groups = part.part("config_groups")
                kept = groups.part(groups.names()[0] if groups.names() else "group_0").part("weights")
                return Quantization(bits=kept.size("num_bits"), group=kept.group("group_size"))
            case "bitsandbytes" if part.flag("load_in_4bit") or part.flag("_load_in_4bit"):
                return Quantization(bits=4, group=64, scale_bits=32, routers=True)
            case "bitsandbytes" if part.flag("load_in_8bit") or part.flag("_load_in_8bit"):
                return Quantization(bits=8, routers=True)
            case "fp8" | "fbgemm_fp8":
                block = part.whole_numbers("weight_block_size") or ()
                return Quantization(bits=8, group=math.prod(block) if block else 0, scale_bits=32)
            case "mxfp4":  # OCP Microscaling Formats 1.0: 32 values of 4 bits share a scale of 8
                return Quantization(bits=4, group=32, scale_bits=8, experts_only=True)
        known = ("gptq", "awq", "hqq", "compressed-tensors", "bitsandbytes", "fp8", "fbgemm_fp8", "mxfp4")
        raise part.error("quant_method", "unknown way of quantization", hint=near(method, known))

    def group(self, key: str) -> int:
        """Values that share a scale; 0 where all of a row do, which is written -1 or left out."""
        return 0 if self.value(key) in (MISSING, -1) else self.size(key)

    def rotation(self) -> None:
        """Refuse a scaling of rotary positions that nobody knows. Those that are known change values only."""
        for key in ("rope_scaling", "rope_parameters"):
            if self.value(key) is MISSING:
                continue
            part = self.part(key)
            nested = [name for name in part.names() if isinstance(part.value(name), dict)]  # by kind of layer
            for each in (part, *map(part.part, nested)):
                for name in ("rope_type", "type"):
                    kind = each.text(name, ROTATIONS[0])
                    if kind not in ROTATIONS:
                        rule = f"unknown kind of scaling '{kind}'"
                        raise self.document.error((*each.path, name), rule, hint=near(kind, ROTATIONS))

    def finish(self, kind: str) -> None:
        """Refuse keys that would change the cost and that nobody asked for, in every part that was read."""
        for path in sorted({path[:-1] for path in self.taken}):
            part = ModelConfig(self.document, path, set())
            part.rotation()
            for key in part.names():
                value, at = self.document.value((*path, key)), (*path, key)
                if key in COSTLY and at not in self.taken and value not in _NEUTRAL:
                    raise part.error(key, f"has no meaning for a model of kind '{kind}'")
