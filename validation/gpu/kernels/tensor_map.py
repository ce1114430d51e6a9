"""Tensor maps: what the copy engine of sm_90 (TMA) needs to know of a matrix, encoded by the driver."""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np

from einsim.validation.gpu.kernels.problem import Arena, address

MAP_BYTES = 128
ROW_BYTES = 128  # of a box, swizzled in whole


def tensor_map(arena: Arena, array: Any, box: tuple[int, ...], *, row_bytes: int = ROW_BYTES) -> Any:
    """A device copy of the map of a contiguous FP16 array [..., rows, columns], read in boxes of `box`,
    columns first.

    A box's rows are of `row_bytes` bytes and swizzled over as many; what it has beyond the array is zero.
    Raises RuntimeError when the driver refuses (rows that are no multiple of 16 bytes).
    """
    from cuda.bindings import driver

    sizes = tuple(reversed(array.shape))
    strides = tuple(int(np.prod(sizes[:depth], dtype=np.int64)) * 2 for depth in range(1, len(sizes)))
    swizzle = {
        128: driver.CUtensorMapSwizzle.CU_TENSOR_MAP_SWIZZLE_128B,
        64: driver.CUtensorMapSwizzle.CU_TENSOR_MAP_SWIZZLE_64B,
    }[row_bytes]
    error, encoded = driver.cuTensorMapEncodeTiled(
        driver.CUtensorMapDataType.CU_TENSOR_MAP_DATA_TYPE_FLOAT16,
        len(sizes),
        address(array),
        [driver.cuuint64_t(size) for size in sizes],
        [driver.cuuint64_t(stride) for stride in strides],
        [driver.cuuint32_t(size) for size in box],
        [driver.cuuint32_t(1)] * len(sizes),
        driver.CUtensorMapInterleave.CU_TENSOR_MAP_INTERLEAVE_NONE,
        swizzle,
        driver.CUtensorMapL2promotion.CU_TENSOR_MAP_L2_PROMOTION_L2_256B,
        driver.CUtensorMapFloatOOBfill.CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE,
    )
    if error != driver.CUresult.CUDA_SUCCESS:
        raise RuntimeError(f"no tensor map of {array.shape} in boxes of {box}: {error.name}")
    text = ctypes.string_at(int(encoded.getPtr()), MAP_BYTES)
    return arena.put(np.frombuffer(text, dtype=np.uint64).copy())
