"""Networks that detect and segment: YOLO, DeepLab. Heads give raw maps; the host makes boxes of them."""

from __future__ import annotations

from einsim.workloads.graphs.builder import GraphBuilder, divisible
from einsim.workloads.graphs.graph import OperatorGraph
from einsim.workloads.graphs.networks.entry import NetworkEntry, Size
from einsim.workloads.graphs.networks.residual import stages

YOLO5 = "Jocher, YOLOv5 v6.0, doi 10.5281/zenodo.5563715"
YOLO8 = "Jocher et al., YOLOv8 8.0, github.com/ultralytics/ultralytics"
DEEPLAB = "Chen et al., arXiv 1706.05587, as torchvision has it without its auxiliary head"
FCN = "Long et al., arXiv 1411.4038, as torchvision has it without its auxiliary head"

# Factors of depth and width, most channels.
_YOLO5 = {"yolov5n": (0.33, 0.25), "yolov5s": (0.33, 0.50), "yolov5m": (0.67, 0.75)}
_YOLO8 = {"yolov8n": (0.33, 0.25, 1024), "yolov8s": (0.33, 0.50, 1024), "yolov8m": (0.67, 0.75, 768)}
_HEADED5 = ("yolov5s-relu", "yolov5n-seg", "yolov5s-seg", "yolov5m-seg")
_HEADED8 = ("yolov8n-seg", "yolov8s-seg", "yolov8m-seg", "yolov8n-pose")
# Factors of 32 masks, places and visibility of 17 key points.
_BESIDE = {"seg": 32, "pose": 51}
CLASSES = 80
_LEVELS = (256, 512, 1024)


def bottleneck(b: GraphBuilder, x: str, first: int, adds: bool, inner: int = 0, act: str = "silu") -> str:
    """Two convolutions, the first of a kernel of `first` to `inner` channels, or as many as there are."""
    channels = b.channels(x)
    y = b.conv(x, inner or channels, first, act=act, name="cv1")
    y = b.conv(y, channels, 3, act=act, name="cv2")
    return b.add(x, y) if adds else y


def c3(
    b: GraphBuilder, x: str, out: int, count: int, adds: bool = True, act: str = "silu", first: int = 1
) -> str:
    """YOLOv5's: a chain of bottlenecks beside a plain branch."""
    y = b.conv(x, out // 2, 1, act=act, name="cv1")
    for at in range(count):
        with b.within(f"m{at}"):
            y = bottleneck(b, y, first, adds, act=act)
    return b.conv(b.concat(y, b.conv(x, out // 2, 1, act=act, name="cv2")), out, 1, act=act, name="cv3")


def _c2f(b: GraphBuilder, x: str, out: int, count: int, adds: bool = True, act: str = "silu") -> str:
    """YOLOv8's: the results of all bottlenecks beside each other."""
    half = out // 2
    y = b.conv(x, out, 1, act=act, name="cv1")
    found = [b.part(y, 0, half), b.part(y, half, out)]
    for at in range(count):
        with b.within(f"m{at}"):
            found.append(bottleneck(b, found[-1], 3, adds, act=act))
    return b.conv(b.concat(*found), out, 1, act=act, name="cv2")


def sppf(b: GraphBuilder, x: str, out: int, act: str = "silu") -> str:
    """A map and its maxima over 5, 9 and 13 rows, one pool after the other."""
    found = [b.conv(x, b.channels(x) // 2, 1, act=act, name="cv1")]
    for _ in range(3):
        found.append(b.pool(found[-1], "max", 5, 1, 2))
    return b.conv(b.concat(*found), out, 1, act=act, name="cv2")


def _yolo(name: str, size: Size) -> OperatorGraph:
    base, _, head = name.partition("-")
    act = "relu" if head == "relu" else "silu"
    fifth = base in _YOLO5
    deep, wide, most = (*_YOLO5[base], 1024) if fifth else _YOLO8[base]
    block = c3 if fifth else _c2f
    b = GraphBuilder(name, YOLO5 if fifth else YOLO8, size)

    def width(channels: int) -> int:
        return divisible(min(channels, most) * wide, floor=0)

    def stage(x: str, channels: int, count: int, at: str, adds: bool = True) -> str:
        with b.within(at):
            return block(b, x, width(channels), max(round(count * deep), 1), adds, act)

    def down(x: str, channels: int, at: str) -> str:
        return b.conv(x, width(channels), 3, stride=2, act=act, name=at)

    x = b.image(640)
    x = b.conv(x, width(64), 6, stride=2, pad=2, act=act, name="stem") if fifth else down(x, 64, "stem")
    kept = []
    for level, (channels, count) in enumerate(((128, 3), (256, 6), (512, 9 if fifth else 6), (1024, 3)), 2):
        x = stage(down(x, channels, f"down{level}"), channels, count, f"stage{level}")
        kept.append(x)
    with b.within("sppf"):
        x = sppf(b, x, width(1024), act)
    sides = []
    for level, channels in ((4, 512), (3, 256)):
        if fifth:
            x = b.conv(x, width(channels), 1, act=act, name=f"lateral{level}")
        sides.append(x)
        x = stage(b.concat(b.upsample(x, 2), kept[level - 2]), channels, 3, f"up{level}", adds=False)
    heads = [x]
    for level, channels in ((4, 512), (5, 1024)):
        x = b.concat(down(x, channels // 2, f"path{level}"), sides.pop())
        x = stage(x, channels, 3, f"out{level}", adds=False)
        heads.append(x)
    outputs = [made for at, x in enumerate(heads) for made in _detect(b, x, at, fifth, width(256), head)]
    return b.graph(*outputs, *([_prototypes(b, heads[0], width(256), fifth)] if head == "seg" else []))


def _detect(b: GraphBuilder, x: str, at: int, fifth: bool, least: int, head: str) -> list[str]:
    """Three anchors of box, objectness and classes; or, without anchors, 16 bins a side, and classes. Masks
    have factors beside, poses key points for the one class.
    """
    classes = 1 if head == "pose" else CLASSES
    beside = _BESIDE.get(head, 0)
    with b.within(f"detect{at}"):
        if fifth:
            return [b.conv(x, 3 * (5 + classes + beside), 1, norm=False, act="", name="head")]
        found = []
        for name, mid, out in (
            ("box", max(16, least // 4, 64), 64),
            ("class", max(least, classes), classes),
            ("beside", max(least // 4, beside), beside),
        ):
            if out:
                y = b.conv(
                    b.conv(x, mid, 3, act="silu", name=f"{name}1"), mid, 3, act="silu", name=f"{name}2"
                )
                found.append(b.conv(y, out, 1, norm=False, act="", name=f"{name}3"))
        return found


def _prototypes(b: GraphBuilder, x: str, width: int, fifth: bool) -> str:
    """Maps that masks are sums of, at twice the rows."""
    with b.within("prototypes"):
        y = b.conv(x, width, 3, act="silu", name="cv1")
        y = b.upsample(y, 2) if fifth else b.up_conv(y, width, 2)
        return b.conv(b.conv(y, width, 3, act="silu", name="cv2"), 32, 1, act="silu", name="cv3")


def _deeplab(name: str, size: Size) -> OperatorGraph:
    b = GraphBuilder(name, DEEPLAB, size)
    x = stages(b, b.image(520), name.removeprefix("deeplab-v3-"), (1, 1, 2, 4))
    with b.within("aspp"):
        found = [b.conv(x, 256, 1, name="conv0")]
        found += [b.conv(x, 256, 3, dilation=rate, name=f"conv{rate}") for rate in (12, 24, 36)]
        pooled = b.conv(b.global_mean(x), 256, 1, name="pool")
        found.append(b.node("Expand", "expand", [pooled, b.whole(*b.shapes[found[0]])], b.shapes[found[0]]))
        x = b.conv(b.concat(*found), 256, 1, name="project")
    x = b.conv(b.conv(x, 256, 3, name="head"), 21, 1, norm=False, act="", name="classifier")
    return b.graph(b.upsample(x, 8, "linear"))


def _fcn(name: str, size: Size) -> OperatorGraph:
    b = GraphBuilder(name, FCN, size)
    x = stages(b, b.image(520), name.removeprefix("fcn-"), (1, 1, 2, 4))
    x = b.conv(b.conv(x, 512, 3, name="head"), 21, 1, norm=False, act="", name="classifier")
    return b.graph(b.upsample(x, 8, "linear"))


ENTRIES = (
    *(NetworkEntry(name=name, source=YOLO5, build=_yolo) for name in (*_YOLO5, *_HEADED5)),
    *(NetworkEntry(name=name, source=YOLO8, build=_yolo) for name in (*_YOLO8, *_HEADED8)),
    NetworkEntry(name="deeplab-v3-resnet-50", source=DEEPLAB, build=_deeplab),
    NetworkEntry(name="deeplab-v3-resnet-101", source=DEEPLAB, build=_deeplab),
    NetworkEntry(name="fcn-resnet-50", source=FCN, build=_fcn),
)
