"""Encoders of images: vit, deit, and the vision side of clip and siglip."""

from __future__ import annotations

from msgspec.structs import replace

from einsim.workloads.models.configs.encoders import POOLER
from einsim.workloads.models.configs.reading import ModelConfig
from einsim.workloads.models.network import (
    Embedding,
    Layer,
    Mlp,
    Network,
    NormKind,
    Patches,
    Projection,
    SoftmaxAttention,
)


def vit(config: ModelConfig) -> Network:
    """ViT: with its classes where `architectures` says so, else with its pooler."""
    hidden = config.size("hidden_size")
    end = _classes(config, 1)
    if not end:
        end = (Projection(name=POOLER, outputs=hidden, bias=True, activation="tanh", one_token=True),)
    return _network(config, "vit", special=1, act="gelu", projections=end)


def deit(config: ModelConfig) -> Network:
    """DeiT: a token for distillation too, and a head for it where it has a teacher."""
    teacher = any("WithTeacher" in name for name in _architectures(config))
    return _network(config, "deit", special=2, act="gelu", projections=_classes(config, 2 if teacher else 1))


def clip_vision_model(config: ModelConfig) -> Network:
    """CLIP's vision side: a norm before its layers too, and its projection where it is with it."""
    projected = any("WithProjection" in name for name in _architectures(config))
    return _clip(config, config.size("projection_dim", 512) if projected else 0)


def clip(config: ModelConfig) -> Network:
    """The vision side of a whole CLIP, with its projection."""
    vision = config.part("vision_config")
    return _clip(vision, config.size("projection_dim", vision.size("projection_dim", 512)))


def _clip(config: ModelConfig, outputs: int) -> Network:
    end = (Projection(name="projection", outputs=outputs, one_token=True),) if outputs else ()
    return _network(
        config, "clip_vision_model", special=1, act="quick_gelu", projections=end, first="layernorm",
        patch_bias=False,
    )  # fmt: skip


def siglip_vision_model(config: ModelConfig) -> Network:
    """SigLIP's vision side: no special token; a learnt query gathers the tokens at the end."""
    found = _network(config, "siglip_vision_model", special=0, act="gelu_pytorch_tanh", projections=())
    if not config.flag("vision_use_head", True):
        return found
    return replace(found, pool=found.layers[0])


def siglip(config: ModelConfig) -> Network:
    """The vision side of a whole SigLIP."""
    return siglip_vision_model(config.part("vision_config"))


def _architectures(config: ModelConfig) -> tuple[str, ...]:
    value = config.value("architectures")
    return tuple(str(each) for each in value) if isinstance(value, list) else ()


def _classes(config: ModelConfig, heads: int) -> tuple[Projection, ...]:
    """As many heads over the classes, where the file is that of a classifier."""
    if not any("Classification" in name for name in _architectures(config)):
        return ()
    labels = config.value("id2label")
    count = len(labels) if isinstance(labels, dict) else config.size("num_labels", 2)
    return tuple(
        Projection(
            name=f"classes {at + 1}" if heads > 1 else "classes", outputs=count, bias=True, one_token=True
        )
        for at in range(heads)
    )


def _network(
    config: ModelConfig, kind: str, *, special: int, act: str, projections: tuple[Projection, ...],
    first: NormKind | None = None, patch_bias: bool = True,
) -> Network:  # fmt: skip
    hidden, heads = config.size("hidden_size", 768), config.size("num_attention_heads", 12)
    image, patch = config.size("image_size", 224), config.size("patch_size", 32 if first else 16)
    if patch > image:
        raise config.error("patch_size", f"must be <= {image}, the image's size")
    patches = Patches(
        count=(image // patch) ** 2, values=config.size("num_channels", 3) * patch**2, special=special,
        bias=patch_bias,
    )  # fmt: skip
    block = SoftmaxAttention(
        heads=heads, kv_heads=heads, head_dim=config.head_dim(hidden, heads), causal=False,
        biases="qkvo" if config.flag("qkv_bias", True) else "o",
    )  # fmt: skip
    mlp = Mlp(
        inner=config.size("intermediate_size", 3072),
        activation=config.activation("hidden_act", act),
        bias=True,
    )
    return Network(
        name=kind, kind=kind, hidden=hidden, embedding=Embedding(patches=patches, norm=first),
        layers=(Layer(mixer=block, mlp=mlp, norm="layernorm"),) * config.size("num_hidden_layers", 12),
        norm="layernorm", projections=projections, quantization=config.quantization(),
    )  # fmt: skip
