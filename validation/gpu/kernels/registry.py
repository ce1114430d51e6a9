"""The kernels behind every family, the cases that a capture measures, and a hash of each family's code."""

from __future__ import annotations

import ast
from hashlib import sha256
from pathlib import Path
from types import ModuleType

from einsim.sim.gpu.case import KernelCase
from einsim.sim.gpu.kernels import row_reduction as row_reduction_described
from einsim.sim.gpu.kernels.families import FAMILIES as DESCRIBED
from einsim.sim.gpu.kernels.sizes import fits
from einsim.validation.gpu.fresh_shapes import FRESH
from einsim.validation.gpu.kernels import (
    attention_fused,
    attention_unfused,
    attention_wgmma,
    copy,
    decode,
    decode_grouped,
    decode_tensor,
    ffn,
    gemm_f16,
    gemm_f32,
    gemm_sparse,
    gemm_sparse_wgmma,
    gemm_wgmma,
    gemv,
    layernorm,
    linear_attention,
    micro,
    micro_hopper,
    micro_tiles,
    reduction,
    rmsnorm,
    rope,
    row_reduction,
    short_conv,
    softmax,
    swiglu,
    top_k,
)
from einsim.validation.gpu.model_shapes import FIRST, MORE
from einsim.validation.gpu.shapes import CAPTURED, QUICK, UNSEEN

FAMILIES: dict[str, ModuleType] = {
    micro.FAMILY: micro,  # which describe themselves: they measure a GPU, and nothing is realised by them
    micro_hopper.FAMILY: micro_hopper,
    micro_tiles.FAMILY: micro_tiles,
    "copy": copy,
    "reduction": reduction,
    "softmax": softmax,
    "layernorm": layernorm,
    "gemm-f32": gemm_f32,
    "gemm-f16": gemm_f16,
    "gemm-sparse": gemm_sparse,
    "attention-fused": attention_fused,
    "attention-unfused": attention_unfused,
    "decode": decode,
    "ffn": ffn,
    "gemm-wgmma": gemm_wgmma,
    "gemm-sparse-wgmma": gemm_sparse_wgmma,
    "attention-wgmma": attention_wgmma,
    "rmsnorm": rmsnorm,
    "rope": rope,
    "swiglu": swiglu,
    "gemv": gemv,
    "decode-grouped": decode_grouped,
    "decode-tensor": decode_tensor,
    "short-conv": short_conv,
    "linear-attention": linear_attention,
    "top-k": top_k,
}
MICRO = (micro.FAMILY, micro_hopper.FAMILY, micro_tiles.FAMILY)

# the CUDA C++ behind each family and the headers beside mma.cuh, for the source hash
LINKED = {
    "micro": ("micro", "elementwise"),
    "copy": ("elementwise",),
    "gemm-f16": ("gemm_f16",),
    "gemm-sparse": ("gemm_sparse",),
    "attention-fused": ("attention", "attention_pipelined"),
    "attention-unfused": ("gemm_f16", "softmax_f16"),
    "decode": ("decode",),
    "ffn": ("gemm_f16", "elementwise"),
    "micro-hopper": ("hopper.cuh", "micro_hopper"),
    "micro-tiles": ("hopper.cuh", "micro_hopper", "micro_tiles"),
    "gemm-wgmma": ("hopper.cuh", "gemm_wgmma"),
    "gemm-sparse-wgmma": ("hopper.cuh", "gemm_sparse_wgmma"),
    "attention-wgmma": ("hopper.cuh", "attention_wgmma"),
    "rmsnorm": ("rows_f16",),
    "rope": ("rows_f16",),
    "swiglu": ("rows_f16",),
    "gemv": ("gemv",),
    "decode-grouped": ("decode_grouped", "decode"),
    "decode-tensor": ("decode_tensor", "decode"),
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
    "SECTOR",
    "BESIDE",
    "ISSUED",
    "SECOND_HALF",
    "OTHER_REGISTERS",
)
ROW_FAMILIES = ("softmax", "layernorm", "reduction")
# Whose code's own values come before those of its description: the order of the text that was captured.
VALUES_BEFORE = ("gemm-sparse", "attention-unfused")


def all_cases(quick: bool = False) -> tuple[KernelCase, ...]:
    """Every case of every family, in the order of capture; with `quick`, one size of every variant."""
    return (*micro.cases(quick), *cases_of(QUICK if quick else CAPTURED))


def unseen_cases() -> tuple[KernelCase, ...]:
    """Every variant of every family on the shapes that nothing was fitted on."""
    return cases_of(UNSEEN)


def model_cases() -> tuple[KernelCase, ...]:
    """The rates of `wgmma`, and every variant on shapes of published models that it takes."""
    own = (case for case in cases_of({**FIRST, **MORE}) if fits(case))
    return (*micro_hopper.cases(), *micro_tiles.cases(), *own)


def fresh_cases() -> tuple[KernelCase, ...]:
    """Every variant on the shapes of further models that it takes, which were captured last."""
    return tuple(case for case in cases_of(FRESH) if fits(case))


def cases_of(shapes: dict[str, object]) -> tuple[KernelCase, ...]:
    """Every variant of the families on their shapes."""
    return tuple(case for family, own in shapes.items() for case in DESCRIBED[family].cases(own))


def sizes_text(case: KernelCase) -> str:
    """A case's sizes as a capture's row has them."""
    return ";".join(f"{rank}={size}" for rank, size in case.sizes.items())


def family_hash(family: str) -> str:
    """A hash of what decides a family's machine code.

    That is its linked CUDA C++ with the PTX wrappers, and in its Python and its description's (and in the row
    reductions', where used) every function that makes a kernel and every plain number. Problem sizes and
    register counts aren't in it.
    """
    sources = [FAMILIES[family]] if family in MICRO else [DESCRIBED[family], FAMILIES[family]]
    if family in VALUES_BEFORE:
        sources.reverse()
    parts = [code_of(*sources)]
    if family in ROW_FAMILIES:
        parts.append(code_of(row_reduction_described, row_reduction))
    if family in LINKED:
        folder = Path(__file__).parent / "cuda"
        parts += [(folder / name).read_text() for name in ("mma.cuh", *map(_file, LINKED[family]))]
    return sha256("\0".join(parts).encode()).hexdigest()[:12]


def _file(name: str) -> str:
    """A header by its whole name, a `.cu` file by its stem."""
    return name if "." in name else f"{name}.cu"


def code_of(*modules: ModuleType) -> str:
    """The text of the modules' plain values and of their functions under @cache (they make kernels)."""
    values, kernels = list[str](), list[str]()
    for module in modules:
        python = Path(str(module.__file__)).read_text()
        lines = python.splitlines()
        for node in ast.parse(python).body:
            text = "\n".join(lines[node.lineno - 1 : node.end_lineno]).strip()
            if _makes_kernels(node):
                kernels.append(text)
            elif _is_plain_value(node):
                values.append(text)
    return "\n".join((*values, *kernels))


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
