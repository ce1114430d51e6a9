"""CUDA C++ device functions linked into numba-cuda kernels: the tensor-core route."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

SOURCES = Path(__file__).parent / "cuda"


def source(name: str, defines: dict[str, int | str], headers: tuple[str, ...] = ()) -> str:
    """The text of `cuda/<name>.cu` after the shared PTX wrappers and further headers, with its macros set."""
    head = "".join(f"#define {macro} {value}\n" for macro, value in defines.items())
    files = ("mma.cuh", *(f"{header}.cuh" for header in headers), f"{name}.cu")
    return head + "".join((SOURCES / file).read_text() for file in files)


@cache
def device_function(
    name: str,
    function: str,
    types: str,
    defines: tuple[tuple[str, int | str], ...],
    headers: tuple[str, ...] = (),
) -> Any:
    """The linked function as numba sees it; `types` are its argument types, comma-separated."""
    from numba import cuda

    text = source(name, dict(defines), headers)
    return cuda.declare_device(function, f"int32({types})", link=cuda.CUSource(text))


def allow_shared(kernel: Any, dynamic_bytes: int) -> None:
    """Let every compiled form of a numba kernel take `dynamic_bytes` of dynamic shared memory.

    Raises RuntimeError when the driver refuses (more than the device's opt-in limit).
    """
    from cuda.bindings import driver
    from numba import cuda

    attribute = driver.CUfunction_attribute.CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES
    device = driver.CUdevice(cuda.get_current_device().id)
    for overload in kernel.overloads.values():
        handle = int(overload.library.get_cufunc().handle)
        (error,) = driver.cuKernelSetAttribute(attribute, dynamic_bytes, driver.CUkernel(handle), device)
        if error != driver.CUresult.CUDA_SUCCESS:  # older drivers give a CUfunction
            (error,) = driver.cuFuncSetAttribute(driver.CUfunction(handle), attribute, dynamic_bytes)
        if error != driver.CUresult.CUDA_SUCCESS:
            raise RuntimeError(f"{dynamic_bytes} bytes of dynamic shared memory were refused: {error.name}")
