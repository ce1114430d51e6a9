"""AutoNeural (arXiv 2512.02924): SQNR and RMS error of two encoders in W8A16, each executed layer by layer.

`autoneural:vit` and `autoneural:convolutions`. `autoneural.yaml` has the setting, and what of it is assumed.
No limit is claimed: the published figures are of trained networks.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from pathlib import Path

import msgspec

from einsim.specs.errors import SpecError
from einsim.specs.loader import decode, load_yaml
from einsim.specs.near import near
from einsim.validation.papers.fusemax import SUITE
from einsim.validation.row import Row, held
from einsim.workloads import low_precision, sample
from einsim.workloads.cascade import Cascade
from einsim.workloads.formats import CHANNEL, Format
from einsim.workloads.load import load_workload
from einsim.workloads.models import roles
from einsim.workloads.ops import Array

NAME = "autoneural"
LEVEL = "values"
_HERE = Path(__file__).parent


class Encoder(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Published figures of an encoder, and `depth` layers that stand for it; ranks in `shrinks` are 2 shorter
    in each layer than in the one before.
    """

    sqnr_db: float
    rms: float
    depth: int
    workload: str
    settings: dict[str, str | int]
    input: str
    output: str
    shrinks: dict[str, int] = {}

    def cascade(self, layer: int) -> Cascade:
        """One layer."""
        shrunk = {rank: size - 2 * layer for rank, size in self.shrinks.items()}
        own = _HERE / self.workload
        return load_workload(own if own.is_file() else self.workload, {**self.settings, **shrunk})


class Setting(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What `autoneural.yaml` holds."""

    source: str
    published_db: tuple[float, float]
    weights: int
    activations: int
    assumed: str
    encoders: dict[str, Encoder]


@cache
def setting() -> Setting:
    """The setting as it is written."""
    return decode(load_yaml(_HERE / "autoneural.yaml"), Setting, "autoneural")


def stored() -> tuple[str, ...]:
    """Every case."""
    return tuple(f"{NAME}:{name}" for name in setting().encoders)


def read(text: str) -> str:
    """The encoder of a case such as `autoneural:vit`; SpecError for another."""
    name = text.removeprefix(f"{NAME}:")
    if name not in setting().encoders:
        raise SpecError("", "unknown encoder", got=name, where="--case", hint=near(name, setting().encoders))
    return name


def outcome(encoder: Encoder) -> low_precision.Difference:
    """The last layer's output, in few bits all the way, against float64 all the way."""
    by_role = {
        roles.WEIGHTS: Format(bits=setting().weights, per=CHANNEL),
        roles.ACTIVATIONS: Format(bits=setting().activations),
    }
    exact: Array | None = None
    found: Array | None = None
    for layer in range(encoder.depth):
        cascade = encoder.cascade(layer)
        role = roles.roles_of(cascade)
        formats = low_precision.formats_of(cascade, by_role, role)
        inputs = sample.seeded(cascade, role, seed=layer)
        before = {} if found is None else {encoder.input: found}
        if exact is not None:
            inputs[encoder.input] = exact
        run = low_precision.compare(cascade, inputs, formats, before)
        exact, found = run.exact[encoder.output], run.found[encoder.output]
    return next(each for each in run.differences if each.tensor == encoder.output)


def rows(name: str) -> Iterator[Row]:
    """SQNR, to a tenth of a decibel, and RMS error, to three digits, beside those published."""
    encoder = setting().encoders[name]
    ours = outcome(encoder)
    assert ours.sqnr_db is not None
    assert ours.relative is not None
    low, high = setting().published_db
    place = "in" if low <= ours.sqnr_db <= high else "outside"
    note = f"{place} the published {low:g} to {high:g} dB; assumed: {setting().assumed}"
    for quantity, reference, value in (
        ("sqnr_db", encoder.sqnr_db, round(ours.sqnr_db, 1)),
        ("rms_error", encoder.rms, float(f"{ours.relative:.3g}")),
    ):
        yield held(
            suite=SUITE, case=f"{NAME}:{name}", quantity=quantity, level=LEVEL, reference=reference,
            ours=value, limit=None, source=setting().source, note=note,
        )  # fmt: skip
