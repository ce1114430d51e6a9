"""ResNet and its kin: wide and grouped ones, RegNet. Strides are on the 3x3 convolutions (v1.5)."""

from __future__ import annotations

import math

from einsim.workloads.graphs.builder import GraphBuilder, classifier, divisible, squeeze_excite
from einsim.workloads.graphs.graph import OperatorGraph
from einsim.workloads.graphs.networks.entry import NetworkEntry, Size

RESNET = "He et al., arXiv 1512.03385"
WIDE = "Zagoruyko & Komodakis, arXiv 1605.07146"
GROUPED = "Xie et al., arXiv 1611.05431"
REGNET = "Radosavovic et al., arXiv 2003.13678"

# name: blocks of each stage, bottleneck, groups, width of a group at 64 planes, source
_ROWS: dict[str, tuple[tuple[int, ...], bool, int, int, str]] = {
    "resnet-18": ((2, 2, 2, 2), False, 1, 64, RESNET),
    "resnet-34": ((3, 4, 6, 3), False, 1, 64, RESNET),
    "resnet-50": ((3, 4, 6, 3), True, 1, 64, RESNET),
    "resnet-101": ((3, 4, 23, 3), True, 1, 64, RESNET),
    "resnet-152": ((3, 8, 36, 3), True, 1, 64, RESNET),
    "wide-resnet-50": ((3, 4, 6, 3), True, 1, 128, WIDE),
    "wide-resnet-101": ((3, 4, 23, 3), True, 1, 128, WIDE),
    "resnext-50-32x4d": ((3, 4, 6, 3), True, 32, 4, GROUPED),
    "resnext-101-32x8d": ((3, 4, 23, 3), True, 32, 8, GROUPED),
    "resnext-101-64x4d": ((3, 4, 23, 3), True, 64, 4, GROUPED),
}  # fmt: skip

# name: depth, initial width, its slope, its factor, width of a group, squeeze and excite
_REGNETS: dict[str, tuple[int, int, float, float, int, bool]] = {
    "regnet-x-400mf": (22, 24, 24.48, 2.54, 16, False),
    "regnet-x-800mf": (16, 56, 35.73, 2.28, 16, False),
    "regnet-x-1.6gf": (18, 80, 34.01, 2.25, 24, False),
    "regnet-x-3.2gf": (25, 88, 26.31, 2.25, 48, False),
    "regnet-x-8gf": (23, 80, 49.56, 2.88, 120, False),
    "regnet-y-400mf": (16, 48, 27.89, 2.09, 8, True),
    "regnet-y-800mf": (14, 56, 38.84, 2.4, 16, True),
    "regnet-y-1.6gf": (27, 48, 20.71, 2.65, 24, True),
    "regnet-y-3.2gf": (21, 80, 42.63, 2.66, 24, True),
    "regnet-y-8gf": (17, 192, 76.82, 2.19, 56, True),
}  # fmt: skip


def stages(b: GraphBuilder, x: str, name: str, dilations: tuple[int, ...] = (1, 1, 1, 1)) -> str:
    """Stem and the four stages of a row; a stage with a dilation keeps the size of its image instead."""
    blocks, bottleneck, groups, base, _ = _ROWS[name]
    x = b.conv(x, 64, 7, stride=2, name="conv1")
    x = b.pool(x, "max", 3, 2, 1)
    spread = 1
    for stage, (count, dilation) in enumerate(zip(blocks, dilations, strict=True)):
        planes = 64 << stage
        for at in range(count):
            stride = 2 if stage and not at and dilation == 1 else 1
            with b.within(f"layer{stage + 1}.{at}"):
                x = _block(b, x, planes, stride, bottleneck, groups, base, spread)
            spread = dilation  # a stage's first block still has the dilation of the one before it
    return x


def _block(
    b: GraphBuilder, x: str, planes: int, stride: int, bottleneck: bool, groups: int, base: int, dilation: int
) -> str:
    out = planes * (4 if bottleneck else 1)
    if bottleneck:
        width = planes * base // 64 * groups
        y = b.conv(x, width, 1, name="conv1")
        y = b.conv(y, width, 3, stride=stride, groups=groups, dilation=dilation, name="conv2")
        y = b.conv(y, out, 1, act="", name="conv3")
    else:
        y = b.conv(x, planes, 3, stride=stride, name="conv1")
        y = b.conv(y, planes, 3, act="", name="conv2")
    if stride > 1 or b.channels(x) != out:
        x = b.conv(x, out, 1, stride=stride, act="", name="downsample")
    return b.act(b.add(y, x), "relu")


def _resnet(name: str, size: Size) -> OperatorGraph:
    b = GraphBuilder(name, _ROWS[name][-1], size)
    return classifier(b, stages(b, b.image(224), name))


def widths(depth: int, first: int, slope: float, factor: float, group: int) -> list[tuple[int, int, int]]:
    """(blocks, width, width of a group) of each stage by the paper's quantised line."""
    each = []
    for at in range(depth):
        power = round(math.log((first + slope * at) / first) / math.log(factor))
        each.append(round(first * factor**power / 8) * 8)
    found = []
    for width in sorted(set(each)):
        inside = min(group, width)
        found.append((each.count(width), divisible(width, inside, floor=0.9), inside))
    return found


def _regnet(name: str, size: Size) -> OperatorGraph:
    depth, first, slope, factor, group, squeezes = _REGNETS[name]
    b = GraphBuilder(name, REGNET, size)
    x = b.conv(b.image(224), 32, 3, stride=2, name="stem")
    for stage, (count, width, inside) in enumerate(widths(depth, first, slope, factor, group)):
        for at in range(count):
            stride, before = (1 if at else 2), b.channels(x)
            with b.within(f"stage{stage + 1}.{at}"):
                y = b.conv(x, width, 1, name="conv1")
                y = b.conv(y, width, 3, stride=stride, groups=width // inside, name="conv2")
                y = squeeze_excite(b, y, round(before / 4), "relu", "sigmoid") if squeezes else y
                y = b.conv(y, width, 1, act="", name="conv3")
                if stride > 1 or before != width:
                    x = b.conv(x, width, 1, stride=stride, act="", name="downsample")
                x = b.act(b.add(y, x), "relu")
    return classifier(b, x)


ENTRIES = (
    *(NetworkEntry(name=name, source=row[-1], build=_resnet) for name, row in _ROWS.items()),
    *(NetworkEntry(name=name, source=REGNET, build=_regnet) for name in _REGNETS),
)
