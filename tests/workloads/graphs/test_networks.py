"""Published networks have the parameters and multiply-accumulates that are published, and compute as graphs do.

Counts are those of torchvision's documentation of its weights (`num_params`, `_ops`), unless a row says
otherwise; multiply-accumulates are in units of 1e9, as given there, of convolutions and products.
"""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
from onnx.reference import ReferenceEvaluator

from einsim.specs.errors import SpecError
from einsim.workloads.graphs.builder import GraphBuilder, Size
from einsim.workloads.graphs.model import network_model
from einsim.workloads.graphs.networks import NETWORKS, attending, build, entry, network_names
from einsim.workloads.graphs.parts import GraphNetwork
from einsim.workloads.settings import read_settings
from tests.workloads.graphs.exported import computed, stored_values, to_onnx

AUXILIARY = 2_365_205
"""Parameters of the auxiliary head of torchvision's segmenters: 256 filters of 3x3 over 1024 channels, their
batch norm, 21 classes with a bias. Its multiply-accumulates at 65 rows are 9.97 G."""

PUBLISHED = {
    "alexnet": (61_100_840, 0.71),
    "resnet-18": (11_689_512, 1.81), "resnet-34": (21_797_672, 3.66), "resnet-50": (25_557_032, 4.09),
    "resnet-101": (44_549_160, 7.80), "resnet-152": (60_192_808, 11.51),
    "wide-resnet-50": (68_883_240, 11.40), "wide-resnet-101": (126_886_696, 22.75),
    "resnext-50-32x4d": (25_028_904, 4.23), "resnext-101-32x8d": (88_791_336, 16.41),
    "resnext-101-64x4d": (83_455_272, 15.46),
    # Parameters of Keras' models that are trained, of v1 without the biases that its norms make idle, and
    # half of the operations that Vitis AI's model zoo prints for Slim's.
    "resnet-50-v1": (25_557_032, 7.7 / 2), "resnet-101-v1": (44_549_160, None), "resnet-152-v1": (60_192_808, None),
    "resnet-50-slim": (25_557_032, 6.97 / 2), "resnet-101-slim": (44_549_160, 14.4 / 2), "resnet-152-slim": (60_192_808, 21.83 / 2),
    "resnet-50-v2": (25_568_360, 13.1 / 2), "resnet-101-v2": (44_577_896, 26.78 / 2), "resnet-152-v2": (60_236_904, 40.47 / 2),
    "vgg-11": (132_863_336, 7.61), "vgg-13": (133_047_848, 11.31), "vgg-16": (138_357_544, 15.47), "vgg-19": (143_667_240, 19.63),
    "squeezenet-1.0": (1_248_424, 0.82), "squeezenet-1.1": (1_235_496, 0.35),
    "mobilenet-v1": (4_231_976, 0.569),  # the paper's table 8, and Keras' model of it
    "mobilenet-v1-0.75": (2_585_560, 0.233),  # Keras' trained, the paper's table 7
    "mobilenet-v1-0.5": (1_331_592, 0.15 / 2), "mobilenet-v1-0.25": (470_072, 0.027 / 2),  # Keras' trained, Vitis AI's operations
    "mobilenet-v2-1.4": (6_108_776, 1.16 / 2),  # as before
    "mobilenet-v2": (3_504_872, 0.30), "mobilenet-v3-large": (5_483_032, 0.22), "mobilenet-v3-small": (2_542_856, 0.06),
    "mnasnet-0.5": (2_218_512, 0.10), "mnasnet-0.75": (3_170_208, 0.21), "mnasnet-1.0": (4_383_312, 0.31), "mnasnet-1.3": (6_282_256, 0.53),
    "efficientnet-b0": (5_288_548, 0.39), "efficientnet-b1": (7_794_184, 0.69),
    "efficientnet-b2": (9_109_994, 1.0),  # at the paper's 260 rows; torchvision takes 288
    "efficientnet-b3": (12_233_232, 1.83), "efficientnet-b4": (19_341_616, 4.39), "efficientnet-b5": (30_389_784, 10.27),
    "efficientnet-b6": (43_040_704, 19.07), "efficientnet-b7": (66_347_960, 37.75),
    # Counts of timm's models of the published weights; its authors' multiply-adds count batch norms too.
    "efficientnet-lite0": (4_652_008, None), "efficientnet-lite1": (5_416_680, None), "efficientnet-lite2": (6_092_072, None),
    "efficientnet-lite3": (8_197_096, None), "efficientnet-lite4": (13_006_568, None),
    "shufflenet-v2-x0.5": (1_366_792, 0.04), "shufflenet-v2-x1.0": (2_278_604, 0.14), "shufflenet-v2-x1.5": (3_503_624, 0.30),
    "shufflenet-v2-x2.0": (7_393_996, 0.58),
    "regnet-x-400mf": (5_495_976, 0.41), "regnet-x-800mf": (7_259_656, 0.80), "regnet-x-1.6gf": (9_190_136, 1.60),
    "regnet-x-3.2gf": (15_296_552, 3.18), "regnet-x-8gf": (39_572_648, 8.00),
    "regnet-y-400mf": (4_344_144, 0.40), "regnet-y-800mf": (6_432_512, 0.83), "regnet-y-1.6gf": (11_202_430, 1.61),
    "regnet-y-3.2gf": (19_436_338, 3.18), "regnet-y-8gf": (39_381_472, 8.47),
    "densenet-121": (7_978_856, 2.83), "densenet-161": (28_681_000, 7.73), "densenet-169": (14_149_480, 3.36), "densenet-201": (20_013_928, 4.29),
    "googlenet": (6_624_904, 1.50),
    "inception-v3": (23_834_568, 5.71),  # without its auxiliary head, which has 3,326,696 more
    "inception-v4": (42_679_816, 12.28),  # timm's counts
    "convnext-tiny": (28_589_128, 4.46), "convnext-small": (50_223_688, 8.68), "convnext-base": (88_591_464, 15.36),
    "vit-b-16": (86_567_656, 17.56), "vit-b-32": (88_224_232, 4.41), "vit-l-16": (304_326_632, 61.55), "vit-l-32": (306_535_400, 15.38),
    "swin-t": (28_288_354, 4.49), "swin-s": (49_606_258, 8.74), "swin-b": (87_768_224, 15.43),
    "deit-tiny": (5_717_416, 1.26), "deit-small": (22_050_664, 4.6),  # the paper's table 5, timm's counts
    "bert-base-uncased": (109_482_240, None), "bert-large-uncased": (335_141_888, None),  # of the published checkpoints
    # Of the published checkpoints with their heads, which share the embedding's table.
    "bert-base-mlm": (109_514_298, None), "distilbert-base-mlm": (66_985_530, None), "albert-base-mlm": (11_221_680, None),
    # Of the releases: floating-point operations are twice these.
    "yolov5n": (1_872_157, 4.5 / 2), "yolov5s": (7_235_389, 16.5 / 2), "yolov5m": (21_190_557, 49.0 / 2),
    "yolov8n": (3_157_184, 8.7 / 2), "yolov8s": (11_166_544, 28.6 / 2), "yolov8m": (25_902_624, 78.9 / 2),
    "yolov5s-relu": (7_235_389, 16.5 / 2),
    "yolov7-tiny": (6_227_101, 13.7 / 2), "yolov7": (36_928_413, 104.7 / 2),
    # Ultralytics' summaries of their models, without the 16 constant weights of v8's and 11's bins; operations
    # of heads with masks count transposed convolutions otherwise there.
    "yolov5n-seg": (1_991_549, 7.1 / 2), "yolov5s-seg": (7_621_277, 26.4 / 2), "yolov5m-seg": (21_990_397, 70.8 / 2),
    "yolov8n-seg": (3_409_968 - 16, None), "yolov8s-seg": (11_821_056 - 16, None), "yolov8m-seg": (27_285_968 - 16, None),
    "yolov8n-pose": (3_295_470 - 16, 9.2 / 2),
    "yolo11n": (2_624_080 - 16, 6.5 / 2), "yolo11s": (9_458_752 - 16, 21.5 / 2), "yolo11m": (20_114_688 - 16, 68.0 / 2),
    "yolox-s": (8_968_255, 26.8 / 2),
    "yolov6n": (4_649_212, 11.4 / 2), "yolov6s": (18_541_820, 45.3 / 2),  # see FOLDED
    "deeplab-v3-resnet-50": (42_004_074 - AUXILIARY, 178.72 - 9.97), "deeplab-v3-resnet-101": (60_996_202 - AUXILIARY, 258.74 - 9.97),
    "fcn-resnet-50": (35_322_218 - AUXILIARY, 152.72 - 9.97),
    "unet": (31_037_633, None),  # of milesial.s PyTorch implementation, three channels and one class
}  # fmt: skip


FOLDED = {
    "yolov5s-seg": 7_611_485, "yolov7-tiny": 6_219_709, "yolov7": 36_905_341, "yolov6n": 4.7e6, "yolov6s": 18.5e6,
}  # fmt: skip
"""Parameters that are published of networks as they run, batch norms folded: to the last one, or in millions."""


@pytest.mark.parametrize("name", FOLDED)
def test_parameters_with_batch_norms_folded_are_those_published(name):
    held = GraphNetwork(graph=build(name)).weight_bytes(8, 8)
    assert held == FOLDED[name] or held / 1e6 == pytest.approx(FOLDED[name] / 1e6, abs=0.06)


def test_every_network_has_a_published_count():
    assert set(network_names()) == set(PUBLISHED)
    assert len(PUBLISHED) >= 40
    assert all(one.source for one in NETWORKS.values())


@pytest.mark.parametrize("name", PUBLISHED)
def test_parameters_are_those_published(name):
    assert build(name).parameters == PUBLISHED[name][0]  # the bar is 0.1 %; all are equal


def near(name):
    """Whether a network's multiply-accumulates are those published, to their last figure or 1 %."""
    macs, published = GraphNetwork(graph=build(name)).macs / 1e9, PUBLISHED[name][1]
    return published is None or macs == pytest.approx(published, rel=0.01, abs=0.006)


@pytest.mark.parametrize("name", ["resnet-50", "mobilenet-v2", "vit-b-16"])
def test_macs_are_those_published(name):
    assert near(name)


@pytest.mark.slow
@pytest.mark.parametrize("name", PUBLISHED)
def test_macs_of_all_are_those_published(name):
    assert near(name)


@pytest.mark.slow
@pytest.mark.parametrize("name", PUBLISHED)
def test_parts_hold_all_parameters_but_those_that_are_put_beside_activations(name):
    network = GraphNetwork(graph=build(name))
    beside = network.graph.elements("class") if "class" in network.graph.shapes else 0
    assert sum(part.parameters for part in network.parts) == network.parameters - beside
    assert sorted(place for part in network.parts for place in part.places) == list(range(len(network.steps)))
    assert all(part.count == len(part.places) for part in network.parts)


def test_parts_of_resnet_50():
    network = GraphNetwork(graph=build("resnet-50"))
    assert len(network.steps) == 53 + 1 + 1  # convolutions, pool, product
    equal = next(part for part in network.parts if part.name == "layer1.0.conv2")
    assert (equal.count, equal.places) == (3, (3, 7, 10))
    assert network.macs == 4_089_184_256
    # Batch norms are folded: a bias for each of 26,560 channels in the place of a scale and a shift.
    assert network.weight_bytes(8, 8) == 25_557_032 - 26_560
    # While the second block's last convolution runs, its input of 56x56x256 lives on for the sum.
    block = 56 * 56 * (256 + 64 + 256)
    assert network.peak_activation_bytes(8) == block == 1_806_336
    last = network.steps[-2].cascade
    assert [einsum.ops for einsum in last.einsums] == [("mac",), ("add", "add", "max", "add"), ("mul",)]


def test_sums_apart_are_parts_of_their_own():
    """Each of ResNet-50's 16 residual sums, with the activation behind it."""
    joined, apart = (GraphNetwork(graph=build("resnet-50"), apart=one) for one in (False, True))
    sums = [step for step in apart.steps if step.nodes[0].op == "Add"]
    assert [[node.op for node in step.nodes] for step in sums] == 15 * [["Add", "Relu"]] + [
        ["Add", "Relu", "GlobalAveragePool"]
    ]
    assert len(apart.steps) == len(joined.steps) + 16
    assert (apart.macs, apart.parameters) == (joined.macs, joined.parameters)
    gated = GraphNetwork(graph=build("efficientnet-b0"), apart=True)
    assert [step.nodes[0].op for step in gated.steps].count("Mul") == 16  # not in front of the next product


def test_a_batch_multiplies_work_and_activations_but_no_weights():
    one, four = (GraphNetwork(graph=build("mobilenet-v2", batch=batch)) for batch in (1, 4))
    assert four.macs == 4 * one.macs
    assert four.peak_activation_bytes() == 4 * one.peak_activation_bytes()
    assert (four.parameters, four.weight_bytes()) == (one.parameters, one.weight_bytes())


def test_an_image_has_the_columns_that_are_asked():
    wide, square = (
        GraphNetwork(graph=build("mobilenet-v2", image=224, columns=columns)) for columns in (448, 224)
    )
    assert wide.parameters == square.parameters
    head = 1280 * 1000  # the product after the mean of the image
    assert wide.macs - head == 2 * (square.macs - head)


def test_layers_that_share_weights_have_them_once():
    """ALBERT's twelve layers are one by its weights, and twelve by its work."""
    network = GraphNetwork(graph=build("albert-base-mlm"))
    layer = 4 * (768 * 768 + 768) + 2 * 768 * 3072 + 3072 + 768 + 4 * 768
    ends = (30000 + 512 + 2 + 2) * 128 + 128 * 768 + 768 + 768 * 128 + 128 + 2 * 128 + 30000
    assert network.parameters == layer + ends
    scores = 2 * 128 * 128 * 768
    products = 12 * (128 * (4 * 768 * 768 + 2 * 768 * 3072) + scores)
    norms = 128 * (24 * 768 + 2 * 128)  # squares of what is normed
    assert network.macs == products + norms + 128 * (2 * 128 * 768 + 128 * 30000)


def test_a_matrix_that_is_a_table_too_is_stored_and_read_at_the_tables_width():
    words = 30522 * 768
    model = network_model("distilbert-base-mlm")
    given = read_settings(model.parameters, {"seq": 16, "weights": 4}, model.name)
    (phase,) = model.phases(given)
    (head,) = (part for part in phase.parts(1, {}) if part.tables)
    (table,) = head.tables
    assert (head.cascade.elements(table), head.cascade.tensor(table).bits) == (words, 16)
    network = GraphNetwork(graph=build("distilbert-base-mlm", seq=16))
    matrices = 6 * (4 * 768**2 + 2 * 768 * 3072) + 768**2  # of layers, and the head's first product
    assert model.size(given).weight_bytes == 2 * network.parameters - matrices * 12 / 8


def test_a_text_is_as_long_as_is_asked():
    short, whole = (GraphNetwork(graph=build("bert-base-uncased", seq=seq)) for seq in (64, 128))
    assert short.parameters == whole.parameters
    scores = 2 * 12 * 12 * 64  # of each pair of tokens
    assert whole.macs - 2 * short.macs == (128**2 - 2 * 64**2) * scores + short_of_pooler()


def short_of_pooler():
    """The pooler takes one token whatever the length."""
    return -768 * 768


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (("resnet-5",), "unknown network 'resnet-5'"), (("vgg-16", 1, 64), "^image: vgg-16 takes images of one size"),
        (("resnet-18", 1, 0, 0, 64), "^seq: resnet-18 takes images"), (("bert-base-uncased", 1, 64), "^image: bert-base-uncased takes texts"),
        (("vgg-16", 1, 0, 64), "^columns: vgg-16 takes images of one size"), (("resnet-18", 0), "^batch: must be >= 1"), (("alexnet", -3), "^batch: must be >= 1"), (("squeezenet-1.0", 1, 3), "^image: is too small"),
    ],
)  # fmt: skip
def test_a_size_that_a_network_has_not_is_refused(given, said):
    with pytest.raises(SpecError, match=said):
        build(*given)


def as_stored(graph):
    """The graph with its attributes as ONNX stores them: numbers in 32 bits."""

    def stored(value):
        return float(np.float32(value)) if isinstance(value, float) else value

    nodes = [
        msgspec.structs.replace(
            node, attributes={key: stored(value) for key, value in node.attributes.items()}
        )
        for node in graph.nodes
    ]
    return msgspec.structs.replace(graph, nodes=tuple(nodes))


def check(graph, ids=()):
    """The graph's cascades compute what ONNX's reference evaluator makes of the whole graph."""
    graph, values = as_stored(graph), stored_values(graph)
    rng = np.random.default_rng(7)
    inputs = {
        name: rng.integers(0, 2, graph.shapes[name])
        if name in ids
        else rng.standard_normal(graph.shapes[name])
        for name in graph.inputs
    }
    expected = ReferenceEvaluator(to_onnx(graph, values, ids)).run(None, inputs)
    found = computed(GraphNetwork(graph=graph), values, inputs)
    # The evaluator holds the constants of these in 32 bits.
    close = 1e-7 if any(node.op in {"HardSwish", "Gelu"} for node in graph.nodes) else 1e-9
    for name, wanted in zip(graph.outputs, expected, strict=True):
        assert np.std(wanted) > 0
        np.testing.assert_allclose(found[name], wanted, rtol=1e-6, atol=close * np.abs(wanted).max())


SMALL = {
    "resnet-18": 32, "resnet-50": 32, "resnext-50-32x4d": 32, "regnet-y-400mf": 32, "squeezenet-1.1": 64, "mobilenet-v1": 32,
    "mobilenet-v2": 32, "mobilenet-v3-small": 32, "mnasnet-0.5": 32, "efficientnet-b0": 32, "efficientnet-lite0": 32,
    "shufflenet-v2-x0.5": 32, "densenet-121": 32, "googlenet": 64, "inception-v3": 107, "convnext-tiny": 32, "vit-b-32": 64,
    "deit-tiny": 48, "yolov5n": 64, "yolov8n": 64, "fcn-resnet-50": 24, "unet": 16,
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("name", SMALL)
def test_a_network_computes_what_its_graph_does(name):
    check(build(name, image=SMALL[name]))


def test_shufflenet_computes_what_its_graph_does():
    check(build("shufflenet-v2-x0.5", image=32))


def test_words_in_layers_of_attention_compute_what_their_graph_does(monkeypatch):
    monkeypatch.setitem(attending._BERTS, "bert-base-uncased", (8, 2, 2))
    check(build("bert-base-uncased", batch=2, seq=5), ids=("words", "types"))


@pytest.mark.parametrize("batch", [1, 2])
def test_windows_of_attention_compute_what_their_graph_does(monkeypatch, batch):
    monkeypatch.setitem(attending._SWINS, "swin-t", (32, (2, 2)))
    check(build("swin-t", batch=batch, image=56))


def test_branches_that_are_read_again_stay_alive():
    b = GraphBuilder("fork", "", Size(image=8))
    x = b.image(8)
    left = b.conv(x, 4, 3, name="left")
    right = b.conv(x, 8, 1, name="right")
    last = b.conv(b.concat(left, right), 2, 1, name="last")
    network = GraphNetwork(graph=b.graph(last))
    # x and left; x, left and right; then the two, which are put beside each other without a copy, and the last.
    assert network.live == ((3 + 4) * 64, (3 + 4 + 8) * 64, (4 + 8 + 2) * 64)
    views, padding = network.notes
    assert views == "cost nothing, as views of memory: Concat x1"
    assert padding == "inputs of 1 part are read with padding, 56.2% more than there is"  # 10 x 10 for 8 x 8


def test_the_sources_are_papers_or_releases():
    assert entry("resnet-50").source == "He et al., arXiv 1512.03385"
