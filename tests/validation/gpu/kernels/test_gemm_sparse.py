"""2:4 packing: the dense matrix has two of four, and the metadata words name where."""

from __future__ import annotations

import numpy as np

from einsim.validation.gpu.kernels.gemm_sparse import dense, pack, prune

M, K = 48, 256
VALUES, INDICES = prune(3, M, K)


def test_every_group_of_four_keeps_two_in_ascending_order() -> None:
    full = dense(VALUES, INDICES)
    assert full.shape == (M, K)
    assert (np.count_nonzero(full.reshape(M, K // 4, 4), axis=2) == 2).all()
    assert (INDICES[..., 0] < INDICES[..., 1]).all()
    assert np.array_equal(full[full != 0].reshape(M, K // 2), VALUES)


def test_metadata_words_follow_the_fragment_layout() -> None:
    """Lane 4g+t of tile (i, j): columns 64j+16t.., row 16i+g in the low half and row 16i+g+8 in the high half."""
    words = pack(INDICES)
    assert words.shape == (M // 16, K // 64, 32)
    for tile, block, lane, high, group, slot in np.ndindex(M // 16, K // 64, 32, 2, 4, 2):
        row = 16 * tile + lane // 4 + 8 * high
        column_group = 16 * block + 4 * (lane % 4) + group
        field = (int(words[tile, block, lane]) >> (16 * high + 4 * group + 2 * slot)) & 3
        assert field == INDICES[row, column_group, slot]
