"""The vendor library's own kernels through torch, timed by the same graphs, flushes and events as ours."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Any

from einsim.validation.gpu.device import Device
from einsim.validation.gpu.kernels.problem import Problem

WARM_CALLS = 3  # cuBLAS and cuDNN pick and load kernels on first use


def torch_version() -> str:
    """Torch's version, or "" where it isn't installed."""
    try:
        import torch
    except ImportError:
        return ""
    return str(torch.__version__)


def vendor_seconds(
    device: Device, problems: Sequence[Problem], repeat: int, replays: int, cold: bool
) -> float:
    """Median seconds a call of the vendor's version over the same buffers, `repeat` rounds a graph; NaN if
    there is none.
    """
    if not torch_version() or problems[0].vendor is None:
        return float("nan")
    import torch

    calls: list[Callable[[], Any]] = []
    for problem in problems:
        call = problem.vendor() if problem.vendor is not None else None
        if call is None:
            return float("nan")
        calls.append(call)
    warnings.filterwarnings("ignore", module="torch")  # its 2:4 API says at every use that it is a prototype
    stream = torch.cuda.ExternalStream(int(device.raw_stream))
    with torch.cuda.stream(stream), torch.no_grad():
        for _ in range(WARM_CALLS):
            calls[0]()
        device.sync()
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, stream=stream):
            for _ in range(repeat):
                for call in calls:
                    call()
        for _ in range(3):
            graph.replay()
        device.sync()
        timing = device.time(graph.replay, repeat * len(calls), replays, cold, lambda: None)
        graph.reset()
    return timing.median_s
