"""NVML: clocks, power, temperature, and joules by the total-energy counter."""

from __future__ import annotations

import time
from typing import Any

import msgspec


class Reading(msgspec.Struct, frozen=True, kw_only=True):
    """One look at the device: clocks in MHz, power in watts, temperature in Celsius."""

    sm_mhz: int
    memory_mhz: int
    power_w: float
    celsius: int


class Meter:
    """NVML for the device at a PCI address. Its settings are only read, never changed."""

    def __init__(self, pci: str) -> None:
        import pynvml

        self.nvml: Any = pynvml
        pynvml.nvmlInit()
        self.handle = pynvml.nvmlDeviceGetHandleByPciBusId(pci.encode())
        version = pynvml.nvmlSystemGetDriverVersion()
        self.driver = version.decode() if isinstance(version, bytes) else str(version)
        self.limit_w = pynvml.nvmlDeviceGetEnforcedPowerLimit(self.handle) / 1000

    def read(self) -> Reading:
        """Clocks, power and temperature now."""
        n, h = self.nvml, self.handle
        return Reading(
            sm_mhz=n.nvmlDeviceGetClockInfo(h, n.NVML_CLOCK_SM),
            memory_mhz=n.nvmlDeviceGetClockInfo(h, n.NVML_CLOCK_MEM),
            power_w=n.nvmlDeviceGetPowerUsage(h) / 1000,
            celsius=n.nvmlDeviceGetTemperature(h, n.NVML_TEMPERATURE_GPU),
        )

    def counts_joules(self) -> bool:
        """Whether the device has the energy counter (Volta and newer)."""
        try:
            self.joules()
        except self.nvml.NVMLError:
            return False
        return True

    def joules(self) -> float:
        """The counter since the driver was loaded."""
        return float(self.nvml.nvmlDeviceGetTotalEnergyConsumption(self.handle)) / 1000

    def edge(self, limit_s: float = 0.3) -> tuple[float, float]:
        """(host time, joules) at the next change of the counter, which moves in steps of some tens of
        milliseconds.
        """
        first, start = self.joules(), time.perf_counter()
        while True:
            now, at = self.joules(), time.perf_counter()
            if now != first or at - start > limit_s:
                return at, now

    def idle_w(self, seconds: float = 0.3) -> float:
        """Mean power over a quiet while, by the counter."""
        start, before = self.edge()
        time.sleep(seconds)
        stop, after = self.edge()
        return (after - before) / (stop - start)
