"""Models by name: the files in named/, each a `config.json` of facts with its source and usual batch."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Final

from msgspec.structs import replace

from einsim.specs.loader import load_json
from einsim.workloads.models.configs import read_network
from einsim.workloads.models.language import NetworkModel

_FOLDER: Final = Path(__file__).parent / "named"

ALIASES: Final[dict[str, str]] = {
    "bert": "bert-base", "transformer-xl": "trxl", "t5-small": "t5", "llama2": "llama2-7b",
    "llama-2-7b": "llama2-7b", "llama3": "llama3-8b", "llama-3-8b": "llama3-8b", "mistral": "mistral-7b",
    "mixtral": "mixtral-8x7b", "gpt3": "gpt3-175b",
}  # fmt: skip


@cache
def model_names() -> tuple[str, ...]:
    """Names that `named_model` knows, without the aliases."""
    return tuple(sorted(path.stem for path in _FOLDER.glob("*.json")))


MODEL_CHOICES: Final = (*model_names(), *ALIASES)


@cache
def named_model(name: str) -> NetworkModel:
    """A known model by its name or alias; KeyError otherwise."""
    name = ALIASES.get(name, name)
    if name not in model_names():
        raise KeyError(name)
    path = _FOLDER / f"{name}.json"
    batch = load_json(path).data.get("_batch", 1)
    return NetworkModel(network=replace(read_network(path), name=name), batch=batch)
