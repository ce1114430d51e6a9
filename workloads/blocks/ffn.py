"""The position-wise feed-forward network as statements: two products around an activation, or three."""

from __future__ import annotations

ACTIVATIONS = ("gelu", "gelu_tanh", "relu", "silu", "swiglu", "geglu")

_GATED = {
    "swiglu": "silu({gate}) * {up}",
    "geglu": "gelu_tanh({gate}) * {up}",
    # What the published code of gpt-oss does: both clipped at 7, and 1 added to the one that is gated.
    "clipped": "gelu_quick(min({gate}, 7)) * (1 + min(max({up}, -7), 7))",
}


def ffn_text(
    activation: str, source: str, inner: str, result: str, *,
    gated: bool = False, bias: bool = False, lead: str = "b,p", of: str = "",
) -> str:  # fmt: skip
    """Einsums from tensor `source`, over tokens `lead` and rank `inner`, to FF2 over rank `result`.

    The gated forms are those of Shazeer, arXiv 2002.05202; swiglu and geglu are gated anyway. `of` is a rank
    of the weights too, such as "x," for experts x.
    """
    gated = gated or activation in _GATED
    text = (
        _product("GATE", f"{source}[{lead},{inner}]", "WG", f"{of}{inner}", f"{lead},s", f"{of}s", bias)
        if gated
        else ""
    )
    text += _product("FF1", f"{source}[{lead},{inner}]", "W1", f"{of}{inner}", f"{lead},s", f"{of}s", bias)
    if gated:
        formula = _GATED.get(activation, f"{activation}({{gate}}) * {{up}}")
        text += f"ACT[{lead},s] = {formula.format(gate=f'GATE[{lead},s]', up=f'FF1[{lead},s]')}\n"
    else:
        text += f"ACT[{lead},s] = {activation}(FF1[{lead},s])\n"
    ends = f"{lead},{result}", f"{of}{result}"
    return text + _product("FF2", f"ACT[{lead},s]", "W2", f"{of}s", *ends, bias)


def _product(result: str, left: str, weight: str, inner: str, full: str, bias_ranks: str, bias: bool) -> str:
    """A matrix product, and its bias BW1, BWG or BW2 added where there is one."""
    last = full.rpartition(",")[2]
    first = result + "P" if bias else result
    text = f"{first}[{full}] = {left} * {weight}[{inner},{last}]\n"
    return text + (f"{result}[{full}] = {first}[{full}] + B{weight}[{bias_ranks}]\n" if bias else "")
