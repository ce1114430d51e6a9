"""The GPU as the capture uses it: memory that rotates, random fills, CUDA graphs between events, and an
error check on every call.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from statistics import median
from typing import Any

import msgspec
import numpy as np
from cuda.bindings import driver
from numba import config, cuda

from einsim.specs.errors import EinsimError

config.CUDA_LOW_OCCUPANCY_WARNINGS = 0  # a grid of one block is meant

FLUSH_BYTES = 256 * 2**20  # read before each cold replay: several times the 50-60 MB L2 of an H100 or H200
ALIGN = 1024


class DeviceError(EinsimError):
    """A CUDA call failed, or there is no device."""


def ok(answer: tuple[Any, ...]) -> Any:
    """The value of a cuda.bindings call; DeviceError when it failed."""
    error, *values = answer
    if error != driver.CUresult.CUDA_SUCCESS:
        raise DeviceError(f"CUDA driver: {error.name}")
    return values[0] if len(values) == 1 else tuple(values)


@cuda.jit
def _fill(target, seed, scale):  # type: ignore[no-untyped-def]
    """target[i] = scale * N(0, 1): Box-Muller over a 64-bit counter hash (splitmix64)."""
    for at in range(cuda.grid(1), target.size, cuda.gridsize(1)):
        z = np.uint64(seed) + np.uint64(at + 1) * np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        z = z ^ (z >> np.uint64(31))
        u = (np.float32(z >> np.uint64(40)) + np.float32(0.5)) * np.float32(2.0**-24)
        v = np.float32(z & np.uint64(0xFFFFFF)) * np.float32(2.0**-24)
        radius = math.sqrt(np.float32(-2.0) * math.log(u))
        target[at] = np.float32(scale) * radius * math.cos(np.float32(2 * math.pi) * v)


@cuda.jit
def _read(source, sink):  # type: ignore[no-untyped-def]
    """Reads everything once, so that L2 holds only `source`."""
    total = np.float32(0)
    for at in range(cuda.grid(1), source.size, cuda.gridsize(1)):
        total += source[at]
    if total == np.float32(1e38):
        sink[0] = total


@cuda.jit
def _spin(nanoseconds):  # type: ignore[no-untyped-def]
    """Keeps the stream busy while the host enqueues what is to be timed."""
    for _ in range(nanoseconds // 1000):
        cuda.nanosleep(np.uint32(1000))


class ReplayTiming(msgspec.Struct, frozen=True, kw_only=True):
    """Seconds a launch: median, 10th and 90th percentile over the replays; launches a replay."""

    median_s: float
    p10_s: float
    p90_s: float
    launches: int
    replays: int


class Device:
    """The current CUDA device: one stream, one arena of memory, one source of seeds.

    Raises DeviceError when there is no CUDA device.
    """

    def __init__(self, seed: int | None = None) -> None:
        if not cuda.is_available():
            raise DeviceError("no CUDA device: run this on a machine with an NVIDIA GPU and its driver")
        self.context = cuda.current_context()
        device = cuda.get_current_device()
        self.name = str(device.name.decode() if isinstance(device.name, bytes) else device.name)
        self.sms = int(device.MULTIPROCESSOR_COUNT)
        self.l2_bytes = int(device.L2_CACHE_SIZE)
        self.handle = ok(driver.cuDeviceGet(device.id))
        self.pci = ok(driver.cuDeviceGetPCIBusId(32, self.handle)).split(b"\0")[0].decode()
        version = ok(driver.cuDriverGetVersion())
        self.cuda_driver = f"{version // 1000}.{version % 1000 // 10}"
        self.raw_stream = ok(driver.cuStreamCreate(driver.CUstream_flags.CU_STREAM_NON_BLOCKING))
        self.stream = cuda.external_stream(int(self.raw_stream))
        self.random = np.random.default_rng(seed)
        self.flush_source = cuda.device_array(FLUSH_BYTES // 4, np.float32)
        self.sink = cuda.device_array(1, np.float32)
        self.events = [ok(driver.cuEventCreate(0)) for _ in range(2)]
        self.pairs: list[tuple[Any, Any]] = []

    def sync(self) -> None:
        """Wait for the stream; raises DeviceError if a kernel failed."""
        ok(driver.cuStreamSynchronize(self.raw_stream))

    def healthy(self) -> bool:
        """Whether the device still takes work; an illegal access puts it out of service for this process."""
        return bool(driver.cuStreamSynchronize(self.raw_stream)[0] == driver.CUresult.CUDA_SUCCESS)

    def flush(self) -> None:
        """Enqueue a read of several times L2."""
        _read[self.sms * 8, 256, self.stream](self.flush_source, self.sink)

    def spin(self, microseconds: int) -> None:
        """Enqueue a kernel that does nothing for about so long."""
        _spin[1, 1, self.stream](microseconds * 1000)

    def capture(self, enqueue: Callable[[], None]) -> Any:
        """An executable CUDA graph of what `enqueue` puts on this device's stream."""
        ok(
            driver.cuStreamBeginCapture(
                self.raw_stream, driver.CUstreamCaptureMode.CU_STREAM_CAPTURE_MODE_RELAXED
            )
        )
        try:
            enqueue()
        finally:
            graph = ok(driver.cuStreamEndCapture(self.raw_stream))
        executable = ok(driver.cuGraphInstantiate(graph, 0))
        ok(driver.cuGraphDestroy(graph))
        return executable

    def replay(self, executable: Any) -> None:
        """Enqueue a captured graph."""
        ok(driver.cuGraphLaunch(executable, self.raw_stream))

    def destroy(self, executable: Any) -> None:
        """Free a captured graph."""
        ok(driver.cuGraphExecDestroy(executable))

    def seconds(
        self, work: Callable[[], None], cold: bool, meanwhile: Callable[[], None] | None = None
    ) -> float:
        """One timed pass of already captured work: events around it, L2 flushed before it if `cold`.

        meanwhile() is called again and again until the work is done.
        """
        if cold:
            self.flush()
        else:
            self.spin(60)
        ok(driver.cuEventRecord(self.events[0], self.raw_stream))
        work()
        ok(driver.cuEventRecord(self.events[1], self.raw_stream))
        while (
            meanwhile is not None
            and driver.cuEventQuery(self.events[1])[0] == driver.CUresult.CUDA_ERROR_NOT_READY
        ):
            meanwhile()
        self.sync()
        return float(ok(driver.cuEventElapsedTime(self.events[0], self.events[1]))) * 1e-3

    def time(
        self, work: Callable[[], None], launches: int, replays: int, cold: bool, meanwhile: Callable[[], None]
    ) -> ReplayTiming:
        """Median and spread over `replays` passes of `work` (which holds `launches` launches), all enqueued
        before the first wait.

        meanwhile() is called while they run, to read clocks.
        """
        while len(self.pairs) < replays:
            self.pairs.append((ok(driver.cuEventCreate(0)), ok(driver.cuEventCreate(0))))
        for start, stop in self.pairs[:replays]:
            if cold:
                self.flush()
            else:
                self.spin(30)
            ok(driver.cuEventRecord(start, self.raw_stream))
            work()
            ok(driver.cuEventRecord(stop, self.raw_stream))
        meanwhile()
        self.sync()
        times = [
            float(ok(driver.cuEventElapsedTime(a, b))) * 1e-3 / launches for a, b in self.pairs[:replays]
        ]
        low, high = np.quantile(times, (0.1, 0.9))
        return ReplayTiming(
            median_s=median(times), p10_s=float(low), p90_s=float(high), launches=launches, replays=replays
        )


class DeviceBuffers:
    """One problem's device memory, the `Arena` of kernels/problem.py: random inputs with fresh seeds,
    outputs poisoned with NaN.
    """

    def __init__(self, device: Device) -> None:
        self.device = device
        self.sms = device.sms
        self.outputs: list[Any] = []
        self.bytes = 0

    def seed(self) -> int:
        """A fresh seed."""
        return int(self.device.random.integers(1, 2**62))

    def _array(self, shape: Sequence[int], dtype: str) -> Any:
        array = cuda.device_array(tuple(shape), np.dtype(dtype))
        self.bytes += array.nbytes
        return array

    def normal(self, shape: tuple[int, ...], dtype: str, scale: float = 1.0) -> Any:
        """Random numbers, N(0, scale^2), of a fresh seed."""
        array = self._array(shape, dtype)
        _fill[self.device.sms * 8, 256, self.device.stream](array.reshape(array.size), self.seed(), scale)
        return array

    def output(self, shape: tuple[int, ...], dtype: str) -> Any:
        """Memory for results, poisoned by `poison`."""
        array = self._array(shape, dtype)
        self.outputs.append(array)
        return array

    def zeros(self, shape: tuple[int, ...], dtype: str) -> Any:
        """Memory of zeros that `poison` leaves alone."""
        array = self._array(shape, dtype)
        ok(driver.cuMemsetD8(array.__cuda_array_interface__["data"][0], 0, array.nbytes))
        return array

    def put(self, host: Any) -> Any:
        """A copy of a host array."""
        self.bytes += host.nbytes
        return cuda.to_device(host)

    def poison(self) -> None:
        """Every byte of every output 0xFF: NaN in any float format."""
        for array in self.outputs:
            ok(driver.cuMemsetD8(array.__cuda_array_interface__["data"][0], 0xFF, array.nbytes))
        ok(driver.cuCtxSynchronize())
