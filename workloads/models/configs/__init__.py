"""Networks from `config.json` files: `read_network`, and the kinds that it knows."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from pathlib import Path

from msgspec.structs import replace

from einsim.specs.loader import load_json
from einsim.workloads.models.configs import encoders, gemma, gpt, llama, mixtures, pairs, states, vision
from einsim.workloads.models.configs.reading import ModelConfig
from einsim.workloads.models.network import Network

KINDS: dict[str, Callable[[ModelConfig], Network]] = {
    reader.__name__: reader
    for reader in (
        llama.llama, llama.mistral, llama.qwen2, llama.qwen3, llama.olmo2, llama.phi3,
        gemma.gemma2, gemma.gemma3, gemma.gemma3_text,
        mixtures.mixtral, mixtures.qwen2_moe, mixtures.qwen3_moe, mixtures.gpt_oss, mixtures.llama4,
        mixtures.llama4_text, mixtures.deepseek_v2, mixtures.deepseek_v3,
        gpt.gpt2, gpt.gpt_neox, gpt.opt, gpt.falcon, gpt.bloom, gpt.phi,
        encoders.bert, encoders.roberta, encoders.distilbert, encoders.electra,
        vision.vit, vision.deit, vision.clip, vision.clip_vision_model, vision.siglip,
        vision.siglip_vision_model,
        pairs.t5, pairs.whisper,
        states.mamba, states.mamba2, states.falcon_mamba, states.jamba, states.lfm2,
    )
}  # fmt: skip
"""Readers by `model_type`."""


def read_network(path: Path) -> Network:
    """The network of a `config.json`, named as its folder; SpecError with file, line and key for a fault."""
    document = load_json(path)
    config = ModelConfig(document)
    kind = config.required("model_type")
    if not isinstance(kind, str):
        raise config.error("model_type", "must be text")
    if kind not in KINDS:
        raise config.error("model_type", "unknown kind of model", hint=_nearest(kind))
    found = KINDS[kind](config)
    config.finish(kind)
    return replace(
        found, name=path.stem if path.stem != "config" else path.parent.name or kind, source=str(path)
    )


def _nearest(kind: str) -> str:
    """Kinds that really are near: written alike, or of the same family."""
    family = kind.lower().split("_")[0].rstrip("0123456789.-")
    same = [each for each in KINDS if len(family) > 1 and each.rstrip("0123456789").startswith(family)]
    alike = difflib.get_close_matches(kind.lower()[:100], KINDS, n=3, cutoff=0.75)
    begun = [
        each for each in KINDS  # phi3small, t5gemma; not optimus
        if kind.lower().startswith(each) and not (each[-1] + kind[len(each) : len(each) + 1]).isalpha()
    ]  # fmt: skip
    close = list(dict.fromkeys([*begun, *alike, *same]))[:4]
    if close:
        return "near it: " + ", ".join(close)
    return "none of the known kinds is near: " + ", ".join(KINDS)
