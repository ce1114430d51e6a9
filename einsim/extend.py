"""Extension points: what a user's module registers, and einsim then has by name, from scripts and commands.

Each function says SpecError for a name that is no name or is taken (with the place of the other), and for an
argument of the wrong kind. A fault inside a registered function becomes one line that names it.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias, TypeVar

from msgspec import Meta

from einsim.specs.errors import SpecError
from einsim.specs.extensions import caller, guarded
from einsim.specs.near import near

if TYPE_CHECKING:
    from einsim.accel.machine import Machine
    from einsim.accel.written import WrittenFamily
    from einsim.dataflow.mapping import Mapping as LoopTree
    from einsim.report.case import Case
    from einsim.workloads.cascade import Cascade
    from einsim.workloads.settings import Parameter, Settings

Spec = TypeVar("Spec", bound="WrittenFamily")

Arity: TypeAlias = Annotated[int, Meta(ge=1, le=8)]
"""Arguments of an op."""
Times: TypeAlias = Annotated[int, Meta(ge=1, le=10**6)]
"""How often an op is made of another."""


def register_op(
    name: str,
    *,
    arity: Arity,
    meaning: Callable[..., Any],
    made_of: Mapping[str, Times] | None = None,
    costs_as: str = "",
) -> None:
    """A scalar operator that cascades may call: `Y[p] = mish(X[p])`.

    `meaning` takes `arity` numpy arrays of float64 that broadcast, and works on each element. What the op
    costs on a unit: the figures under its name in the unit's `ops`, in cycles a point and pJ; or those of the
    op `costs_as`; or, on a vector unit that states none, those of the ops that it is `made_of`, as in
    `{"exp": 1, "mac": 2}`, which results then list as assumed.
    """
    from einsim.accel.composed import COMPOSED, GIVEN
    from einsim.workloads.ops import OPS, ScalarOp

    what = f"op '{name}'"
    OPS.check(name)
    _takes(what, meaning, arity)
    if costs_as and made_of:
        raise SpecError(what, "costs as another op or is made of others, not both", where=caller())
    known = {*GIVEN, *COMPOSED}
    for other in (*(made_of or {}), *([costs_as] if costs_as else [])):
        if other not in known:
            raise SpecError(what, "no such op to cost as", got=other, hint=near(other, known), where=caller())
    if made_of:
        COMPOSED.register(name, dict(made_of))
    OPS.register(name, ScalarOp(arity, _elementwise(what, meaning), costs_as))


def register_family(name: str, spec: type[Spec], derive: Callable[[Spec, str], Machine]) -> None:
    """A machine family: `family: NAME` in a machine's YAML.

    `spec` is a subclass of `FamilySpec` whose fields are the YAML's keys, checked by their types and ranges.
    `derive` makes the machine of a spec and the file's name; it may raise RuleError with the key in `at`.
    """
    from einsim.accel.load import FAMILIES, Family
    from einsim.accel.machine import Machine
    from einsim.accel.written import WrittenFamily

    what = f"family '{name}'"
    given: object = spec
    if not isinstance(given, type) or not issubclass(given, WrittenFamily):
        raise SpecError(what, "spec must be a subclass of einsim.FamilySpec", got=given, where=caller())
    _takes(what, derive, 2)
    FAMILIES.register(name, Family(spec, guarded(what, derive, Machine)))


def register_template(
    name: str,
    build: Callable[..., LoopTree],
    *,
    summary: str = "",
    menus: Mapping[str, Annotated[Sequence[int | str], Meta(min_length=1)]] | None = None,
) -> None:
    """A mapping template: `--mapping NAME`, and one of those that the mapper's best competes with.

    `build` gives the mapping of a cascade on a machine, whose legality is then checked; it raises EinsimError
    where the template doesn't suit. With `menus` of values by name it takes each as a keyword with a default,
    and `einsim map --dataflow NAME` and the mapper look for the best of them.
    """
    from einsim.dataflow.mapping import Mapping as LoopTree
    from einsim.dataflow.templates.registry import TEMPLATES, Template, nothing

    what = f"template '{name}'"
    _takes(what, build, 2, *(menus or ()))
    made = guarded(what, build, LoopTree)
    TEMPLATES.register(name, Template(made, summary, (lambda *_: menus) if menus else nothing))


def register_workload(
    name: str,
    build: Callable[[Settings], Cascade],
    *,
    parameters: Sequence[Parameter] = (),
    summary: str = "",
) -> None:
    """A workload of the library: `einsim run NAME --set key=value`.

    `parameters` says what may be set, with defaults; `build` gets the values by parameter.
    """
    from einsim.workloads.cascade import Cascade
    from einsim.workloads.library import WORKLOADS
    from einsim.workloads.library.workload import Workload
    from einsim.workloads.settings import read_settings

    what = f"workload '{name}'"
    _takes(what, build, 1)
    made = guarded(what, build, Cascade)
    read_settings(parameters, {one.name: one.default for one in parameters}, what)
    known = [one.name for one in parameters]
    if twice := [one for at, one in enumerate(known) if one in known[:at]]:
        raise SpecError(what, "a parameter stands twice", got=twice[0], where=caller())
    row = Workload(name=name, summary=summary, parameters=tuple(parameters), build=made)
    WORKLOADS.register(name, row)


def register_section(name: str, title: str, draw: Callable[[Sequence[Case]], str], *, lead: str = "") -> None:
    """A section of the mapping report, after einsim's own; `name` is its anchor, `lead` its first sentence.

    `draw` gets the cases of a page and gives HTML, "" to be left out. `html_text` makes any text safe in it.
    """
    from einsim.report.sections import SECTIONS, Section

    what = f"section '{name}'"
    _takes(what, draw, 1)
    SECTIONS.register(name, Section(title=title, draw=guarded(what, draw, str), lead=lead))


def register_dram_standard(name: str, file: str | Path) -> None:
    """A DRAM standard: `timing: NAME` on a machine's DRAM. `file` is YAML, as einsim's standards are."""
    from einsim.sim.dram.standard import STANDARDS, Standard
    from einsim.specs.loader import decode, load_yaml

    path = Path(file).resolve()
    if not path.is_file():
        raise SpecError(f"DRAM standard '{name}'", "no such file", got=str(file), where=caller())
    decode(load_yaml(path), Standard, "dram")
    STANDARDS.register(name, path)


def _takes(what: str, function: Callable[..., Any], count: int, *names: str) -> None:
    """SpecError where a function can't be called with so many arguments and these by name."""
    try:
        signature = inspect.signature(function)
    except ValueError:  # a numpy ufunc
        return
    try:
        signature.bind(*[None] * count, **dict.fromkeys(names))
    except TypeError:
        arguments = f"{count} argument{'s' * (count > 1)}{' and ' * bool(names)}{', '.join(names)}"
        rule = f"its function must take {arguments}"
        raise SpecError(what, rule, got=str(signature), where=caller()) from None


def _elementwise(what: str, meaning: Callable[..., Any]) -> Callable[..., Any]:
    """The meaning of an op, whose value has the shape that its arguments broadcast to, or is refused."""
    import numpy as np

    @functools.wraps(meaning)
    def shaped(*arguments: Any) -> Any:
        value = np.asarray(meaning(*arguments), dtype=np.float64)
        expected = np.broadcast_shapes(*(np.shape(argument) for argument in arguments))
        if value.shape != expected:
            raise ValueError(f"must work on each element: {expected} values became {value.shape}")
        return value

    return guarded(what, shaped)
