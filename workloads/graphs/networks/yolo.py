"""Other detectors of the YOLO family: v6, v7, X, 11. Heads give raw maps; the host makes boxes of them.

What training has in parallel branches (RepVGG, RepConv) is the one convolution that runs.
"""

from __future__ import annotations

from collections.abc import Callable

from einsim.workloads.graphs.builder import GraphBuilder, divisible
from einsim.workloads.graphs.graph import OperatorGraph
from einsim.workloads.graphs.networks.detecting import CLASSES, bottleneck, c3, sppf
from einsim.workloads.graphs.networks.entry import NetworkEntry, Size

YOLO6 = "Li et al., YOLOv6 v3.0, arXiv 2301.05586"
YOLO7 = "Wang et al., arXiv 2207.02696"
YOLOX = "Ge et al., arXiv 2107.08430"
YOLO11 = "Jocher & Qiu, YOLO11, github.com/ultralytics/ultralytics"

# Factor of width.
_YOLO6 = {"yolov6n": 0.25, "yolov6s": 0.5}
# Channels of an image and repeats of each stage of the backbone, at width 1 and a third of the depth.
_YOLO6_STAGES = ((128, 2), (256, 4), (512, 6), (1024, 2))
# Factors of width, most channels, blocks of two bottlenecks everywhere.
_YOLO11 = {"yolo11n": (0.25, 1024, False), "yolo11s": (0.5, 1024, False), "yolo11m": (1.0, 512, True)}


def _yolo6(name: str, size: Size) -> OperatorGraph:
    wide = _YOLO6[name]
    b = GraphBuilder(name, YOLO6, size)

    def rep(x: str, out: int, count: int, at: str) -> str:
        """Convolutions of 3x3, each a RepVGG block as it runs."""
        with b.within(at):
            for step in range(count):
                x = b.conv(x, int(out * wide), 3, norm=False, name=f"conv{step}")
        return x

    def fuse(low: str, same: str, high: str, at: str) -> str:
        """A deeper map upsampled, one of the same size and a larger one beside each other."""
        out = b.channels(low)
        with b.within(at):
            parts = [b.up_conv(low, out, 2), b.conv(same, out, 1, name="cv1")]
            parts.append(b.conv(b.conv(high, out, 1, name="cv2"), out, 3, stride=2, name="down"))
            return b.conv(b.concat(*parts), out, 1, name="cv3")

    x = b.conv(b.image(640), int(64 * wide), 3, stride=2, norm=False, name="stem")
    kept: list[str] = []
    for level, (out, count) in enumerate(_YOLO6_STAGES, 2):
        x = b.conv(x, int(out * wide), 3, stride=2, norm=False, name=f"down{level}")
        x = rep(x, out, count, f"stage{level}")
        kept.append(x)
    with b.within("sppf"):
        half = b.channels(x) // 2
        found = [b.conv(b.conv(b.conv(x, half, 1, name="cv1"), half, 3, name="cv3"), half, 1, name="cv4")]
        for _ in range(3):
            found.append(b.pool(found[-1], "max", 5, 1, 2))
        y = b.conv(b.conv(b.concat(*found), half, 1, name="cv5"), half, 3, name="cv6")
        x = b.conv(b.concat(b.conv(x, half, 1, name="cv2"), y), 2 * half, 1, name="cv7")
    lateral5 = b.conv(x, int(256 * wide), 1, name="reduce5")
    x = rep(fuse(lateral5, kept[2], kept[1], "fuse4"), 256, 4, "up4")
    lateral4 = b.conv(x, int(128 * wide), 1, name="reduce4")
    heads = [rep(fuse(lateral4, kept[1], kept[0], "fuse3"), 128, 4, "up3")]
    for level, (side, down, out) in enumerate(((lateral4, 128, 256), (lateral5, 256, 512)), 4):
        x = b.concat(b.conv(heads[-1], int(down * wide), 3, stride=2, name=f"path{level}"), side)
        heads.append(rep(x, out, 4, f"out{level}"))
    outputs = []
    for at, x in enumerate(heads):
        with b.within(f"detect{at}"):
            stem = b.conv(x, b.channels(x), 1, act="silu", name="stem")
            for kind, out in (("class", CLASSES), ("box", 4)):
                y = b.conv(stem, b.channels(x), 3, act="silu", name=kind)
                outputs.append(b.conv(y, out, 1, norm=False, act="", name=f"{kind}.head"))
    return b.graph(*outputs)


def _elan(
    b: GraphBuilder, x: str, first: int, inner: int, out: int, depth: int, each: int, act: str, at: str
) -> str:
    """Efficient layer aggregation: `depth` results of a chain, `each` convolutions apart, and two others."""
    with b.within(at):
        found = [b.conv(x, first, 1, act=act, name="a"), b.conv(x, first, 1, act=act, name="b")]
        for step in range(depth):
            y = found[-1]
            for turn in range(each):
                y = b.conv(y, inner, 3, act=act, name=f"m{step}.{turn}")
            found.append(y)
        return b.conv(b.concat(*reversed(found)), out, 1, act=act, name="out")


def _anchored(b: GraphBuilder, heads: list[str]) -> OperatorGraph:
    """Three anchors of box, objectness and classes."""
    outputs = []
    for at, x in enumerate(heads):
        outputs.append(b.conv(x, 3 * (5 + CLASSES), 1, norm=False, act="", name=f"detect{at}"))
    return b.graph(*outputs)


def _pyramid(b: GraphBuilder, x: str) -> list[str]:
    """A map and its maxima over 5, 9 and 13 rows, the widest first."""
    return [*(b.pool(x, "max", rows, 1, rows // 2) for rows in (13, 9, 5)), x]


def _yolo7_tiny(name: str, size: Size) -> OperatorGraph:
    b, act = GraphBuilder(name, YOLO7, size), "leaky"

    def elan(x: str, inner: int, out: int, at: str) -> str:
        return _elan(b, x, inner, inner, out, 2, 1, act, at)

    x = b.conv(
        b.conv(b.image(640), 32, 3, stride=2, act=act, name="stem0"), 64, 3, stride=2, act=act, name="stem1"
    )
    kept: list[str] = []
    for level, inner in enumerate((32, 64, 128, 256), 2):
        x = b.pool(x, "max", 2, 2) if kept else x
        x = elan(x, inner, 2 * inner, f"stage{level}")
        kept.append(x)
    with b.within("spp"):
        side = b.conv(x, 256, 1, act=act, name="side")
        y = b.conv(
            b.concat(*_pyramid(b, b.conv(x, 256, 1, act=act, name="cv1"))), 256, 1, act=act, name="cv2"
        )
        x = b.conv(b.concat(y, side), 256, 1, act=act, name="out")
    sides = [x]
    for level, out in ((4, 128), (3, 64)):
        y = b.upsample(b.conv(x, out, 1, act=act, name=f"lateral{level}"), 2)
        x = elan(
            b.concat(b.conv(kept[level - 2], out, 1, act=act, name=f"route{level}"), y),
            out // 2,
            out,
            f"up{level}",
        )
        sides.append(x)
    heads, x = [sides[2]], sides[2]
    for level, out in ((4, 128), (5, 256)):
        y = b.conv(x, out, 3, stride=2, act=act, name=f"path{level}")
        x = elan(b.concat(y, sides[5 - level]), out // 2, out, f"out{level}")
        heads.append(x)
    return _anchored(
        b, [b.conv(x, 2 * b.channels(x), 3, act=act, name=f"last{at}") for at, x in enumerate(heads)]
    )


def _yolo7(name: str, size: Size) -> OperatorGraph:
    b, act = GraphBuilder(name, YOLO7, size), "silu"

    def down(x: str, out: int, at: str) -> list[str]:
        """Halved by a pool and by a convolution, beside each other."""
        with b.within(at):
            pooled = b.conv(b.pool(x, "max", 2, 2), out, 1, act=act, name="pooled")
            y = b.conv(b.conv(x, out, 1, act=act, name="cv1"), out, 3, stride=2, act=act, name="cv2")
        return [y, pooled]

    def wide(x: str, out: int, at: str) -> str:
        return _elan(b, x, out, out // 2, out, 4, 1, act, at)

    x = b.conv(b.conv(b.image(640), 32, 3, act=act, name="stem0"), 64, 3, stride=2, act=act, name="stem1")
    x = b.conv(b.conv(x, 64, 3, act=act, name="stem2"), 128, 3, stride=2, act=act, name="stem3")
    kept: list[str] = []
    for level, (inner, out) in enumerate(((64, 256), (128, 512), (256, 1024), (256, 1024)), 2):
        x = b.concat(*down(x, b.channels(x) // 2, f"down{level}")) if kept else x
        x = _elan(b, x, inner, inner, out, 2, 2, act, f"stage{level}")
        kept.append(x)
    with b.within("spp"):
        y = b.conv(b.conv(x, 512, 1, act=act, name="cv1"), 512, 3, act=act, name="cv3")
        y = b.concat(*_pyramid(b, b.conv(y, 512, 1, act=act, name="cv4")))
        y = b.conv(b.conv(y, 512, 1, act=act, name="cv5"), 512, 3, act=act, name="cv6")
        x = b.conv(b.concat(y, b.conv(x, 512, 1, act=act, name="cv2")), 512, 1, act=act, name="cv7")
    sides = [x]
    for level, out in ((4, 256), (3, 128)):
        y = b.upsample(b.conv(x, out, 1, act=act, name=f"lateral{level}"), 2)
        x = wide(
            b.concat(b.conv(kept[level - 2], out, 1, act=act, name=f"route{level}"), y), out, f"up{level}"
        )
        sides.append(x)
    heads = [x]
    for level, out in ((4, 256), (5, 512)):
        x = wide(b.concat(*down(x, out // 2, f"path{level}"), sides[5 - level]), out, f"out{level}")
        heads.append(x)
    return _anchored(
        b, [b.conv(x, 2 * b.channels(x), 3, act=act, name=f"rep{at}") for at, x in enumerate(heads)]
    )


def _yolox(name: str, size: Size) -> OperatorGraph:
    """At half of the width and a third of the depth. Its first layer takes pixels by four as channels."""
    b = GraphBuilder(name, YOLOX, size)

    def csp(x: str, out: int, count: int, at: str, adds: bool = False) -> str:
        with b.within(at):
            return c3(b, x, out, count, adds)

    x = b.image(640)
    batch, _, rows, columns = b.shapes[x]
    x = b.transpose(b.reshape(x, batch, 3, rows // 2, 2, columns // 2, 2), 0, 3, 5, 1, 2, 4)
    x = b.conv(b.reshape(x, batch, 12, rows // 2, columns // 2), 32, 3, act="silu", name="stem")
    kept: list[str] = []
    for level, (out, count) in enumerate(((64, 1), (128, 3), (256, 3), (512, 1)), 2):
        x = b.conv(x, out, 3, stride=2, act="silu", name=f"down{level}")
        if level == 5:
            with b.within("spp"):
                y = b.conv(x, 256, 1, act="silu", name="cv1")
                x = b.conv(b.concat(*reversed(_pyramid(b, y))), out, 1, act="silu", name="cv2")
        x = csp(x, out, count, f"stage{level}", adds=level < 5)
        kept.append(x)
    sides = []
    for level, out in ((4, 256), (3, 128)):
        x = b.conv(x, out, 1, act="silu", name=f"lateral{level}")
        sides.append(x)
        x = csp(b.concat(b.upsample(x, 2), kept[level - 2]), out, 1, f"up{level}")
    heads = [x]
    for level, out in ((4, 128), (5, 256)):
        y = b.conv(x, out, 3, stride=2, act="silu", name=f"path{level}")
        x = csp(b.concat(y, sides[5 - level]), 2 * out, 1, f"out{level}")
        heads.append(x)
    outputs = []
    for at, x in enumerate(heads):
        with b.within(f"detect{at}"):
            stem = b.conv(x, 128, 1, act="silu", name="stem")
            for kind, outs in (("class", (CLASSES,)), ("box", (4, 1))):
                y = b.conv(stem, 128, 3, act="silu", name=f"{kind}1")
                y = b.conv(y, 128, 3, act="silu", name=f"{kind}2")
                outputs += [b.conv(y, out, 1, norm=False, act="", name=f"{kind}.head{out}") for out in outs]
    return b.graph(*outputs)


def _c3k2(b: GraphBuilder, x: str, out: int, hidden: int, deep: bool) -> str:
    """A block beside both halves of its input: two bottlenecks of its own branch, or one."""
    y = b.conv(x, 2 * hidden, 1, act="silu", name="cv1")
    found = [b.part(y, 0, hidden), b.part(y, hidden, 2 * hidden)]
    with b.within("m0"):
        if deep:
            found.append(c3(b, found[-1], hidden, 2, first=3))
        else:
            found.append(bottleneck(b, found[-1], 3, True, hidden // 2))
    return b.conv(b.concat(*found), out, 1, act="silu", name="cv2")


def _attention(b: GraphBuilder, x: str) -> str:
    """Heads of 64 channels over all places of a map, keys of half as many; values pass a convolution, too."""
    batch, width, rows, columns = b.shapes[x]
    heads, places = width // 64, rows * columns
    qkv = b.conv(x, 2 * width, 1, act="", name="qkv")
    qkv = b.reshape(qkv, batch, heads, 128, places)
    q, k, v = (b.part(qkv, *ends, axis=2) for ends in ((0, 32), (32, 64), (64, 128)))
    scores = b.node("MatMul", "scores", [b.transpose(q, 0, 1, 3, 2), k], (batch, heads, places, places))
    scores = b.node("Mul", "scaled", [scores, b.number(32**-0.5)], b.shapes[scores])
    weights = b.node("Softmax", "softmax", [scores], b.shapes[scores], axis=-1)
    found = b.node("MatMul", "values", [weights, b.transpose(v, 0, 1, 3, 2)], (batch, heads, places, 64))
    found = b.reshape(b.transpose(found, 0, 1, 3, 2), batch, width, rows, columns)
    placed = b.conv(b.reshape(v, batch, width, rows, columns), width, 3, groups=width, act="", name="places")
    return b.conv(b.add(found, placed), width, 1, act="", name="project")


def _yolo11(name: str, size: Size) -> OperatorGraph:
    wide, most, deep = _YOLO11[name]
    b = GraphBuilder(name, YOLO11, size)

    def width(channels: int) -> int:
        return divisible(min(channels, most) * wide, floor=0)

    def stage(x: str, out: int, at: str, share: float = 0.5, twice: bool = False) -> str:
        with b.within(at):
            return _c3k2(b, x, width(out), int(width(out) * share), deep or twice)

    def down(x: str, out: int, at: str) -> str:
        return b.conv(x, width(out), 3, stride=2, act="silu", name=at)

    x = down(b.image(640), 64, "stem")
    kept: list[str] = []
    for level, (before, out, share, twice) in enumerate(
        ((128, 256, 0.25, False), (256, 512, 0.25, False), (512, 512, 0.5, True), (1024, 1024, 0.5, True)), 2
    ):
        x = stage(down(x, before, f"down{level}"), out, f"stage{level}", share, twice)
        kept.append(x)
    with b.within("sppf"):
        x = sppf(b, x, width(1024))
    with b.within("attention"):
        half = width(1024) // 2
        y = b.conv(x, 2 * half, 1, act="silu", name="cv1")
        left, right = b.part(y, 0, half), b.part(y, half, 2 * half)
        right = b.add(right, _attention(b, right))
        inner = b.conv(b.conv(right, 2 * half, 1, act="silu", name="ffn1"), half, 1, act="", name="ffn2")
        x = b.conv(b.concat(left, b.add(right, inner)), 2 * half, 1, act="silu", name="cv2")
    sides = [x]
    for level, out in ((4, 512), (3, 256)):
        x = stage(b.concat(b.upsample(x, 2), kept[level - 2]), out, f"up{level}")
        sides.append(x)
    heads = [x]
    for level, before, out in ((4, 256, 512), (5, 512, 1024)):
        x = stage(
            b.concat(down(x, before, f"path{level}"), sides[5 - level]), out, f"out{level}", twice=level == 5
        )
        heads.append(x)
    least, outputs = width(256), []
    for at, x in enumerate(heads):
        with b.within(f"detect{at}"):
            mid = max(16, least // 4, 64)
            y = b.conv(b.conv(x, mid, 3, act="silu", name="box1"), mid, 3, act="silu", name="box2")
            outputs.append(b.conv(y, 64, 1, norm=False, act="", name="box3"))
            y, mid = x, max(least, CLASSES)
            for turn in (1, 2):
                y = b.conv(
                    y, b.channels(y), 3, groups=b.channels(y), act="silu", name=f"class{turn}.depthwise"
                )
                y = b.conv(y, mid, 1, act="silu", name=f"class{turn}")
            outputs.append(b.conv(y, CLASSES, 1, norm=False, act="", name="class3"))
    return b.graph(*outputs)


_BUILT: dict[str, tuple[str, Callable[[str, Size], OperatorGraph]]] = {
    **dict.fromkeys(_YOLO6, (YOLO6, _yolo6)),
    "yolov7-tiny": (YOLO7, _yolo7_tiny), "yolov7": (YOLO7, _yolo7), "yolox-s": (YOLOX, _yolox),
    **dict.fromkeys(_YOLO11, (YOLO11, _yolo11)),
}  # fmt: skip
ENTRIES = tuple(NetworkEntry(name=name, source=source, build=make) for name, (source, make) in _BUILT.items())
