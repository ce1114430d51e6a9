"""A network as a model: its settings, and the phases that they ask for.

Prompts are read one request after the other; decode steps take all requests together, each at its own
length. Of a network with an encoder the encoder comes first, then a decoder's first token.
"""

from __future__ import annotations

import re
from collections.abc import Callable

import msgspec
from msgspec.structs import replace

from einsim.specs.errors import SpecError
from einsim.workloads.cascade import Cascade
from einsim.workloads.models import parts as counted
from einsim.workloads.models import roles
from einsim.workloads.models.flow import layers_flow
from einsim.workloads.models.model import CHIP, PART_PARAMETERS, Choices, ModelSize, Phase
from einsim.workloads.models.network import Layer, Moe, Network, Quantization, SoftmaxAttention
from einsim.workloads.models.parts import ModelPart
from einsim.workloads.models.quantized import form_of, quantized
from einsim.workloads.models.step import Step
from einsim.workloads.settings import Parameter, Settings

PREFILL, DECODE, ENCODE = "prefill", "decode", "encode"

PARAMETERS = (
    *PART_PARAMETERS,
    Parameter(
        name="phase", kind="choice", choices=(PREFILL, DECODE),
        summary="only the prompt, or only new tokens on a cache; by default the prompt, then `decode` tokens",
    ),
    Parameter(
        name="seq", kind="sizes", default=(4096,),
        summary="tokens of the prompt, or in the cache with phase=decode; 512+1024 are two requests",
    ),
    Parameter(
        name="decode", kind="size", least=0, summary="new tokens of each request (0; 1 with phase=decode)"
    ),
    Parameter(name="b", kind="size", default=1, summary="batch: as many of each request"),
    Parameter(name="p", kind="size", summary="new tokens that a decode step takes at once (1)"),
    Parameter(
        name="source_seq", kind="size", summary="tokens of the encoder that a decoder attends to (seq)"
    ),
    Parameter(
        name="passes", kind="choice", choices=("3", "2", "1"), default="3", open=True,
        summary="passes over the keys",
    ),
    Parameter(name="m0", kind="size", summary="keys in a block of the 2- and 1-pass cascades (256)"),
    Parameter(name="absorb", kind="flag", summary="latent attention on the latents (in decode steps)"),
    Parameter(name="load", kind="text", summary="how much falls on each expert, in proportion: 8+4+2+1"),
    Parameter(name="skew", kind="text", summary="or by Zipf's law, with this exponent (0: all alike)"),
    Parameter(name="capacity", kind="text", summary="most tokens of an expert, in shares of an even load"),
    Parameter(name="causal", kind="flag", summary="a query sees no later key (as the model)"),
    Parameter(name="window", kind="size", summary="a query sees so many latest keys (as the model)"),
    Parameter(name="bits", kind="size", default=16, summary="bits of every value but those below"),
    Parameter(name="weights", kind="size", summary="bits of the matrices' values (as stored, or bits)"),
    Parameter(
        name="group", kind="size", summary="values of a matrix that share a scale of 16 bits and a zero point"
    ),
    Parameter(name="activations", kind="size", summary="bits of activations and states (bits)"),
    Parameter(name="kv", kind="size", summary="bits of cached keys and values (bits)"),
)  # fmt: skip


class NetworkModel(msgspec.Struct, frozen=True, kw_only=True):
    """`batch` is what `b` is where nothing else is said."""

    network: Network
    batch: int = 1

    @property
    def name(self) -> str:
        """The network's."""
        return self.network.name

    @property
    def summary(self) -> str:
        """Layers, width and parameters."""
        network = self.network
        encoder = f"{len(network.encoder.layers)} + " if network.encoder else ""
        return (
            f"model of {encoder}{len(network.layers)} layers, hidden {network.hidden}, "
            f"{counted.parameters(network) / 1e6:,.0f} M parameters"
        )

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        """Those of every network, with this one's batch and tokens."""
        fixed = fixed_tokens(self.network)
        own: dict[str, object] = {"b": self.batch, **({"seq": (fixed,)} if fixed else {})}
        return tuple(replace(one, default=own.get(one.name, one.default)) for one in PARAMETERS)

    def size(self, settings: Settings) -> ModelSize:
        """With weights as `weights` says, else as the file stores them."""
        network, bits = self.network, settings.size("bits")
        return ModelSize(
            parameters=counted.parameters(network), active_parameters=counted.active_parameters(network),
            layers=len(network.layers) + (len(network.encoder.layers) if network.encoder else 0),
            weight_bytes=counted.weight_bytes(network, given_form(settings), bits),
            kv_bytes_per_token=counted.kv_bytes_per_token(network, settings.size("kv", bits)),
            state_bytes=counted.state_bytes(network, settings.size("activations", bits)),
            batch=settings.size("b"),
        )  # fmt: skip

    def phases(self, settings: Settings) -> tuple[Phase, ...]:
        """Encoder, prompts and new tokens, as far as the settings ask for them."""
        flow = layers_flow if settings.text("between") == CHIP else None
        return tuple(replace(phase, flow=flow) for phase in self._phases(settings))

    def _phases(self, settings: Settings) -> tuple[Phase, ...]:
        network = _overridden(self.network, settings)
        prompts, batch = settings.sizes("seq"), settings.size("b")
        fixed = fixed_tokens(network)
        if not any(isinstance(layer.mlp, Moe) for layer in network.layers):
            for name in ("load", "skew", "capacity"):
                if settings.given(name):
                    raise settings.error(name, "the model has no experts")
        if fixed and any(length != fixed for length in prompts):
            raise settings.error("seq", f"must be {fixed}: what the model sees at once")
        if not network.decodes:
            return (_encoding(network, settings, prompts, batch),)
        return tuple(_decoder(network, settings, prompts, batch))


def fixed_tokens(network: Network) -> int:
    """Tokens of an image; 0 where an input has any length."""
    patches = network.embedding.patches
    return patches.tokens if patches else 0


def _encoding(network: Network, settings: Settings, prompts: tuple[int, ...], batch: int) -> Phase:
    if settings.text("phase") == DECODE or settings.size("decode", 0):
        raise settings.error(
            "phase" if settings.given("phase") else "decode", "a bidirectional model has no decode step",
            hint="causal=true makes it a decoder",
        )  # fmt: skip
    return Phase(
        name=ENCODE, lengths=_each(prompts), tokens=batch * sum(prompts),
        parts=_parts(network, settings, lambda tokens: _encode(tokens, batch, settings)),
    )  # fmt: skip


def _decoder(network: Network, settings: Settings, prompts: tuple[int, ...], batch: int) -> list[Phase]:
    """The phases of a model that makes tokens one after the other."""
    only, encoder = settings.text("phase"), network.encoder
    new = settings.size("decode", settings.size("p", 1) if only == DECODE else 0)
    if settings.given("p") and not new:
        raise settings.error("p", "is for decode steps: a prompt takes all of its tokens at once")
    if only == PREFILL and new:
        raise settings.error("decode", "must be 0 with phase=prefill", hint="leave phase out to have both")
    found = []
    source = source_tokens(network, settings, prompts)
    if encoder and only != DECODE:
        stem = encoder
        found.append(Phase(
            name=ENCODE, lengths=_each((source,) * len(prompts)), tokens=batch * source * len(prompts),
            parts=_parts(
                stem, settings, lambda tokens: _encode(tokens, batch, settings), "encoder "
            ),
        ))  # fmt: skip
        prompts = (1,) * len(prompts)
    if only != DECODE:
        found.append(Phase(
            name=PREFILL, lengths=_each(prompts), tokens=batch * sum(prompts),
            parts=_parts(network, settings, lambda tokens: _formed(
                Step(phase="prefill", tokens=tokens, batch=batch, source=source), settings
            )),
        ))  # fmt: skip
    if new:
        found.append(_decoding(network, settings, prompts, batch, new, source))
    return found


def _decoding(
    network: Network, settings: Settings, prompts: tuple[int, ...], batch: int, new: int, source: int
) -> Phase:
    """Steps of p tokens; on a cache that is given, the first step's own tokens are counted in it."""
    p = settings.size("p", 1)
    if new % p:
        raise settings.error("decode", f"must be a multiple of p, the {p} tokens of a step")
    before = p if settings.text("phase") == DECODE else 0
    if any(length < before for length in prompts):
        raise settings.error("p", f"must be <= seq ({min(prompts)}), which counts the new tokens too")
    every = batch * len(prompts)
    firsts = [length - before for length in prompts]
    return Phase(
        name=DECODE, lengths=tuple(range(first, first + new, p) for first in firsts), tokens=every * new,
        together=True, kinks=_kinks(network, min(firsts), max(firsts) + new),
        parts=_parts(network, settings, lambda cached: _formed(
            Step(phase="decode", tokens=p, cached=cached, batch=every, source=source), settings
        )),
    )  # fmt: skip


def source_tokens(network: Network, settings: Settings, prompts: tuple[int, ...]) -> int:
    """Tokens of the encoder: those that its stem makes of sound, else as many as are given."""
    encoder = network.encoder
    if encoder is None:
        if settings.given("source_seq"):
            raise settings.error("source_seq", "the model has no encoder")
        return 0
    if encoder.embedding.stem:
        return settings.size("source_seq", encoder.embedding.positions)
    return settings.size("source_seq", max(prompts))


def _each(lengths: tuple[int, ...]) -> tuple[range, ...]:
    return tuple(range(length, length + 1) for length in lengths)


def _encode(tokens: int, batch: int, settings: Settings) -> Step:
    return _formed(Step(phase="encode", tokens=tokens, batch=batch), settings)


def _formed(step: Step, settings: Settings) -> Step:
    """The step in the form that the settings choose."""
    chosen = {name: settings.values[name] for name in ("passes", "m0", "absorb") if settings.given(name)}
    return replace(
        step, **chosen, load=_load(settings), skew=_number(settings, "skew"),
        capacity=_number(settings, "capacity"),
    )  # fmt: skip


def _load(settings: Settings) -> tuple[int, ...]:
    words = re.split(r"[,+\s]+", settings.text("load").strip("[]() ")) if settings.given("load") else []
    if any(not word.isdecimal() or len(word) > 15 for word in words):
        raise settings.error("load", "must be whole numbers such as 8+4+2+1, one an expert")
    return tuple(int(word) for word in words)


def _number(settings: Settings, name: str) -> float:
    """A number from 0 to 1000; 0 where it isn't set."""
    text = settings.text(name) or "0"
    if not re.fullmatch(r"\d{1,4}(\.\d{1,9})?", text) or float(text) > 1000:
        raise settings.error(name, "must be a number from 0 to 1000")
    return float(text)


def _parts(
    network: Network, settings: Settings, step: Callable[[int], Step], prefix: str = ""
) -> Callable[[int, Choices], tuple[ModelPart, ...]]:
    """The parts by length, in the settings' widths; `passes` may be chosen later."""

    def made(length: int, choices: Choices) -> tuple[ModelPart, ...]:
        own = replace(step(length), **choices)
        return tuple(
            replace(part, name=prefix + part.name, cascade=_in_widths(network, part, settings))
            for part in counted.parts(network, own)
        )

    return made


def given_form(settings: Settings) -> Quantization | None:
    """How the settings want matrices stored; None: as the file says."""
    if not settings.given("weights"):
        if settings.given("group"):
            raise settings.error("group", "needs weights, the bits of the values that share a scale")
        return None
    bits, group = settings.size("weights"), settings.size("group", 0)
    return Quantization(bits=bits, group=group, zero_bits=bits if group else 0, routers=True)


def _in_widths(network: Network, part: ModelPart, settings: Settings) -> Cascade:
    bits = settings.size("bits")
    cascade = roles.with_widths(
        part.cascade, weight=bits, activation=settings.size("activations", bits),
        kv=settings.size("kv", bits), other=bits,
    )  # fmt: skip
    form = form_of(given_form(settings), network.quantization, bool(part.places), bool(part.chosen))
    return quantized(cascade, form, part.tables) if form else cascade


def _overridden(network: Network, settings: Settings) -> Network:
    """The network with the settings' mask in every attention that mixes its own tokens."""
    changes: dict[str, object] = {}
    if settings.given("causal"):
        changes["causal"] = settings.flag("causal")
    if settings.given("window"):
        changes["window"] = settings.size("window")
    if not changes:
        return network

    def changed(layer: Layer) -> Layer:
        mixer = layer.mixer
        return (
            replace(layer, mixer=replace(mixer, **changes)) if isinstance(mixer, SoftmaxAttention) else layer
        )

    layers = tuple(changed(layer) for layer in network.layers)
    if layers == network.layers:
        raise SpecError(next(iter(changes)), "the model has no softmax attention", where=settings.where)
    return replace(network, layers=layers)


def _kinks(network: Network, first: int, end: int) -> tuple[int, ...]:
    """Lengths from `first` to `end` at which a window is full or a new chunk begins."""
    found: set[int] = set()
    for mixer in {layer.mixer for layer in network.layers}:
        if isinstance(mixer, SoftmaxAttention) and mixer.window:
            found |= {mixer.window - 1}
        if isinstance(mixer, SoftmaxAttention) and mixer.chunk:
            found |= {at + side for at in range(0, end + 1, mixer.chunk) for side in (-1, 0)}
    return tuple(sorted(at for at in found if first < at < end))
