"""A gated short convolution as statements."""

from __future__ import annotations


def gated_text(source: str, token: str, result: str, decode: bool = False) -> str:
    """The short convolution block of LFM2 (Liquid AI, its published modelling code and config): two gates
    around a causal depthwise convolution of a few taps r, between projections.

    Taps before the first token are absent; in a decode step XS[b,r,i] holds what the earlier taps meet, the
    latest first.
    """
    t = token
    text = (
        f"BG[b,{t},i] = {source}[b,{t},d] * WB[d,i]\n"
        f"CG[b,{t},i] = {source}[b,{t},d] * WC[d,i]\n"
        f"XG[b,{t},i] = {source}[b,{t},d] * WX[d,i]\n"
        f"BX[b,{t},i] = BG[b,{t},i] * XG[b,{t},i]\n"
    )
    if decode:
        text += f"CP[b,i] = XS[b,r,i] * WK[i,r+1]\nCV[b,{t},i] = CP[b,i] + BX[b,{t},i] * WK[i,0]\n"
    else:
        text += f"where r <= {t}\nCV[b,{t},i] = BX[b,{t}-r,i] * WK[i,r]\n"
    return text + (
        f"GO[b,{t},i] = CG[b,{t},i] * CV[b,{t},i]\n"
        f"{result} = GO[b,{t},i] * WO[i,{result.rstrip(']').rpartition(',')[2]}]\n"
    )
