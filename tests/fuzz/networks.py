"""Whole models: published configurations, changed as a rule, and what is counted of their parts."""

from __future__ import annotations

import json
import math
from copy import deepcopy
from pathlib import Path
from typing import Any

import einsim
from einsim.workloads.models.configs import read_network
from einsim.workloads.models.network import Network
from einsim.workloads.models.parts import (
    active_parameters,
    kv_bytes_per_token,
    parameters,
    parts,
    state_bytes,
    weight_bytes,
)
from einsim.workloads.models.step import Step
from tests.fuzz.bench import Bench, FaultError
from tests.fuzz.draw import ODD, Draw, anywhere, garble, mutate
from tests.workloads.models.published import CONFIGS


def text(draw: Draw) -> str:
    """A `config.json`; half are legal or nearly so."""
    data: Any = deepcopy(draw.choice(list(CONFIGS.values())))
    for _ in range(draw.choice((0, 1, 1, 2))):
        key = draw.choice(list(data))
        form = draw.random()
        if form < 0.4:
            data[key] = draw.choice(ODD)
        elif form < 0.7 and isinstance(data[key], int):
            data[key] = draw.choice((1, 2, 3, data[key] - 1, data[key] + 1, 2 * data[key], data[key] // 2))
        else:
            data = anywhere(draw, data) if draw.chance(0.1) else mutate(draw, data)
            if not isinstance(data, dict) or not data:
                break
    written = json.dumps(data, indent=1)
    return garble(draw, written) if draw.chance(0.1) else written


def step(draw: Draw, network: Network) -> Step:
    """A step that the network takes."""
    if not network.decodes:
        return Step(phase="encode", tokens=draw.size(), batch=draw.randint(1, 3))
    more: dict[str, Any] = {
        "source": draw.choice((1, 7)),
        "passes": draw.choice("321"),
        **draw.maybe(0.2, m0=4),
    }
    if draw.chance(0.5):
        return Step(phase="decode", tokens=1, cached=draw.choice((0, 1, 100)), **more)
    return Step(phase="prefill", tokens=draw.size(), **more)


def network_case(draw: Draw, bench: Bench) -> None:
    """A network is read or refused; its counts hold together, and each part of a step is a cascade."""
    path = Path(bench.file("config.json", text(draw)))
    network = bench.call(read_network, path)
    if network is None:
        return
    counts = bench.call(counted, network)
    if counts is None:
        return
    if not all(math.isfinite(count) and count >= 0 for count in counts.values()):
        raise FaultError(f"counts are {counts}")
    if not 0 < counts["active"] <= counts["parameters"]:
        raise FaultError(f"{counts['active']} of {counts['parameters']} parameters are active")
    found = bench.call(parts, network, step(draw, network))
    if not found:
        return
    own = [part for part in found if part.places and not part.name.endswith((" experts", " combine"))]
    if sorted(place for part in own for place in part.places) != list(range(len(network.layers))):
        raise FaultError("layers are left out or counted twice")
    if draw.chance(0.05):
        part = draw.choice(found)
        bench.log.append(part.name)
        judged = bench.call(einsim.evaluate, part.cascade, draw.choice(("tpu-v4i", "eyeriss-like")),
                            level="analytical")  # fmt: skip
        if judged is not None:
            bench.hold_evaluation(judged)


def counted(network: Network) -> dict[str, float]:
    """What is counted of a network, whatever step."""
    return {
        "parameters": parameters(network), "active": active_parameters(network),
        "bytes": weight_bytes(network), "cache": kv_bytes_per_token(network), "states": state_bytes(network),
    }  # fmt: skip
