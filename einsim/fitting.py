"""Fits named constants of a machine on measured rows, on the side of the split that is for it.

Least squares of the logarithms of predicted over measured (scipy), in the logarithms of the constants, so
that a constant keeps its sign and errors are relative. The loss is that of Cauchy's distribution beyond 10 %,
so that a row that the machine can't explain doesn't pull a constant that others agree on. Rows that are held
out are never predicted while fitting.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import msgspec
import numpy as np
from scipy.optimize import least_squares

from einsim.accel.fitted import MOST, FittedConstant
from einsim.accel.load import load_machine
from einsim.predicting import Answers, answering, predicted_by
from einsim.specs.arrays import Floats
from einsim.specs.errors import MISSING, EinsimError, SpecError
from einsim.specs.files import read_text
from einsim.specs.loader import load_yaml
from einsim.specs.near import near
from einsim.validation.silicon.chip_figure import ChipFigure
from einsim.validation.silicon.figures import Figures, figures, on_side
from einsim.validation.silicon.split import FIT, HELD_OUT

STEP = 0.05
"""Relative step of a constant that tells its effect: whole cycles and chosen mappings hide smaller ones."""
SCALE = 0.1
"""Relative error up to which the loss is a square."""
FEW = 32
"""Whole numbers below it are steps that a fit has to see between."""
MOST_STEPS = 12
"""Steps of the search; each judges every row once for the constants and once for each of them."""
MISSED = 3.0
"""Logarithm that counts for a row that a try can't be predicted with: twenty times off."""
_NUMBER = re.compile(r"\s*([-+]?[0-9.]+(?:[eE][-+]?[0-9]+)?)\s*(.*)")


class OpenConstant(msgspec.Struct, frozen=True, kw_only=True):
    """A figure of the machine's file: a number with its unit, and whether it is whole."""

    path: str
    value: float
    unit: str
    whole: bool

    def shown(self, value: float) -> int | float | str:
        """A value as the file would have it: four digits."""
        if self.whole:
            return max(1, round(value))
        return f"{value:.4g}{self.unit}" if self.unit else float(f"{value:.4g}")


class Fit(msgspec.Struct, frozen=True, kw_only=True):
    """What was found: constants with their errors, and figures of both sides before and after."""

    machine: str
    constants: dict[str, FittedConstant]
    values: dict[str, int | float | str]
    rows: int
    before: dict[str, Figures]
    after: dict[str, Figures]
    tries: int


def constants_of(machine: Path, paths: Sequence[str]) -> list[OpenConstant]:
    """The named figures of a machine's file. SpecError for none, too many, or what is no positive number."""
    if not paths:
        raise SpecError("", "name the constants that may be fitted: --constant PATH", where="--constant")
    if len(set(paths)) != len(paths) or len(paths) > MOST:
        raise SpecError(
            "", f"must be at most {MOST} constants, each once", got=len(paths), where="--constant"
        )
    document = load_yaml(machine)
    found = []
    for path in paths:
        value = document.value(tuple(path.split(".")))
        if value is MISSING or isinstance(value, bool | dict | list) or value is None:
            raise SpecError(
                path, "is no figure of the file", where=str(machine), hint=near(path, _paths(document.data))
            )
        parts = _NUMBER.fullmatch(str(value))
        if parts is None or float(parts[1]) <= 0:
            raise document.error(
                tuple(path.split(".")), "must be above 0 to be fitted from", got=value, root="accel"
            )
        found.append(
            OpenConstant(path=path, value=float(parts[1]), unit=parts[2], whole=isinstance(value, int))
        )
    return found


def _paths(data: Mapping[str, object], above: str = "") -> Iterator[str]:
    for key, value in data.items():
        yield f"{above}{key}"
        if isinstance(value, dict):
            yield from _paths(value, f"{above}{key}.")


def fit(rows: Sequence[ChipFigure], machine: Path, paths: Sequence[str], workers: int | None = None) -> Fit:
    """Constants of the machine in a file that suit the rows for fitting best, from the values that it has.

    Raises SpecError for a constant or file that is wrong, EinsimError where fewer rows are for fitting than
    there are constants.
    """
    return fit_shared({machine: rows}, paths, workers)


def fit_shared(
    by_machine: Mapping[Path, Sequence[ChipFigure]], paths: Sequence[str], workers: int | None = None
) -> Fit:
    """As `fit`, of constants that several machines have alike, such as boards with the same core: each file
    has its own rows, and all of them the same values to begin with and to end with.
    """
    machine = next(iter(by_machine))
    constants = constants_of(machine, paths)
    for one in by_machine:
        load_machine(one)
        for mine, shared in zip(constants_of(one, paths), constants, strict=True):
            if mine != shared:
                rule = f"must be {shared.shown(shared.value)}, as in {machine}, to be shared"
                raise SpecError(mine.path, rule, got=mine.shown(mine.value), where=str(one))
    rows = [row for some in by_machine.values() for row in some]
    own = [msgspec.structs.replace(row, machine=str(one)) for one, some in by_machine.items() for row in some]
    chosen = [row for row in own if row.side == FIT]
    if len(chosen) < len(constants):
        raise EinsimError(
            f"{len(chosen)} of {len(rows)} rows are for fitting, by the names of what was run, and "
            f"{len(constants)} constants need as many"
        )
    with answering(workers or os.cpu_count() or 1) as answers:
        tried = _Tries(chosen, constants, answers)
        start = np.log([one.value for one in constants])
        found = least_squares(
            tried.residuals, start, jac=tried.slopes, loss="cauchy", f_scale=SCALE, x_scale=0.5, xtol=1e-3,
            ftol=1e-3, max_nfev=MOST_STEPS,
        )  # fmt: skip
        best = _settled(constants, found.x, tried.residuals)
        values = {one.path: one.shown(math.exp(x)) for one, x in zip(constants, best, strict=True)}
        errors = _errors(tried.slopes(best), tried.residuals(best))
        before, after = (_figures(own, given, answers) for given in ({}, values))
    return Fit(
        machine=", ".join(map(str, by_machine)), values=values, rows=len(chosen), before=before, after=after,
        tries=len(tried.known),
        constants={
            one.path: FittedConstant(
                sourced=one.shown(one.value), error=float(f"{error:.2g}"), rows=len(chosen)
            )
            for one, error in zip(constants, errors, strict=True)
        },
    )  # fmt: skip


def _settled(
    constants: Sequence[OpenConstant], found: Floats, residuals: Callable[[Floats], Floats]
) -> Floats:
    """Logarithms of constants, whole ones rounded and, if few, moved by one as long as that suits the rows
    better.
    """

    def loss(x: Floats) -> float:
        return float(np.log1p((residuals(x) / SCALE) ** 2).sum())

    best = found.copy()
    for at in (at for at, one in enumerate(constants) if one.whole):
        best[at] = math.log(max(1, round(math.exp(best[at]))))
        for step in (1, -1) if math.exp(best[at]) < FEW else ():
            while (value := round(math.exp(best[at])) + step) >= 1:
                moved = best.copy()
                moved[at] = math.log(value)
                if loss(moved) >= loss(best):
                    break
                best = moved
    return best


def _errors(slopes: Floats, residuals: Floats) -> Floats:
    """Standard errors of the logarithms: how far rows leave each open, by the spread of what is left."""
    spare = max(1, len(residuals) - slopes.shape[1])
    spread = float(np.sum(np.minimum(residuals**2, (3 * SCALE) ** 2))) / spare
    found: Floats = np.sqrt(np.clip(np.diag(np.linalg.pinv(slopes.T @ slopes)) * spread, 0, 100.0**2))
    return found


class _Tries:
    """Residuals and slopes at tried constants, each predicted once."""

    def __init__(
        self, rows: Sequence[ChipFigure], constants: Sequence[OpenConstant], answers: Answers
    ) -> None:
        self.rows, self.constants, self.answers = rows, constants, answers
        self.known: dict[tuple[str, ...], Floats] = {}

    def residuals(self, logs: Floats) -> Floats:
        """Logarithms of predicted over measured; between two whole numbers, on the line between theirs."""
        for at, one in enumerate(self.constants):
            value = math.exp(float(logs[at]))
            low = math.floor(value * (1 + 1e-9))
            if one.whole and 1 <= value < FEW and value > low * (1 + 1e-9):
                ends = [np.array([*logs[:at], math.log(end), *logs[at + 1 :]]) for end in (low, low + 1)]
                below, above = map(self.residuals, ends)
                found: Floats = below + (value - low) * (above - below)
                return found
        return self._at(logs)

    def _at(self, logs: Floats) -> Floats:
        given = {
            one.path: str(one.shown(math.exp(float(x)))) for one, x in zip(self.constants, logs, strict=True)
        }
        key = tuple(given.values())
        if key not in self.known:
            rows = [with_constants(row, given) for row in self.rows]
            self.known[key] = np.array([
                math.log(1 + one.error(one.best)) if one.by_level else MISSED
                for one in predicted_by(self.answers, rows, only_best=True)
            ])  # fmt: skip
        return self.known[key]

    def slopes(self, logs: Floats) -> Floats:
        """Of each row by each constant."""
        here = self.residuals(logs)
        columns = []
        for at in range(len(logs)):
            moved = np.array(logs)
            moved[at] += STEP
            columns.append((self.residuals(moved) - here) / (moved[at] - logs[at]))
        return np.stack(columns, axis=1)


def with_constants(row: ChipFigure, given: Mapping[str, object]) -> ChipFigure:
    """A row on the machine with other constants."""
    settings = {f"accel.{path}": str(value) for path, value in given.items()}
    return msgspec.structs.replace(row, settings={**row.settings, **settings})


def _figures(rows: Sequence[ChipFigure], given: Mapping[str, object], answers: Answers) -> dict[str, Figures]:
    some = [with_constants(row, given) for row in rows]
    judged = [one for one in predicted_by(answers, some, only_best=True) if one.by_level]
    both = {side: figures(on_side(judged, side), judged[0].best) for side in (FIT, HELD_OUT) if judged}
    return {side: found for side, found in both.items() if found is not None}


def written(machine: Path, fit: Fit) -> str:
    """The machine's file with the constants in their places, and what is told of them at its end.

    SpecError for a figure that isn't alone by its key on its line.
    """
    document, lines = load_yaml(machine), read_text(machine).splitlines()
    for path, value in fit.values.items():
        place = tuple(path.split("."))
        at = next(document.lines[place[:n]] for n in range(len(place), 0, -1) if place[:n] in document.lines)
        key = re.escape(place[-1])
        pattern = re.compile(rf"(\b{key}\s*:\s*)({re.escape(str(document.value(place)))})(?=\s*[,}}#]|\s*$)")
        if len(pattern.findall(lines[at - 1])) != 1:
            raise document.error(place, "must stand on a line of its own to be written", root="accel")
        lines[at - 1] = pattern.sub(lambda found, value=value: f"{found[1]}{value}", lines[at - 1])  # type: ignore[misc]
    kept = document.data.get("fitted", {})
    at = next((n for n, line in enumerate(lines) if line.startswith("fitted:")), len(lines))
    end = next((n for n in range(at + 1, len(lines)) if lines[n][:1].strip()), len(lines))
    told = {**{path: msgspec.convert(one, FittedConstant) for path, one in kept.items()}, **fit.constants}
    for path, one in told.items():
        if path in kept and path in fit.constants:  # fitted anew: what sources say hasn't changed
            told[path] = msgspec.structs.replace(one, sourced=kept[path]["sourced"])
    rows = [
        f"  {path}: {{sourced: {one.sourced}, error: {one.error:g}, rows: {one.rows}}}"
        for path, one in told.items()
    ]
    return "\n".join([*lines[:at], "fitted:", *rows, *lines[end:]]) + "\n"
