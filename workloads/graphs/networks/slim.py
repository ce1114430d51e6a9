"""ResNets with strides elsewhere: on a stage's first 1x1 convolution, as Caffe and Keras have them, or in a
stage's last block, as TensorFlow-Slim has them, there also with norms before convolutions (v2).
"""

from __future__ import annotations

from einsim.workloads.graphs.builder import GraphBuilder, classifier
from einsim.workloads.graphs.graph import OperatorGraph
from einsim.workloads.graphs.networks.entry import NetworkEntry, Size

V1 = "He et al., arXiv 1512.03385, strides as in the authors' Caffe models and Keras"
SLIM = "He et al., arXiv 1512.03385, strides as in TensorFlow-Slim's resnet_v1"
V2 = "He et al., arXiv 1603.05027, strides as in TensorFlow-Slim's resnet_v2"

_BLOCKS = {"50": (3, 4, 6, 3), "101": (3, 4, 23, 3), "152": (3, 8, 36, 3)}


def _resnet(name: str, size: Size) -> OperatorGraph:
    _, depth, kind = name.split("-")
    slim, before = kind != "v1", kind == "v2"
    b = GraphBuilder(name, {"v1": V1, "slim": SLIM, "v2": V2}[kind], size)
    image = b.image(299 if before else 224)
    x = b.conv(image, 64, 7, stride=2, norm=not before, act="" if before else "relu", name="conv1")
    x = b.pool(x, "max", 3, 2, 1)
    blocks = _BLOCKS[depth]
    for stage, count in enumerate(blocks):
        for at in range(count):
            last = stage < len(blocks) - 1 and at == count - 1
            stride = 2 if (last if slim else stage and not at) else 1
            with b.within(f"layer{stage + 1}.{at}"):
                x = (_before if before else _after)(b, x, 64 << stage, stride, slim=slim)
    return classifier(b, b.act(b.batch_norm(x, "norm"), "relu") if before else x)


def _after(b: GraphBuilder, x: str, planes: int, stride: int, *, slim: bool) -> str:
    """Norms behind convolutions."""
    y = b.conv(x, planes, 1, stride=1 if slim else stride, name="conv1")
    y = b.conv(y, planes, 3, stride=stride if slim else 1, name="conv2")
    y = b.conv(y, 4 * planes, 1, act="", name="conv3")
    if b.channels(x) != 4 * planes:
        x = b.conv(x, 4 * planes, 1, stride=stride, act="", name="downsample")
    elif stride > 1:
        x = b.pool(x, "max", 1, stride)
    return b.act(b.add(y, x), "relu")


def _before(b: GraphBuilder, x: str, planes: int, stride: int, *, slim: bool) -> str:
    """Norms before convolutions, of which the last has none."""
    del slim
    ready = b.act(b.batch_norm(x, "norm"), "relu")
    y = b.conv(b.conv(ready, planes, 1, name="conv1"), planes, 3, stride=stride, name="conv2")
    y = b.conv(y, 4 * planes, 1, norm=False, act="", name="conv3")
    if b.channels(x) != 4 * planes:
        x = b.conv(ready, 4 * planes, 1, stride=stride, norm=False, act="", name="downsample")
    elif stride > 1:
        x = b.pool(x, "max", 1, stride)
    return b.add(y, x)


ENTRIES = tuple(
    NetworkEntry(name=f"resnet-{depth}-{kind}", source=source, build=_resnet)
    for kind, source in (("v1", V1), ("slim", SLIM), ("v2", V2))
    for depth in _BLOCKS
)
