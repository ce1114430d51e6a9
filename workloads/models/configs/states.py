"""State spaces and hybrids: mamba, mamba2, falcon_mamba, jamba, lfm2."""

from __future__ import annotations

from typing import Literal

from msgspec.structs import replace

from einsim.specs.errors import MISSING
from einsim.workloads.models.configs.decoder import attention, gated_mlp, language_model
from einsim.workloads.models.configs.reading import ModelConfig
from einsim.workloads.models.network import (
    Layer,
    Mixer,
    Mlp,
    Moe,
    Network,
    Selective,
    ShortConv,
    SoftmaxAttention,
    StateSpace,
)

_SILU = "must be silu, around which its state space is made"


def mamba(config: ModelConfig) -> Network:
    """Mamba: selective state spaces alone."""
    return _selective(config, "mamba", "", tied=True)


def falcon_mamba(config: ModelConfig) -> Network:
    """Falcon Mamba: Mamba with norms of dt, B and C that learn nothing."""
    return _selective(config, "falcon_mamba", "plain", tied=True)


def _selective(config: ModelConfig, kind: str, norms: Literal["", "gain", "plain"], tied: bool) -> Network:
    hidden = config.size("hidden_size")
    inner = config.size("intermediate_size", int(config.number("expand", 2) * hidden))
    rank = _rank(config, "time_step_rank", hidden)
    config.only("hidden_act", "silu", rule=_SILU)
    block = Selective(
        inner=inner, state=config.size("state_size", 16), taps=config.size("conv_kernel", 4),
        step_rank=rank, conv_bias=config.flag("use_conv_bias", True), bias=config.flag("use_bias"),
        norms=norms,
    )  # fmt: skip
    layer = Layer(mixer=block, mlp=None, norm="rmsnorm")
    return language_model(config, kind, [layer] * config.size("num_hidden_layers"), tied=tied)


def _rank(config: ModelConfig, key: str, hidden: int) -> int:
    """The width that dt goes through: a sixteenth of the hidden state, unless the file says otherwise."""
    return -(-hidden // 16) if config.value(key) in (MISSING, "auto") else config.size(key)


def mamba2(config: ModelConfig) -> Network:
    """Mamba 2: heads of a state space that share B and C in groups."""
    hidden, heads, size = config.size("hidden_size"), config.size("num_heads"), config.size("head_dim")
    inner = int(config.number("expand", 2) * hidden)
    if heads * size != inner:
        raise config.error("num_heads", f"times head_dim ({size}) must be the inner size {inner}")
    config.only("hidden_act", "silu", rule=_SILU)
    config.only("use_bias", False, rule="must be false: biases of its projections aren't known")
    block = StateSpace(
        heads=heads, head_dim=size, groups=config.size("n_groups", 8), state=config.size("state_size", 128),
        taps=config.size("conv_kernel", 4), conv_bias=config.flag("use_conv_bias", True),
    )  # fmt: skip
    if heads % block.groups:
        raise config.error("n_groups", f"must divide the {heads} heads")
    layer = Layer(mixer=block, mlp=None, norm="rmsnorm")
    return language_model(config, "mamba2", [layer] * config.size("num_hidden_layers"))


def jamba(config: ModelConfig) -> Network:
    """Jamba: one layer in eight attends, without positions; every other one has experts."""
    hidden, heads, layers = (
        config.size(key) for key in ("hidden_size", "num_attention_heads", "num_hidden_layers")
    )
    attends = SoftmaxAttention(
        heads=heads, kv_heads=config.kv_heads(heads), head_dim=config.head_dim(hidden, heads)
    )
    mixes = Selective(
        inner=int(config.number("mamba_expand", 2) * hidden), state=config.size("mamba_d_state", 16),
        taps=config.size("mamba_d_conv", 4), conv_bias=config.flag("mamba_conv_bias", True),
        step_rank=_rank(config, "mamba_dt_rank", hidden),
        bias=config.flag("mamba_proj_bias"), norms="gain",
    )  # fmt: skip
    dense = gated_mlp(config)
    experts, chosen = config.size("num_experts", 16), config.size("num_experts_per_tok", 2)
    moe = Moe(experts=experts, per_token=chosen, expert=dense) if experts > 1 else dense

    def turn(name: str, at: int, period: int, offset: int) -> bool:
        every = config.size(f"{name}_layer_period", period)
        first = config.size(f"{name}_layer_offset", offset, least=0)
        if first >= every:
            raise config.error(f"{name}_layer_offset", f"must be less than {every}, the layers of a period")
        return at % every == first

    return language_model(config, "jamba", [
        Layer(mixer=attends if turn("attn", at, 8, 4) else mixes,
              mlp=moe if turn("expert", at, 2, 1) else dense, norm="rmsnorm")
        for at in range(layers)
    ])  # fmt: skip


def lfm2(config: ModelConfig) -> Network:
    """LFM2: gated short convolutions, and grouped queries with norms in some layers."""
    layers = config.size("num_hidden_layers")
    types = config.layer_types(layers, ("conv", "full_attention"))
    if types is None:
        full = config.places("full_attn_idxs", layers)
        full = tuple(range(layers)) if full is None else full
        types = tuple("full_attention" if at in full else "conv" for at in range(layers))
    config.only("conv_bias", False, rule="must be false: biases of the convolution aren't known")
    mixers: dict[str, Mixer] = {
        "conv": ShortConv(taps=config.size("conv_L_cache", 3)),
        "full_attention": replace(attention(config), qk_norm="head"),
    }
    mlp = Mlp(inner=_lfm2_inner(config), activation="silu", gated=True)
    return language_model(
        config, "lfm2", [Layer(mixer=mixers[each], mlp=mlp, norm="rmsnorm") for each in types], tied=True
    )


def _lfm2_inner(config: ModelConfig) -> int:
    """The inner size: two thirds of what is given, times a factor, up to a multiple."""
    key = "block_ff_dim" if config.value("intermediate_size") is MISSING else "intermediate_size"
    inner = config.size(key, 12288)
    if not config.flag("block_auto_adjust_ff_dim", True):
        return inner
    inner = int(config.number("block_ffn_dim_multiplier", 1.0) * int(2 * inner / 3))
    multiple = config.size("block_multiple_of", 256)
    return multiple * -(-inner // multiple)
