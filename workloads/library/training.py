"""One training step of a linear layer: forward (FF), gradient of its input (BP) and of its weights (WU).

N:M training prunes the weights in both directions, as BDWP does (arXiv 2309.13015): Wff in groups along the
inputs, which FF sums, Wbp in groups along the outputs, which BP sums; WU stays dense. Weights are kept in 32
bits and the pruned copies are made each step: ahead of use, with the weight update of the step before, as
SAT's pre-generation does (the copies are then inputs here, and an update makes those of the next step), or
inline, as Einsums of this step. The updated weights are an output.
"""

from __future__ import annotations

import re

from einsim.workloads.cascade import Cascade
from einsim.workloads.library.workload import Workload
from einsim.workloads.notation import parse
from einsim.workloads.settings import Parameter, Settings

METHODS = ("bdwp", "forward", "backward")

PARAMETERS = (
    Parameter(name="n", kind="size", default=512, summary="tokens or samples of a step"),
    Parameter(name="i", kind="size", default=768, summary="inputs of the layer"),
    Parameter(name="o", kind="size", default=3072, summary="outputs of the layer"),
    Parameter(name="sparsity", kind="text", default="dense", summary="dense, or n:m such as 2:8"),
    Parameter(
        name="method", kind="choice", choices=METHODS, default="bdwp", summary="which directions are pruned"
    ),
    Parameter(
        name="prune",
        kind="choice",
        choices=("ahead", "inline"),
        default="ahead",
        summary="make the 16-bit copies of the weights ahead of the step, or in it",
    ),
    Parameter(name="update", kind="flag", default=False, summary="also the weight update W - rate * WU"),
    Parameter(name="bits", kind="size", default=16, summary="bits of activations and gradients"),
    Parameter(name="weight_bits", kind="size", default=32, summary="bits of the weights that are kept"),
)


def _build(settings: Settings) -> Cascade:
    pattern, method = settings.text("sparsity"), settings.text("method")
    forward, backward = method in ("bdwp", "forward"), method in ("bdwp", "backward")
    inline = settings.text("prune") == "inline"
    if pattern == "dense":
        forward = backward = False
    else:
        _check_pattern(settings)
    back = "Wbp" if forward or backward else "Wff"
    copies = {"Wff": (forward, "i"), back: (backward, "o") if back == "Wbp" else (forward, "i")}
    products = {"Wff": "FF[n,o] = X[n,i] * Wff[i,o]", "BP": f"BP[n,i] = DY[n,o] * {back}[i,o]"}
    lines = []
    for name, (pruned, rank) in copies.items():
        if inline:
            lines.append(_copy(name, "W", pruned, rank, pattern))
        if name in products:
            lines.append(products[name])
    lines += [products["BP"], "WU[i,o] = X[n,i] * DY[n,o]"]
    if settings.flag("update"):
        lines.append("WN[i,o] = W[i,o] - LR * WU[i,o]")
        lines.append("tensor LR[] bits 32")
        lines.append("output WN")
        if not inline:
            lines += [_copy("N" + name[1:], "WN", *copies[name], pattern) for name in copies]
    bits, kept = settings.size("bits"), settings.size("weight_bits")
    text = "\n".join(lines)
    for name in dict.fromkeys(re.findall(r"\b(X|Wff|Wbp|Nff|Nbp|FF|BP|DY|WU)\[", text)):
        text += f"\ntensor {name} bits {bits}"
        if not inline and copies.get(name, (False, ""))[0]:
            text += f" sparse {pattern} {copies[name][1]}"
    for name in dict.fromkeys(re.findall(r"\b(WN|W)\[", text)):
        text += f"\ntensor {name} bits {kept}"
    sizes = {name: settings.size(name) for name in ("n", "i", "o")}
    return parse(text, name="linear-training", sizes=sizes)


def _copy(name: str, source: str, pruned: bool, rank: str, pattern: str) -> str:
    """The Einsum that makes a copy of the weights, pruned along a rank or not."""
    weights = f"{source}[i,o]"
    return f"{name}[i,o] = " + (f"prune[{pattern},{rank}]({weights})" if pruned else weights)


def _check_pattern(settings: Settings) -> None:
    found = re.fullmatch(r"(\d+):(\d+)", settings.text("sparsity"))
    if not found or not 1 <= int(found[1]) <= int(found[2]) <= 1024:
        raise settings.error("sparsity", "must be dense, or n:m with 1 <= n <= m, such as 2:8")


WORKLOADS = (
    Workload(
        name="linear-training", summary="training step of a linear layer, dense or N:M (BDWP)",
        parameters=PARAMETERS, build=_build,
    ),
)  # fmt: skip
