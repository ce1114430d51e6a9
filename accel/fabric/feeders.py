"""What stands in front of an array: the top-N sorter, and the double-buffered tile loader with its array."""

from __future__ import annotations

from einsim.accel.fabric.arrays import SIZE_BITS, systolic_os
from einsim.accel.fabric.elements import Take, check_bits, index_bits, lane_memory


def top_n_sorter(lanes: int, n: int, m: int, bits: int = 8) -> Take:
    """`lanes` sorters: n registers of value, index and full bit each, a magnitude and a compare for each."""
    check_bits(bits)
    index = index_bits(m)
    lane = Take(lut=n * (3.54 * bits + 2.19 * index) + 1.62 * bits - 8.9, ff=n * (bits + index + 1))
    control = Take(lut=3.59 * lanes + 47.5, ff=SIZE_BITS + 1 + index + 1 + lanes)
    return lane * lanes + control


def loaded_array(rows: int, cols: int, depth: int = 32, bits: int = 8, accumulator: int = 32) -> Take:
    """The loader, two buffers of `depth` words a lane, and the output-stationary array behind it."""
    slot = index_bits(depth)
    control = Take(lut=1.26 * (rows + cols) + 203, ff=88 + 4 * -(-slot // 4))
    memories = lane_memory(2 << slot, bits) * (rows + cols)
    return control + memories + systolic_os(rows, cols, bits, accumulator)


def sorted_array(rows: int, cols: int, n: int, m: int, bits: int = 8, accumulator: int = 32) -> Take:
    """A sorter lane a column, a register of one sorted group between, and the N:M array."""
    word = bits + index_bits(m)
    held = Take(lut=1.0 * cols * n * word + 10, ff=cols * n * word + index_bits(m) + 1)
    return top_n_sorter(cols, n, m, bits) + held + systolic_os(rows, cols, bits, accumulator, group=m)
