"""All kernel families, by name."""

from __future__ import annotations

import ast
from hashlib import sha256
from pathlib import Path
from types import ModuleType

from einsim.validation.gpu.case import KernelCase
from einsim.validation.gpu.kernels import (
    attention_fused,
    attention_unfused,
    copy,
    decode,
    ffn,
    gemm_f16,
    gemm_f32,
    gemm_sparse,
    layernorm,
    micro,
    reduction,
    softmax,
    unseen,
)

MODULES: tuple[ModuleType, ...] = (
    micro,
    copy,
    reduction,
    softmax,
    layernorm,
    gemm_f32,
    gemm_f16,
    gemm_sparse,
    attention_fused,
    attention_unfused,
    decode,
    ffn,
)
FAMILIES: dict[str, ModuleType] = {module.FAMILY: module for module in MODULES}

# the CUDA C++ behind each family, for the source hash
LINKED = {
    "micro": ("micro", "elementwise"),
    "copy": ("elementwise",),
    "gemm-f16": ("gemm_f16",),
    "gemm-sparse": ("gemm_sparse",),
    "attention-fused": ("attention", "attention_pipelined"),
    "attention-unfused": ("gemm_f16", "softmax_f16"),
    "decode": ("decode",),
    "ffn": ("gemm_f16", "elementwise"),
}
METADATA = (
    "FAMILY",
    "REGISTERS",
    "SMS",
    "H200_SMS",
    "CHAIN_LOADS",
    "COPY_BYTES",
    "SHARED_BYTES",
    "RESIDENT_COLUMNS",
    "FENCES",
    "SETUP",
)
SHARED_PYTHON = {"softmax": "rows.py", "layernorm": "rows.py", "reduction": "rows.py"}


def all_cases(quick: bool = False) -> tuple[KernelCase, ...]:
    """Every case of every family, in the order of capture."""
    return tuple(case for module in MODULES for case in module.cases(quick))


def unseen_cases() -> tuple[KernelCase, ...]:
    """Every variant of every family on the shapes that nothing was fitted on."""
    return tuple(
        case for name, shapes in unseen.SHAPES.items() for case in FAMILIES[name].cases(shapes=shapes)
    )


def sizes_text(case: KernelCase) -> str:
    """A case's sizes as a capture's row has them."""
    return ";".join(f"{rank}={size}" for rank, size in case.sizes.items())


def family_hash(family: str) -> str:
    """A hash of what decides a family's machine code.

    That is its linked CUDA C++ with the PTX wrappers, and in its Python (and in the row reductions, where
    used) every function that makes a kernel and every plain number. Problem sizes and register counts
    aren't in it.
    """
    folder = Path(__file__).parent
    parts = [code_of(Path(str(FAMILIES[family].__file__)).read_text())]
    if family in SHARED_PYTHON:
        parts.append(code_of((folder / SHARED_PYTHON[family]).read_text()))
    if family in LINKED:
        parts += [
            (folder / "cuda" / name).read_text() for name in ("mma.cuh", *(f"{n}.cu" for n in LINKED[family]))
        ]
    return sha256("\0".join(parts).encode()).hexdigest()[:12]


def code_of(python: str) -> str:
    """The text of a module's functions under @cache (they make kernels) and of its plain values."""
    lines = python.splitlines()
    kept = [node for node in ast.parse(python).body if _makes_kernels(node) or _is_plain_value(node)]
    return "\n".join("\n".join(lines[node.lineno - 1 : node.end_lineno]).strip() for node in kept)


def _makes_kernels(node: ast.stmt) -> bool:
    return isinstance(node, ast.FunctionDef) and any(
        isinstance(decorator, ast.Name) and decorator.id == "cache" for decorator in node.decorator_list
    )


def _is_plain_value(node: ast.stmt) -> bool:
    if not isinstance(node, ast.Assign) or any(
        isinstance(t, ast.Name) and t.id in METADATA for t in node.targets
    ):
        return False
    values = node.value.values if isinstance(node.value, ast.Dict) else [node.value]
    return all(isinstance(value, ast.Constant | ast.UnaryOp) for value in values)
