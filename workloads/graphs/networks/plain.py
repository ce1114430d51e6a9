"""Networks of plain convolutions: AlexNet, VGG, SqueezeNet, U-Net."""

from __future__ import annotations

from einsim.workloads.graphs.builder import GraphBuilder
from einsim.workloads.graphs.graph import OperatorGraph
from einsim.workloads.graphs.networks.entry import NetworkEntry, Size

ALEXNET = "Krizhevsky, arXiv 1404.5997"
VGG = "Simonyan & Zisserman, arXiv 1409.1556"
SQUEEZENET = "Iandola et al., arXiv 1602.07360"
UNET = "Ronneberger et al., arXiv 1505.04597, with padded convolutions and batch norms"

# Convolutions of each stage, all 3x3, a pool after each.
_VGG: dict[str, tuple[int, ...]] = {
    "vgg-11": (1, 1, 2, 2, 2), "vgg-13": (2, 2, 2, 2, 2), "vgg-16": (2, 2, 3, 3, 3),
    "vgg-19": (2, 2, 4, 4, 4),
}  # fmt: skip
# Fires as (squeezed, expanded each way), 0 for a pool.
_FIRES: dict[str, tuple[int, int, tuple[tuple[int, int] | None, ...]]] = {
    "squeezenet-1.0": (96, 7,
    (None, (16, 64), (16, 64), (32, 128), None, (32, 128), (48, 192), (48, 192), (64, 256), None, (64, 256))),
    "squeezenet-1.1": (64, 3,
    (None, (16, 64), (16, 64), None, (32, 128), (32, 128), None, (48, 192), (48, 192), (64, 256), (64, 256))),
}  # fmt: skip


def _fully(b: GraphBuilder, x: str) -> OperatorGraph:
    x = b.linear(b.flat(x), 4096, act="relu", name="fc1")
    x = b.linear(x, 4096, act="relu", name="fc2")
    return b.graph(b.linear(x, 1000, name="fc3"))


def _alexnet(name: str, size: Size) -> OperatorGraph:
    b = GraphBuilder(name, ALEXNET, size)
    x = b.conv(b.image(224), 64, 11, stride=4, pad=2, norm=False, name="conv1")
    x = b.conv(b.pool(x, "max", 3, 2), 192, 5, norm=False, name="conv2")
    x = b.pool(x, "max", 3, 2)
    for at, out in enumerate((384, 256, 256), 3):
        x = b.conv(x, out, 3, norm=False, name=f"conv{at}")
    return _fully(b, b.pool(x, "max", 3, 2))


def _vgg(name: str, size: Size) -> OperatorGraph:
    b = GraphBuilder(name, VGG, size)
    x = b.image(224)
    for stage, count in enumerate(_VGG[name], 1):
        for at in range(1, count + 1):
            x = b.conv(x, min(32 << stage, 512), 3, norm=False, name=f"conv{stage}_{at}")
        x = b.pool(x, "max", 2, 2)
    return _fully(b, x)


def _squeezenet(name: str, size: Size) -> OperatorGraph:
    first, kernel, fires = _FIRES[name]
    b = GraphBuilder(name, SQUEEZENET, size)
    x = b.conv(b.image(224), first, kernel, stride=2, pad=0, norm=False, name="conv1")
    for at, fire in enumerate(fires, 1):
        if fire is None:
            x = b.pool(x, "max", 3, 2, ceil=True)
            continue
        squeezed, out = fire
        with b.within(f"fire{at}"):
            y = b.conv(x, squeezed, 1, norm=False, name="squeeze")
            x = b.concat(*(b.conv(y, out, size, norm=False, name=f"expand{size}x{size}") for size in (1, 3)))
    x = b.conv(x, 1000, 1, norm=False, name="classifier")
    return b.graph(b.flat(b.global_mean(x)))


def _unet(name: str, size: Size) -> OperatorGraph:
    b = GraphBuilder(name, UNET, size)
    x, kept = b.image(512), []

    def double(y: str, out: int, at: str) -> str:
        with b.within(at):
            return b.conv(b.conv(y, out, 3, name="conv1"), out, 3, name="conv2")

    for depth in range(5):
        x = double(x, 64 << depth, f"down{depth}")
        if depth < 4:
            kept.append(x)
            x = b.pool(x, "max", 2, 2)
    for depth in range(3, -1, -1):
        with b.within(f"up{depth}"):
            x = b.up_conv(x, 64 << depth, 2)
        x = double(b.concat(kept[depth], x), 64 << depth, f"up{depth}")
    return b.graph(b.conv(x, 1, 1, norm=False, act="", name="head"))


ENTRIES = (
    NetworkEntry(name="alexnet", source=ALEXNET, build=_alexnet, fixed=True),
    *(NetworkEntry(name=name, source=VGG, build=_vgg, fixed=True) for name in _VGG),
    *(NetworkEntry(name=name, source=SQUEEZENET, build=_squeezenet) for name in _FIRES),
    NetworkEntry(name="unet", source=UNET, build=_unet),
)
