"""Workloads: the library's with small settings, and cascades in the notation, as files."""

from __future__ import annotations

import re
from typing import Any, Final

from tests.dataflow.cases import CASCADES
from tests.fuzz.draw import Draw
from tests.workloads.walking import random_text

LIBRARY: Final = {
    "softmax": "pd", "layernorm": "pd", "rmsnorm": "pd", "attention": "bhefmp", "attention-3pass": "bhefmp",
    "attention-2pass": "bhefmp", "attention-1pass": "bhefmp", "attention-decode": "bhefm", "ffn": "bpds",
    "linear-training": "nio", "conv": "bckyx", "depthwise-separable": "bckyx", "gated-short-convolution": "bdi",
}  # fmt: skip
"""Some of the library's names, with their sizes."""
KINDS: Final = ("exp", "sqrt", "tanh", "sigmoid", "abs", "relu", "square", "silu", "gelu", "rsqrt", "log")


def chain(draw: Draw) -> str:
    """One to seven Einsums, mostly few, each of what stands before: products, sums, maxima, elementwise ones."""
    tensors: dict[str, str] = {"A": "mk", "B": "kn"}
    lines: list[str] = []
    for number in range(min(draw.randint(1, 7), draw.randint(1, 7))):
        left = draw.choice(list(tensors))
        ranks, name = tensors[left], f"T{number}"
        kind = draw.choice(("product", "sum", "element", "pair", "element"))
        if kind == "product" and ranks:
            summed, fresh = draw.choice(ranks), draw.choice("xyz")
            made = "".join(rank for rank in ranks if rank != summed) + fresh * (fresh not in ranks)
            lines.append(
                f"{index(name, made)} = {index(left, ranks)} * {index(f'W{number}', summed + fresh)}"
            )
        elif kind == "sum" and ranks:
            summed = draw.choice(ranks)
            made = ranks.replace(summed, "")
            how = draw.choice(("sum", "max", "min"))
            lines.append(f"{index(name, made)} = {how}[{summed}]({index(left, ranks)})")
        elif kind == "pair":
            other = draw.choice([one for one in tensors if set(tensors[one]) <= set(ranks)])
            made = ranks
            sign = draw.choice("+-*/")
            lines.append(f"{index(name, ranks)} = {index(left, ranks)} {sign} {index(other, tensors[other])}")
        else:
            made = ranks
            lines.append(f"{index(name, ranks)} = {draw.choice(KINDS)}({index(left, ranks)})")
        tensors[name] = made
    return "\n".join(lines)


def index(name: str, ranks: str) -> str:
    """A tensor with its ranks."""
    return f"{name}[{','.join(ranks)}]" if ranks else name


def file(draw: Draw) -> dict[str, Any]:
    """A cascade's file as data; most are legal."""
    form = draw.random()
    if form < 0.55:
        text = chain(draw)
        inside = "".join(re.findall(r"\[(.*?)\]", text))
        sizes = {rank: draw.size() for rank in "mknxyz" if rank in inside}
        extra = {
            **draw.maybe(0.2 if "A[" in text else 0.0, tensors={"A": {"bits": draw.choice((1, 4, 8, 12, 16, 32)), **draw.maybe(0.5, sparse=draw.choice(("2:4 k", "density 0.3", "block 2 0.5 k", "topk 1:3 k")))}}),
            **draw.maybe(0.15 if {"m", "k"} <= set(inside) else 0.0, where=[draw.choice(("m <= k", "k - m < 3", "same[3,2](m, k)", "m == k", "m < 0"))]),
            **draw.maybe(0.1, outputs=["T0"]),
        }  # fmt: skip
    elif form < 0.8:
        name = draw.choice(list(CASCADES))
        text = CASCADES[name]
        letters = {char for char in text if char.islower() and (f"[{char}" in text or f",{char}" in text)}
        sizes = {rank: draw.size() for rank in sorted(letters)}
        sizes |= {rank: draw.randint(1, 3) for rank in ("r", "t") if rank in sizes}
        text, extra = text.replace("{S}", str(sizes.get("s", 0))), {}
        if name in ("causal", "window"):
            sizes["m"] = sizes["p"]
        if lines := [line for line in text.splitlines() if line.startswith("initial ")]:
            states = [line.removeprefix("initial ").split(" = ") for line in lines]
            extra["initial"] = {state: value if "inf" in value else int(value) for state, value in states}
        if bounds := [line.removeprefix("where ") for line in text.splitlines() if line.startswith("where ")]:
            extra["where"] = bounds
        text = "\n".join(line for line in text.splitlines() if not line.startswith(("initial ", "where ")))
    else:
        text = random_text(draw.randrange(10**6))
        sizes = {"m": 6, "p": 6, "k": 3, "q": 3, "w": 3, "i": 2, "j": 2, "n": 6}
        extra = {"partitions": {"n": ["c", "i"]}}
        lines = text.splitlines()
        extra["where"] = [line.removeprefix("where ") for line in lines if line.startswith("where ")]
        extra["initial"] = {line.split()[1]: 0 for line in lines if line.startswith("initial ")}
        text = "\n".join(line for line in lines if not line.startswith(("initial ", "where ")))
    return {**draw.maybe(0.7, name=draw.name()), "ranks": sizes, **extra, "einsums": text + "\n"}


def known(draw: Draw) -> list[str]:
    """A library's workload with `--set` and small sizes."""
    if draw.chance(0.005):
        return [
            draw.choice(("t5", "bert-base", "llama3.2-1b")),
            "--set",
            "part=layer",
            "b=1",
            f"seq={draw.size()}",
            *draw.some(("phase=decode", "passes=1", "weights=4", "group=32", "causal=true"), 0.3),
        ]
    long = draw.chance(0.3)  # attention has the most Einsums and takes longest
    name = draw.choice([name for name in LIBRARY if ("attention" in name) == long])
    pairs = [f"{key}={draw.randint(1, 3) if key in 'bh' else draw.size()}" for key in LIBRARY[name]]
    if "attention" in name:
        pairs += draw.some(
            ("causal=true", "window=5", "documents=3,9,4", "kv_heads=1", "m0=4", "bits=8"), 0.04
        )
    if name == "attention" and draw.chance(0.4):
        pairs.append(f"passes={draw.choice('123')}")
    if name == "linear-training" and draw.chance(0.5):
        pairs.append(f"sparsity={draw.choice(('2:4', '2:8', '1:4', 'dense', '3:2', 'x'))}")
    return [name, "--set", *pairs]
