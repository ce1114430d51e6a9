"""Networks whose branches are put beside each other: GoogLeNet, Inception v3 and v4, DenseNet."""

from __future__ import annotations

from einsim.workloads.graphs.builder import GraphBuilder, classifier
from einsim.workloads.graphs.graph import OperatorGraph
from einsim.workloads.graphs.networks.entry import NetworkEntry, Size

GOOGLENET = "Szegedy et al., arXiv 1409.4842, with batch norms and 3x3 for 5x5 as torchvision has it"
INCEPTION = "Szegedy et al., arXiv 1512.00567"
INCEPTION_V4 = "Szegedy et al., arXiv 1602.07261"
DENSENET = "Huang et al., arXiv 1608.06993"

# 1x1, 3x3 reduced, 3x3, 5x5 reduced, 5x5, pool; None is a pool of the image.
_GOOGLENET: tuple[tuple[int, ...] | None, ...] = (
    (64, 96, 128, 16, 32, 32), (128, 128, 192, 32, 96, 64), None, (192, 96, 208, 16, 48, 64),
    (160, 112, 224, 24, 64, 64),
    (128, 128, 256, 24, 64, 64), (112, 144, 288, 32, 64, 64), (256, 160, 320, 32, 128, 128), None,
    (256, 160, 320, 32, 128, 128), (384, 192, 384, 48, 128, 128),
)  # fmt: skip
# Growth, first channels, layers of each block.
_DENSENETS = {
    "densenet-121": (32, 64, (6, 12, 24, 16)), "densenet-161": (48, 96, (6, 12, 36, 24)),
    "densenet-169": (32, 64, (6, 12, 32, 32)), "densenet-201": (32, 64, (6, 12, 48, 32)),
}  # fmt: skip
_A, _C, _E = (32, 64, 64), (128, 160, 160, 192), 2


def _googlenet(name: str, size: Size) -> OperatorGraph:
    b = GraphBuilder(name, GOOGLENET, size)
    x = b.pool(b.conv(b.image(224), 64, 7, stride=2, name="conv1"), "max", 3, 2, ceil=True)
    x = b.conv(b.conv(x, 64, 1, name="conv2"), 192, 3, name="conv3")
    x, pools = b.pool(x, "max", 3, 2, ceil=True), 0
    for at, row in enumerate(_GOOGLENET):
        if row is None:
            x, pools = b.pool(x, "max", 2 if pools else 3, 2, ceil=True), pools + 1
            continue
        one, less, three, few, five, pooled = row
        with b.within(f"inception{at}"):
            branches = [
                b.conv(x, one, 1, name="one"),
                b.conv(b.conv(x, less, 1, name="three.reduce"), three, 3, name="three"),
                b.conv(b.conv(x, few, 1, name="five.reduce"), five, 3, name="five"),
                b.conv(b.pool(x, "max", 3, 1, 1), pooled, 1, name="pool"),
            ]
            x = b.concat(*branches)
    return classifier(b, x)


def _chain(b: GraphBuilder, x: str, *convs: tuple[int, int | tuple[int, int]], stride: int = 1) -> str:
    """Convolutions of (channels, kernel) one after the other; the last goes by a stride, unpadded."""
    for at, (out, kernel) in enumerate(convs):
        last = stride > 1 and at == len(convs) - 1
        x = b.conv(x, out, kernel, stride=stride if last else 1, pad=0 if last else None)
    return x


def _inception(name: str, size: Size) -> OperatorGraph:
    b = GraphBuilder(name, INCEPTION, size)
    x = b.conv(b.image(299), 32, 3, stride=2, pad=0, name="conv1")
    x = b.conv(b.conv(x, 32, 3, pad=0, name="conv2"), 64, 3, name="conv3")
    x = b.conv(b.pool(x, "max", 3, 2), 80, 1, name="conv4")
    x = b.pool(b.conv(x, 192, 3, pad=0, name="conv5"), "max", 3, 2)

    def pooled(out: int) -> str:
        return b.conv(b.pool(x, "mean", 3, 1, 1), out, 1, name="pool")

    for at, out in enumerate(_A):
        with b.within(f"a{at}"):
            x = b.concat(
                _chain(b, x, (64, 1)),
                _chain(b, x, (48, 1), (64, 5)),
                _chain(b, x, (64, 1), (96, 3), (96, 3)),
                pooled(out),
            )
    with b.within("b"):
        x = b.concat(
            _chain(b, x, (384, 3), stride=2),
            _chain(b, x, (64, 1), (96, 3), (96, 3), stride=2),
            b.pool(x, "max", 3, 2),
        )
    for at, mid in enumerate(_C):
        with b.within(f"c{at}"):
            x = b.concat(
                _chain(b, x, (192, 1)), _chain(b, x, (mid, 1), (mid, (1, 7)), (192, (7, 1))),
                _chain(b, x, (mid, 1), (mid, (7, 1)), (mid, (1, 7)), (mid, (7, 1)), (192, (1, 7))),
                pooled(192),
            )  # fmt: skip
    with b.within("d"):
        x = b.concat(
            _chain(b, x, (192, 1), (320, 3), stride=2),
            _chain(b, x, (192, 1), (192, (1, 7)), (192, (7, 1)), (192, 3), stride=2), b.pool(x, "max", 3, 2),
        )  # fmt: skip
    for at in range(_E):
        with b.within(f"e{at}"):
            three, double = _chain(b, x, (384, 1)), _chain(b, x, (448, 1), (384, 3))
            sides = [_chain(b, y, (384, kernel)) for y in (three, double) for kernel in ((1, 3), (3, 1))]
            x = b.concat(_chain(b, x, (320, 1)), *sides, pooled(192))
    return classifier(b, x)


def _inception_v4(name: str, size: Size) -> OperatorGraph:
    b = GraphBuilder(name, INCEPTION_V4, size)

    def valid(x: str, out: int, kernel: int, stride: int = 1, name: str = "") -> str:
        return b.conv(x, out, kernel, stride=stride, pad=0, name=name or "last")

    def pooled(x: str, out: int) -> str:
        return b.conv(b.pool(x, "mean", 3, 1, 1), out, 1, name="pool")

    x = valid(valid(b.image(299), 32, 3, 2, "conv1"), 32, 3, name="conv2")
    x = b.conv(x, 64, 3, name="conv3")
    with b.within("stem1"):
        x = b.concat(b.pool(x, "max", 3, 2), valid(x, 96, 3, 2))
    with b.within("stem2"):
        long = _chain(b, x, (64, 1), (64, (1, 7)), (64, (7, 1)))
        x = b.concat(valid(_chain(b, x, (64, 1)), 96, 3), valid(long, 96, 3))
    with b.within("stem3"):
        x = b.concat(valid(x, 192, 3, 2), b.pool(x, "max", 3, 2))
    for at in range(4):
        with b.within(f"a{at}"):
            x = b.concat(
                _chain(b, x, (96, 1)), _chain(b, x, (64, 1), (96, 3)),
                _chain(b, x, (64, 1), (96, 3), (96, 3)), pooled(x, 96),
            )  # fmt: skip
    with b.within("reduce1"):
        longer = _chain(b, x, (192, 1), (224, 3), (256, 3), stride=2)
        x = b.concat(_chain(b, x, (384, 3), stride=2), longer, b.pool(x, "max", 3, 2))
    for at in range(7):
        with b.within(f"b{at}"):
            x = b.concat(
                _chain(b, x, (384, 1)), _chain(b, x, (192, 1), (224, (1, 7)), (256, (7, 1))),
                _chain(b, x, (192, 1), (192, (7, 1)), (224, (1, 7)), (224, (7, 1)), (256, (1, 7))),
                pooled(x, 128),
            )  # fmt: skip
    with b.within("reduce2"):
        x = b.concat(
            _chain(b, x, (192, 1), (192, 3), stride=2),
            _chain(b, x, (256, 1), (256, (1, 7)), (320, (7, 1)), (320, 3), stride=2),
            b.pool(x, "max", 3, 2),
        )
    for at in range(3):
        with b.within(f"c{at}"):
            short, long = _chain(b, x, (384, 1)), _chain(b, x, (384, 1), (448, (3, 1)), (512, (1, 3)))
            sides = [_chain(b, y, (256, kernel)) for y in (short, long) for kernel in ((1, 3), (3, 1))]
            x = b.concat(_chain(b, x, (256, 1)), *sides, pooled(x, 256))
    return classifier(b, x)


def _densenet(name: str, size: Size) -> OperatorGraph:
    growth, first, blocks = _DENSENETS[name]
    b = GraphBuilder(name, DENSENET, size)
    x = b.pool(b.conv(b.image(224), first, 7, stride=2, name="conv0"), "max", 3, 2, 1)
    for stage, count in enumerate(blocks, 1):
        found = [x]
        for at in range(count):
            with b.within(f"block{stage}.{at}"):
                y = b.act(b.batch_norm(b.concat(*found) if at else x, "norm1"), "relu")
                y = b.conv(y, 4 * growth, 1, name="conv1")
                found.append(b.conv(y, growth, 3, norm=False, bias=False, act="", name="conv2"))
        x = b.concat(*found)
        with b.within(f"transition{stage}"):
            x = b.act(b.batch_norm(x), "relu")
            if stage < len(blocks):
                x = b.conv(x, b.channels(x) // 2, 1, norm=False, bias=False, act="")
                x = b.pool(x, "mean", 2, 2)
    return classifier(b, x)


ENTRIES = (
    NetworkEntry(name="googlenet", source=GOOGLENET, build=_googlenet),
    NetworkEntry(name="inception-v3", source=INCEPTION, build=_inception),
    NetworkEntry(name="inception-v4", source=INCEPTION_V4, build=_inception_v4),
    *(NetworkEntry(name=name, source=DENSENET, build=_densenet) for name in _DENSENETS),
)
