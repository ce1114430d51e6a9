"""Normalisations over one rank or several as statements: layer norm and RMS norm."""

from __future__ import annotations

EPSILON = 1e-5
"""Default of PyTorch's LayerNorm."""


def norm_text(
    kind: str, source: str, result: str, tag: str,
    lead: str = "b,p", over: str = "d", full: str = "", gain: bool = True,
) -> str:  # fmt: skip
    """Einsums that normalise `source` over the ranks `over` to `result`; `tag` ends the names between.

    `full` is the order of all its ranks (`lead`, then `over`); without `gain` nothing is learnt.
    """
    full = full or f"{lead},{over}"
    share = f"(1 / ({over.upper().replace(',', ' * ')}))" if "," in over else f"(1 / {over.upper()})"
    scale = f" * G{tag}[{over}]" if gain else ""
    if kind == "rmsnorm":  # Zhang & Sennrich, arXiv 1910.07467
        return (
            f"SXX{tag}[{lead}] = {source}[{full}] * {source}[{full}]\n"
            f"ISD{tag}[{lead}] = rsqrt(SXX{tag}[{lead}] * {share} + {EPSILON})\n"
            f"{result}[{full}] = {source}[{full}] * ISD{tag}[{lead}]{scale}\n"
        )
    shift = f" + B{tag}[{over}]" if gain else ""
    return (  # Ba et al., arXiv 1607.06450
        f"SX{tag}[{lead}] = sum[{over}]({source}[{full}])\n"
        f"MU{tag}[{lead}] = SX{tag}[{lead}] * {share}\n"
        f"C{tag}[{full}] = {source}[{full}] - MU{tag}[{lead}]\n"
        f"SCC{tag}[{lead}] = C{tag}[{full}] * C{tag}[{full}]\n"
        f"ISD{tag}[{lead}] = rsqrt(SCC{tag}[{lead}] * {share} + {EPSILON})\n"
        f"{result}[{full}] = C{tag}[{full}] * ISD{tag}[{lead}]{scale}{shift}\n"
    )
