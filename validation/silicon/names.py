"""What others call a network, a layer's shape or a model, and what einsim calls it."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path

import msgspec

from einsim.specs.loader import load_yaml

NAMED = re.compile(
    r"^(wide)?resnet(18|34|50|101|152)|^resnext|^vgg|^googlenet|^inception|^squeezenet|^mobilenet|^shufflenet"
    r"|^mnasnet|^regnet|^efficientnet|^convnext|^densenet|^vit|^swin|^bert|^albert|^distilbert|^gpt2|^yolov[58]"
    r"|^unet|^deeplab|^whisper|llama"
)
"""Networks that are held to be built here, by what others call them without signs: others may be missed."""


class KnownWork(msgspec.Struct, frozen=True, kw_only=True):
    """What was run, as einsim has it: a workload with its settings; `name` decides the row's side, `kind` is
    what kind of work it is where a file has several.
    """

    name: str
    work: str
    kind: str = ""
    settings: Mapping[str, str] = {}


Finder = Callable[[tuple[str, ...]], KnownWork | None]
"""From the cells that name what was run, to what it is; None for what isn't known."""


@cache
def _table() -> Mapping[str, Mapping[str, str]]:
    found: Mapping[str, Mapping[str, str]] = load_yaml(Path(__file__).with_name("names.yaml")).data
    return found


def networks(section: str) -> Mapping[str, str]:
    """`WORK key=value ...` by what a collection calls the network."""
    return _table()[section]


def network(section: str, strip: str = "") -> Finder:
    """Looks in a section of names.yaml for the first cell, or for all cells joined by "/", without what
    `strip` matches.
    """

    def find(cells: tuple[str, ...]) -> KnownWork | None:
        texts = (re.sub(strip, "", text) if strip else text for text in (cells[0], "/".join(cells)))
        known = next((networks(section)[text] for text in texts if text in networks(section)), None)
        if known is None:
            return None
        work, *pairs = known.split()
        return KnownWork(name=work, work=work, settings=dict(pair.split("=", 1) for pair in pairs))

    return find


def nothing(cells: tuple[str, ...]) -> KnownWork | None:
    """Of rows of which none is known."""
    return None


def product(cells: tuple[str, ...]) -> KnownWork | None:
    """Of (m, k, n): a product of matrices."""
    return shape(("gemm", "x".join(cells)))


def resnet_50(cells: tuple[str, ...]) -> KnownWork:
    """Where all rows of a file are of it."""
    return KnownWork(name="resnet-50", work="resnet-50")


def dpu_size(cells: tuple[str, ...]) -> KnownWork | None:
    """The resources of a Xilinx DPU of a size such as ("B512",), which are no work."""
    return KnownWork(name=f"dpu-{cells[0].lower()}", work="")


def is_named(text: str) -> bool:
    """Whether a network that isn't known is one of those that are held to be."""
    return NAMED.search(re.sub(r"[^a-z0-9]", "", text.lower())) is not None


# Ranks of a shape such as 8x64x128, by operation: the workload, the ranks in order, and what else it takes.
_SHAPES = {
    "gemm": ("gemm", "m k n", {}),
    "ffn_gated": ("ffn", "p d s", {"model": "llama3-8b", "b": "1"}),
    "ffn_erf": ("ffn", "p d s", {"model": "bert-base", "b": "1"}),
    "attn_enc": ("attention", "h p e", {"b": "1"}),
    "attn_dec": ("attention", "h kv_heads p m e", {"b": "1"}),
}  # fmt: skip


def shape(cells: tuple[str, ...]) -> KnownWork | None:
    """Of an operation and a shape such as ("gemm", "8x64x128")."""
    op, text = cells
    if op not in _SHAPES or not re.fullmatch(r"[1-9]\d*(x[1-9]\d*)*", text):
        return None
    work, ranks, others = _SHAPES[op]
    sizes = text.split("x")
    if len(sizes) != len(ranks.split()):
        return None
    settings = {**others, **dict(zip(ranks.split(), sizes, strict=True))}
    if work == "attention":
        settings |= {"f": settings["e"], "m": settings.get("m", settings["p"])}
    return KnownWork(name=f"{op} {text}", work=work, kind=work, settings=settings)


def fused_attention(cells: tuple[str, ...]) -> KnownWork | None:
    """Of ("prefill" or "decode", batch, heads, tokens, head dim): attention of all tokens or of a new one."""
    mode, *texts = cells
    if mode not in {"prefill", "decode"} or not all(text.isdecimal() and int(text) for text in texts):
        return None
    b, h, m, e = texts
    p = m if mode == "prefill" else "1"
    settings = {"b": b, "h": h, "m": m, "p": p, "e": e, "f": e}
    settings |= {"passes": "1", "m0": str(math.gcd(int(m), 512))}  # one kernel goes over the keys once
    return KnownWork(
        name=f"sdpa {mode} {'x'.join(texts)}", work="attention", kind="attention", settings=settings
    )


def layer(cells: tuple[str, ...]) -> KnownWork | None:
    """Of (batch, rows of the result, of the kernel, channels of a group, results, stride, groups): a
    convolution of one group, as many images as there are groups, if it has several.
    """
    if not all(text.isdecimal() and int(text) for text in cells):
        return None
    batch, rows, kernel, channels, results, stride, groups = map(int, cells)
    settings = {
        "b": batch * groups, "c": channels, "k": results // groups, "y": rows, "x": rows, "r": kernel,
        "q": kernel, "stride": stride,
    }  # fmt: skip
    name = "conv " + "x".join(cells[1:])
    return KnownWork(name=name, work="conv", settings={key: str(size) for key, size in settings.items()})
