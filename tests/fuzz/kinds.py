"""The kinds of cases: each draws its input, runs commands on a bench, and is judged there."""

from __future__ import annotations

import json
from collections.abc import Callable
from copy import deepcopy
from importlib import import_module
from typing import Any, Final

from einsim.cli.group import COMMANDS
from einsim.specs.yaml_reader import read_yaml
from tests.fuzz import cascades, machines, searches
from tests.fuzz.bench import Bench, FaultError
from tests.fuzz.draw import ODD, Draw, anywhere, as_yaml, garble, mutate
from tests.fuzz.networks import network_case

TEMPLATES: Final = (
    "template", "template", "unfused", "resident", "flat", "fusemax-interleaved", "fusemax-stalled", "fusemax-on-flat",
)  # fmt: skip
NAMES: Final = (
    "tpu-v4i", "fusemax-cloud", "flat-edge", "flat-cloud", "eyeriss-like", "gemmini", "sa8295p", "u280-flightllm",
    "vcu1525-sat", "vhk158-flightllm", "h100-sxm",
)  # fmt: skip
CONFIGS: Final[tuple[dict[str, Any], ...]] = (
    {"model_type": "bert", "hidden_size": 64, "num_attention_heads": 4, "intermediate_size": 96,
     "num_hidden_layers": 2, "hidden_act": "gelu"},
    {"model_type": "gpt2", "n_embd": 32, "n_head": 2, "n_inner": None, "n_layer": 3, "activation_function": "gelu_new"},
    {"model_type": "llama", "hidden_size": 64, "num_attention_heads": 4, "num_key_value_heads": 2,
     "intermediate_size": 96, "num_hidden_layers": 2, "hidden_act": "silu", "head_dim": 16},
    {"model_type": "mistral", "hidden_size": 64, "num_attention_heads": 4, "num_key_value_heads": 2,
     "intermediate_size": 96, "num_hidden_layers": 2, "hidden_act": "silu", "sliding_window": 8},
    {"model_type": "qwen2", "hidden_size": 64, "num_attention_heads": 4, "num_key_value_heads": 2,
     "intermediate_size": 96, "num_hidden_layers": 2, "hidden_act": "silu", "use_sliding_window": True, "sliding_window": 4},
    {"model_type": "t5", "d_model": 32, "d_kv": 8, "d_ff": 64, "num_heads": 4, "num_layers": 2,
     "feed_forward_proj": "gated-gelu"},
)  # fmt: skip


def chip(draw: Draw, bench: Bench, changed: float = 0.4) -> str:
    """A machine by name or file, changed in some."""
    if draw.chance(0.25):
        return draw.choice(NAMES)
    data = machines.machine(draw)
    if draw.chance(changed):
        data = mutate(draw, data, draw.randint(1, 3))
    text = as_yaml(data)
    return bench.file("chip.yaml", garble(draw, text) if draw.chance(0.1 * changed) else text)


def work(draw: Draw, bench: Bench, changed: float = 0.15) -> list[str]:
    """A workload by name or file, with settings."""
    if draw.chance(0.2):
        return cascades.known(draw)
    data = cascades.file(draw)
    if draw.chance(changed):
        data = mutate(draw, data, draw.randint(1, 3))
    text = as_yaml(data)
    return [bench.file("work.yaml", garble(draw, text) if draw.chance(0.1 * changed) else text)]


def machine_case(draw: Draw, bench: Bench) -> None:
    """A machine, changed as a rule, and what `run` makes of it."""
    bench.both_levels(
        *cascades.known(draw), "--accel", chip(draw, bench, 0.7), "--mapping", draw.choice(TEMPLATES)
    )


def cascade_case(draw: Draw, bench: Bench) -> None:
    """A cascade, changed as a rule, on a preset, and its passes."""
    given = work(draw, bench, 0.6)
    bench.run("passes", *given, *(["--json"] if draw.chance(0.5) else []))
    bench.both_levels(*given, "--accel", draw.choice(NAMES))


def legal_case(draw: Draw, bench: Bench) -> None:
    """What is legal as a rule: all laws, and in some the oracle."""
    given = [*work(draw, bench, 0.0), "--accel", chip(draw, bench, 0.0)]
    template = draw.choice(TEMPLATES) if draw.chance(0.3) else "template"
    bench.both_levels(*given, "--mapping", template, check=draw.chance(0.15))


def search_case(draw: Draw, bench: Bench) -> None:
    """A search, restricted by flags in most."""
    given = [*work(draw, bench, 0.05), "--accel", chip(draw, bench, 0.1)]
    searches.search(draw, bench, given, searches.flags(draw) if draw.chance(0.8) else ())


def mapping_case(draw: Draw, bench: Bench) -> None:
    """A default that is written to a file, changed there, and read again."""
    given = [*work(draw, bench, 0.0), "--accel", chip(draw, bench, 0.0)]
    path = bench.folder / "mapping.yaml"
    first = bench.run("run", *given, "--level", "analytical", "--json", "--save-mapping", str(path))
    if first.code or not path.exists():
        return
    text = path.read_text(encoding="utf-8")
    if draw.chance(0.2):
        again = bench.run("run", *given, "--level", "analytical", "--json", "--mapping", str(path))
        if again.code or figures(again.out) != figures(first.out):
            raise FaultError("a mapping that was written gives other figures when it is read")
        return
    data = mutate(draw, deepcopy(read_yaml(text, "mapping.yaml").data), draw.randint(1, 2))
    changed = garble(draw, text) if draw.chance(0.15) else as_yaml(data)
    name = bench.file("changed.yaml", changed)
    if draw.chance(0.2):
        bench.run("explain", name, "--workload", *given[:1], *given[-2:], *given[1:-2])
    bench.both_levels(*given, "--mapping", name, check=draw.chance(0.3))


def figures(text: str) -> dict[str, Any]:
    """What `run --json` prints but for what the mapping is called."""
    return {key: value for key, value in json.loads(text).items() if key != "mapping"}


def config_case(draw: Draw, bench: Bench) -> None:
    """A model's configuration, changed as a rule."""
    data = dict(draw.choice(CONFIGS))
    for _ in range(draw.choice((0, 1, 1, 2))):
        data[draw.choice(list(data))] = draw.choice(ODD) if draw.chance(0.7) else draw.size()
    text = json.dumps(data, indent=1)
    if draw.chance(0.15):
        text = garble(draw, text)
    elif draw.chance(0.1):
        text = json.dumps(anywhere(draw, data) if draw.chance(0.5) else draw.choice(ODD))
    name = bench.file("config.json", text)
    given = [
        name,
        "--set",
        f"seq={draw.choice((1, 3, 8))}",
        *draw.some(("phase=decode", "passes=1", "b=2", "causal=true"), 0.2),
    ]
    said = bench.run("passes", *given)
    if said.code == 0 and draw.chance(0.03):
        bench.both_levels(*given, "--accel", draw.choice(NAMES))


def result_case(draw: Draw, bench: Bench) -> None:
    """A result that is kept, changed, and reported."""
    path = bench.folder / "kept.json"
    given = [*cascades.known(draw), "--accel", draw.choice(NAMES)]
    bench.run("run", *given, *(["--json"] if draw.chance(0.3) else []), "-o", str(path), "--level",
              draw.choice(("sim", "analytical")))  # fmt: skip
    if not path.exists():
        return
    text = path.read_text(encoding="utf-8")
    if draw.chance(0.2):
        if bench.run("report", str(path), "-o", str(bench.folder / "page.html")).code:
            raise FaultError("a result that einsim wrote isn't read")
        return
    data = mutate(draw, json.loads(text), draw.randint(1, 2))
    changed = garble(draw, text) if draw.chance(0.2) else json.dumps(data, indent=1)
    bench.run("report", bench.file("changed.json", changed), "-o", str(bench.folder / "page.html"))


def flag_case(draw: Draw, bench: Bench) -> None:
    """Flags and settings of any text."""
    command = draw.choice(
        (
            "run",
            "run",
            "run",
            "map",
            "explain",
            "passes",
            "accuracy",
            "trace",
            "report",
            "list",
            "schema",
            "validate",
        )
    )
    values = [
        *(str(value) for value in ODD if value is not None),
        "4",
        "16",
        "tpu-v4i",
        "softmax",
        "template",
        "sim",
    ]
    known = import_module(COMMANDS[command][0]).command.params
    flags = [
        param.opts[-1] for param in known if param.opts[-1].startswith("--") and param.opts[-1] != "--output"
    ]
    words = {
        "run": ["softmax", "--accel", "tpu-v4i"], "map": ["softmax", "--accel", "tpu-v4i", "--effort", "quick"],
        "explain": ["template", "--workload", "softmax", "--accel", "tpu-v4i"], "passes": ["softmax"], "accuracy": ["softmax"],
        "trace": ["softmax", "--accel", "tpu-v4i", "-o", str(bench.folder / draw.choice(("t.json", "t.vcd", "t.pftrace", "t.x")))],
        "report": ["softmax", "--accel", "tpu-v4i", "-o", str(bench.folder / "page.html")],
        "list": [draw.choice(("workloads", "accels", "x", "designs"))], "schema": [draw.choice(("machine", "cascade", "x"))],
        "validate": ["x"],
    }[command]  # fmt: skip
    for _ in range(draw.randint(0, 2)):
        words.append(draw.choice(flags or ["--x"]))
        if draw.chance(0.85):
            words.append(draw.choice(values))
    if draw.chance(0.1):
        words[draw.randrange(len(words))] = draw.choice(values)
    if command in ("run", "map", "explain", "trace", "report", "passes", "accuracy"):
        words += ["--set", "p=8", "d=4"]
        keys = ("p", "d", "bits", "x", "accel.array.rows", "accel.clock", "accel.dram.bandwidth", "array.ops.mac.energy",
                "accel", "accel.", "accel.array.ops.mac.by_bits.16.cycles", "accel.local.holds.0", "", "p.q")  # fmt: skip
        words += [f"{draw.choice(keys)}={draw.choice(values)}" for _ in range(draw.choice((0, 1, 1, 2)))]
    bench.run(command, *words)


def api_case(draw: Draw, bench: Bench) -> None:
    """Functions as scripts call them, with values of any type."""
    import einsim

    sizes: dict[Any, Any] = {"p": draw.size(), "d": draw.size()}
    if draw.chance(0.5):
        sizes[draw.choice(("p", "d", "bits", "accel.array.rows", "array.ops", "x", 3))] = draw.choice(ODD)
    settings: Any = sizes if draw.chance(0.9) else draw.choice(ODD)
    name: Any = "softmax" if draw.chance(0.95) else draw.choice(ODD)
    accel: Any = draw.choice(NAMES) if draw.chance(0.95) else draw.choice(ODD)
    which = draw.choice(
        ("evaluate", "evaluate", "sweep", "load_machine", "load_workload", "load_result", "parse_cascade")
    )
    if which == "evaluate":
        more: dict[str, Any] = draw.maybe(0.5, **{draw.choice(("mapping", "level", "objective", "within_bytes", "effort",
                                                               "workers", "starts", "budget_s")): draw.choice(ODD)})  # fmt: skip
        found = bench.call(einsim.evaluate, name, accel, settings=settings, **more)
        if found is not None:
            bench.hold_evaluation(found)
    elif which == "sweep":
        points: Any = [{"p": draw.size(), "d": 4} for _ in range(2)]
        points = draw.choice((points, [settings], [settings, {"p": 3, "d": 2}], settings))
        every = bench.call(lambda: list(einsim.sweep(name, accel, points, workers=1)))
        for one in every or []:
            if isinstance(one, einsim.Evaluation):
                bench.hold_evaluation(one)
    elif which == "load_machine":
        bench.call(einsim.load_machine, accel, settings)
    elif which == "load_workload":
        bench.call(einsim.load_workload, name, settings)
    elif which == "parse_cascade":
        text: Any = garble(draw, cascades.chain(draw)) if draw.chance(0.8) else draw.choice(ODD)
        bench.call(
            einsim.parse_cascade,
            text,
            sizes={rank: draw.size() for rank in "mknxyz"} if draw.chance(0.8) else settings,
        )
    else:
        bench.call(einsim.load_result, draw.choice(ODD))


def rtl_case(draw: Draw, bench: Bench) -> None:
    """The RTL of any machine: a project, or one line."""
    folder = bench.folder / draw.choice(("rtl", "a b", "it's", "$(x)", 'q"q', "{design}"))
    units = (
        ["--unit", draw.choice(("mm", "vec", "array2d", "end", "mv", "", "x"))] if draw.chance(0.4) else []
    )
    said = bench.run("rtl", "emit", chip(draw, bench, 0.2), "-o", str(folder), *units)
    if said.code == 0:
        compile((folder / "test_array.py").read_text(encoding="utf-8"), "test_array.py", "exec")
        json.loads((folder / "jobs.json").read_text(encoding="utf-8"))


Kind = Callable[[Draw, Bench], None]
KINDS: Final[dict[Kind, int]] = {
    machine_case: 17, cascade_case: 12, legal_case: 12, search_case: 2, mapping_case: 7, config_case: 12,
    network_case: 7, result_case: 4, flag_case: 14, api_case: 8, rtl_case: 5,
}  # fmt: skip
"""The kinds, and how many of every hundred cases or so are of each."""


def play(seed: int, case: int, bench: Bench) -> str:
    """Run a case; the name of its kind. FaultError where it finds one."""
    draw = Draw(f"{seed}:{case}")
    (kind,) = draw.choices(list(KINDS), list(KINDS.values()))
    bench.log.append(f"{kind.__name__} {seed}:{case}")
    kind(draw, bench)
    return kind.__name__
