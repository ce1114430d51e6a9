"""The public edge of functions: what a script gives is checked, and faults are told in a script's words."""

from __future__ import annotations

import builtins
import functools
import inspect
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from einsim.specs.argument import check_fields, fitting
from einsim.specs.errors import RuleError, SpecError, dotted
from einsim.specs.extensions import caller
from einsim.specs.remembered import Remembered

MAKERS: Final = {
    "Cascade": "load_workload or parse_cascade makes one",
    "Evaluation": "evaluate makes one",
    "Gpu": "load_gpu makes one",
    "Machine": "load_machine makes one",
    "Mapping": "build_mapping or load_mapping makes one",
    "ModelResult": "evaluate_model makes one",
    "Program": "lower makes one",
    "Result": "simulate and analyse make one, and evaluate(...).result is one",
}
"""What gives a value of a type that a user doesn't write."""
FLAG: Final = re.compile(r"--([a-z]\w*)")
WRITTEN: Final = ("Mapping", "parameters")
"""What users make of parts, which nothing checks as they are made."""
TAKES: Final = {"set": ("settings", "overrides", "points"), "mapping": ("mapping", "template")}
"""The parameters that take what a flag does, where they are not called like it."""
_CHECKED: Final = Remembered[object](64)
"""Mappings whose fields fit, by their identity, which is theirs as long as they are here."""


def public(name: str, function: Callable[..., Any], names: Callable[[str], object]) -> Callable[..., Any]:
    """A function as scripts have it by its public name, each argument checked by its annotation.

    `names` gives einsim's public names, for annotations whose own are only there for the type checker. A
    fault is one SpecError with the script's line, the parameter, the rule and the value.
    """
    signature = inspect.signature(function)

    @functools.cache
    def kind(parameter: str) -> object:
        return _kind(signature.parameters[parameter].annotation, inspect.unwrap(function).__globals__, names)

    @functools.wraps(function)
    def call(*arguments: Any, **named: Any) -> Any:
        try:
            given = signature.bind(*arguments, **named)
        except TypeError:
            return function(*arguments, **named)  # raises: Python says what is missing or too much
        for parameter, value in given.arguments.items():
            if value is not signature.parameters[parameter].default:
                given.arguments[parameter] = _checked(name, parameter, value, kind(parameter))
        try:
            _together(name, given.arguments)
            found = function(*given.args, **given.kwargs)
            return one_by_one(found) if inspect.isgenerator(found) else found
        except SpecError as error:
            raise _for_scripts(error, name, signature.parameters) from error

    def one_by_one(found: Iterator[Any]) -> Iterator[Any]:
        try:
            yield from found
        except SpecError as error:
            raise _for_scripts(error, name, signature.parameters) from error

    call.__module__, call.__qualname__, call.__name__ = "einsim", name, name
    return call


def _checked(function: str, parameter: str, value: object, kind: object) -> Any:
    try:
        fit = fitting(value, kind)
        if type(fit).__name__ in WRITTEN:
            _CHECKED.get(id(fit), lambda: _with_fields(fit))
        elif parameter in WRITTEN:
            check_fields(fit)
        return fit
    except RuleError as error:
        path = dotted((f"{function}({parameter})", *error.at))
        maker = next((how for name, how in MAKERS.items() if error.rule.endswith(f" {name}")), "")
        if maker and type(value).__name__ == "Gpu":
            maker = "a GPU runs kernels as they are: evaluate takes it, nothing else"
        raise SpecError(path, error.rule, got=error.got, where=caller(), hint=error.hint or maker) from None


def _with_fields(value: object) -> object:
    check_fields(value)
    return value


def _together(function: str, given: Mapping[str, Any]) -> None:
    """SpecError for a mapping that is not legal on its machine, or a program that is another machine's."""
    if {"mapping", "cascade", "machine"} <= given.keys():
        from einsim.dataflow.legality import check

        check(given["mapping"], given["cascade"], given["machine"])
    space = given.get("space")
    if space is not None and (space.cascade, space.machine) != (given["cascade"], given["machine"]):
        rule = "is of another cascade or machine than are given beside it"
        raise SpecError(f"{function}(space)", rule, where=caller())
    if "program" in given and given["program"].accel != given["machine"].name:
        rule = f"is not the machine that the program was lowered for, '{given['program'].accel}'"
        hint = "lower the mapping for it"
        raise SpecError(f"{function}(machine)", rule, got=given["machine"].name, where=caller(), hint=hint)


def _kind(annotation: object, globals_: Mapping[str, Any], names: Callable[[str], object]) -> object:
    """What an annotation means, in the function's module."""
    if not isinstance(annotation, str):
        return Any if annotation is inspect.Parameter.empty else annotation
    return eval(annotation, {}, _Names(globals_, names))  # noqa: S307 - einsim's own source


class _Names(dict[str, Any]):
    """The names of a module, then einsim's public ones."""

    def __init__(self, globals_: Mapping[str, Any], names: Callable[[str], object]) -> None:
        super().__init__(globals_)
        self._names = names

    def __missing__(self, name: str) -> object:
        try:
            return self._names(name)
        except AttributeError:
            if hasattr(builtins, name):
                raise KeyError(name) from None
            return Any  # of what a user's function returns, which is for whoever calls it to judge


def _for_scripts(error: SpecError, function: str, parameters: Mapping[str, object]) -> SpecError:
    """The error with parameters in the place of the command line's flags."""

    def parameter(flag: re.Match[str]) -> str:
        return next((one for one in TAKES.get(flag[1], (flag[1],)) if one in parameters), flag[0])

    where, flag = error.where, FLAG.match(error.where)
    if flag and parameter(flag) != flag[0]:
        key = error.where[flag.end() :].strip()
        where = f"{caller()} {function}({parameter(flag)})" + f".{key}" * bool(key)
    rule, hint = (FLAG.sub(parameter, text) for text in (error.rule, error.hint))
    if (where, rule, hint) == (error.where, error.rule, error.hint):
        return error
    return SpecError(error.path, rule, got=error.got, where=where, hint=hint)
