"""The cocotb test of the array behind its sorter: every job of the file, every cycle and bit."""

from __future__ import annotations

from typing import Any

import cocotb

from einsim.rtl_models.bench.lockstep import lockstep


@cocotb.test()
async def every_cycle_and_bit_is_the_models(dut: Any) -> None:
    """The jobs were made by `model.py`, from the simulator's stepped model."""
    await lockstep(dut)
