"""Networks of separable convolutions: MobileNets, MnasNet, EfficientNets and their lite form, ShuffleNet."""

from __future__ import annotations

import math

from einsim.workloads.graphs.builder import GraphBuilder, classifier, divisible, squeeze_excite
from einsim.workloads.graphs.graph import OperatorGraph
from einsim.workloads.graphs.networks.entry import NetworkEntry, Size

V1 = "Howard et al., arXiv 1704.04861"
V2 = "Sandler et al., arXiv 1801.04381"
V3 = "Howard et al., arXiv 1905.02244"
MNASNET = "Tan et al., arXiv 1807.11626"
EFFICIENT = "Tan & Le, arXiv 1905.11946"
LITE = "Liu, EfficientNet-Lite, github.com/tensorflow/tpu, models/official/efficientnet/lite"
SHUFFLE = "Ma et al., arXiv 1807.11164"

# Output channels and stride of each separable convolution.
_V1 = ((64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), *(((512, 1),) * 5), (1024, 2), (1024, 1))
# Factor of width, rows of the image.
_V1S = {
    "mobilenet-v1": (1.0, 224), "mobilenet-v1-0.75": (0.75, 192), "mobilenet-v1-0.5": (0.5, 160),
    "mobilenet-v1-0.25": (0.25, 128),
}  # fmt: skip
_V2S = {"mobilenet-v2": 1.0, "mobilenet-v2-1.4": 1.4}
# Expansion, channels, repeats, stride of the first.
_V2 = (
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)
# Kernel, expanded channels, channels, squeeze and excite, activation, stride.
_V3: dict[str, tuple[tuple[int, int, int, bool, str, int], ...]] = {
    "mobilenet-v3-large": (
        (3, 16, 16, False, "relu", 1), (3, 64, 24, False, "relu", 2), (3, 72, 24, False, "relu", 1),
        (5, 72, 40, True, "relu", 2), (5, 120, 40, True, "relu", 1), (5, 120, 40, True, "relu", 1),
        (3, 240, 80, False, "hard-swish", 2), (3, 200, 80, False, "hard-swish", 1),
        (3, 184, 80, False, "hard-swish", 1), (3, 184, 80, False, "hard-swish", 1),
        (3, 480, 112, True, "hard-swish", 1), (3, 672, 112, True, "hard-swish", 1),
        (5, 672, 160, True, "hard-swish", 2), (5, 960, 160, True, "hard-swish", 1),
        (5, 960, 160, True, "hard-swish", 1),
    ),
    "mobilenet-v3-small": (
        (3, 16, 16, True, "relu", 2), (3, 72, 24, False, "relu", 2), (3, 88, 24, False, "relu", 1),
        (5, 96, 40, True, "hard-swish", 2), (5, 240, 40, True, "hard-swish", 1),
        (5, 240, 40, True, "hard-swish", 1),
        (5, 120, 48, True, "hard-swish", 1), (5, 144, 48, True, "hard-swish", 1),
        (5, 288, 96, True, "hard-swish", 2), (5, 576, 96, True, "hard-swish", 1),
        (5, 576, 96, True, "hard-swish", 1),
    ),
}  # fmt: skip
_V3_LAST = {"mobilenet-v3-large": 1280, "mobilenet-v3-small": 1024}
# Expansion, kernel, stride, channels, repeats.
_MNASNET = (
    (3, 3, 2, 24, 3),
    (3, 5, 2, 40, 3),
    (6, 5, 2, 80, 3),
    (6, 3, 1, 96, 2),
    (6, 5, 2, 192, 4),
    (6, 3, 1, 320, 1),
)
_MNASNETS = {"mnasnet-0.5": 0.5, "mnasnet-0.75": 0.75, "mnasnet-1.0": 1.0, "mnasnet-1.3": 1.3}
_EFFICIENT = (
    (1, 3, 1, 16, 1), (6, 3, 2, 24, 2), (6, 5, 2, 40, 2), (6, 3, 2, 80, 3), (6, 5, 1, 112, 3),
    (6, 5, 2, 192, 4),
    (6, 3, 1, 320, 1),
)  # fmt: skip
# Factors of width and depth, rows of the image.
_EFFICIENTNETS = {
    "efficientnet-b0": (1.0, 1.0, 224), "efficientnet-b1": (1.0, 1.1, 240),
    "efficientnet-b2": (1.1, 1.2, 260),
    "efficientnet-b3": (1.2, 1.4, 300), "efficientnet-b4": (1.4, 1.8, 380),
    "efficientnet-b5": (1.6, 2.2, 456),
    "efficientnet-b6": (1.8, 2.6, 528), "efficientnet-b7": (2.0, 3.1, 600),
    "efficientnet-lite0": (1.0, 1.0, 224), "efficientnet-lite1": (1.0, 1.1, 240),
    "efficientnet-lite2": (1.1, 1.2, 260),
    "efficientnet-lite3": (1.2, 1.4, 280), "efficientnet-lite4": (1.4, 1.8, 300),
}  # fmt: skip
_SHUFFLES = {
    "shufflenet-v2-x0.5": (48, 96, 192, 1024), "shufflenet-v2-x1.0": (116, 232, 464, 1024),
    "shufflenet-v2-x1.5": (176, 352, 704, 1024), "shufflenet-v2-x2.0": (244, 488, 976, 2048),
}  # fmt: skip


def inverted(
    b: GraphBuilder, x: str, expanded: int, out: int, kernel: int, stride: int, act: str, squeezed: int = 0,
    gates: tuple[str, str] = ("relu", "hard-sigmoid"),
) -> str:  # fmt: skip
    """Expand, a convolution a channel, squeeze and excite, project; added to x where it fits."""
    y = b.conv(x, expanded, 1, act=act, name="expand") if expanded != b.channels(x) else x
    y = b.conv(y, expanded, kernel, stride=stride, groups=expanded, act=act, name="depthwise")
    y = squeeze_excite(b, y, squeezed, *gates) if squeezed else y
    y = b.conv(y, out, 1, act="", name="project")
    return b.add(x, y) if stride == 1 and b.channels(x) == out else y


def _v1(name: str, size: Size) -> OperatorGraph:
    width, rows = _V1S[name]
    b = GraphBuilder(name, V1, size)
    x = b.conv(b.image(rows), int(32 * width), 3, stride=2, name="conv1")
    for at, (out, stride) in enumerate(_V1):
        with b.within(f"block{at}"):
            x = b.conv(x, b.channels(x), 3, stride=stride, groups=b.channels(x), name="depthwise")
            x = b.conv(x, int(out * width), 1, name="pointwise")
    return classifier(b, x)


def _v2(name: str, size: Size) -> OperatorGraph:
    width = _V2S[name]
    b = GraphBuilder(name, V2, size)
    x = b.conv(b.image(224), divisible(32 * width), 3, stride=2, act="relu6", name="conv1")
    for stage, (expansion, out, count, stride) in enumerate(_V2):
        for at in range(count):
            with b.within(f"block{stage}.{at}"):
                wide, made = expansion * b.channels(x), divisible(out * width)
                x = inverted(b, x, wide, made, 3, 1 if at else stride, "relu6")
    return classifier(b, b.conv(x, divisible(1280 * width), 1, act="relu6", name="last"))


def _v3(name: str, size: Size) -> OperatorGraph:
    b = GraphBuilder(name, V3, size)
    x = b.conv(b.image(224), 16, 3, stride=2, act="hard-swish", name="conv1")
    for at, (kernel, expanded, out, squeezes, act, stride) in enumerate(_V3[name]):
        with b.within(f"block{at}"):
            x = inverted(b, x, expanded, out, kernel, stride, act, divisible(expanded / 4) if squeezes else 0)
    x = b.conv(x, 6 * b.channels(x), 1, act="hard-swish", name="last")
    x = b.linear(b.flat(b.global_mean(x)), _V3_LAST[name], act="hard-swish", name="fc1")
    return b.graph(b.linear(x, 1000, name="fc2"))


def _mnasnet(name: str, size: Size) -> OperatorGraph:
    width = _MNASNETS[name]
    b = GraphBuilder(name, MNASNET, size)
    x = b.conv(b.image(224), divisible(32 * width), 3, stride=2, name="conv1")
    x = b.conv(x, b.channels(x), 3, groups=b.channels(x), name="depthwise")
    x = b.conv(x, divisible(16 * width), 1, act="", name="pointwise")
    for stage, (expansion, kernel, stride, out, count) in enumerate(_MNASNET):
        for at in range(count):
            with b.within(f"block{stage}.{at}"):
                x = inverted(
                    b,
                    x,
                    expansion * b.channels(x),
                    divisible(out * width),
                    kernel,
                    1 if at else stride,
                    "relu",
                )
    return classifier(b, b.conv(x, 1280, 1, name="last"))


def _efficientnet(name: str, size: Size) -> OperatorGraph:
    wide, deep, rows = _EFFICIENTNETS[name]
    lite = "lite" in name
    act = "relu6" if lite else "silu"
    b = GraphBuilder(name, LITE if lite else EFFICIENT, size)
    x = b.conv(b.image(rows), 32 if lite else divisible(32 * wide), 3, stride=2, act=act, name="stem")
    for stage, (expansion, kernel, stride, out, count) in enumerate(_EFFICIENT):
        fixed = lite and stage in {0, len(_EFFICIENT) - 1}
        for at in range(count if fixed else math.ceil(count * deep)):
            before = b.channels(x)
            with b.within(f"block{stage}.{at}"):
                x = inverted(
                    b, x, expansion * before, divisible(out * wide), kernel, 1 if at else stride, act,
                    0 if lite else max(1, before // 4), ("silu", "sigmoid"),
                )  # fmt: skip
    return classifier(b, b.conv(x, 1280 if lite else 4 * b.channels(x), 1, act=act, name="head"))


def _shuffled(b: GraphBuilder, left: str, right: str) -> str:
    """Two halves whose channels alternate."""
    x = b.concat(left, right)
    batch, channels, rows, columns = b.shapes[x]
    x = b.transpose(b.reshape(x, batch, 2, channels // 2, rows, columns), 0, 2, 1, 3, 4)
    return b.reshape(x, batch, channels, rows, columns)


def _shufflenet(name: str, size: Size) -> OperatorGraph:
    *outs, last = _SHUFFLES[name]
    b = GraphBuilder(name, SHUFFLE, size)
    x = b.pool(b.conv(b.image(224), 24, 3, stride=2, name="conv1"), "max", 3, 2, 1)
    for stage, (out, count) in enumerate(zip(outs, (4, 8, 4), strict=True), 2):
        half = out // 2
        for at in range(count):
            with b.within(f"stage{stage}.{at}"):
                left, right, stride = x, x, 1 if at else 2
                if at:
                    left, right = b.part(x, 0, half), b.part(x, half, out)
                else:
                    left = b.conv(
                        x, b.channels(x), 3, stride=2, groups=b.channels(x), act="", name="left.depthwise"
                    )
                    left = b.conv(left, half, 1, name="left.pointwise")
                right = b.conv(right, half, 1, name="conv1")
                right = b.conv(right, half, 3, stride=stride, groups=half, act="", name="depthwise")
                right = b.conv(right, half, 1, name="conv2")
                x = _shuffled(b, left, right)
    return classifier(b, b.conv(x, last, 1, name="last"))


ENTRIES = (
    *(NetworkEntry(name=name, source=V1, build=_v1) for name in _V1S),
    *(NetworkEntry(name=name, source=V2, build=_v2) for name in _V2S),
    *(NetworkEntry(name=name, source=V3, build=_v3) for name in _V3),
    *(NetworkEntry(name=name, source=MNASNET, build=_mnasnet) for name in _MNASNETS),
    *(
        NetworkEntry(name=name, source=LITE if "lite" in name else EFFICIENT, build=_efficientnet)
        for name in _EFFICIENTNETS
    ),
    *(NetworkEntry(name=name, source=SHUFFLE, build=_shufflenet) for name in _SHUFFLES),
)
