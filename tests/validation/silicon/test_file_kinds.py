"""Files of others are recognised by their columns; a row is judged, or listed with the reason why not."""

from __future__ import annotations

import pytest

from einsim.accel.load import load_machine
from einsim.specs.errors import SpecError
from einsim.validation.silicon.chip_figure import ChipFigure
from einsim.validation.silicon.file_kinds import KINDS, NotKnown, image_settings, read_file
from einsim.validation.silicon.names import fused_attention, is_named, layer, network, networks, shape
from einsim.workloads.load import load_model, load_workload
from einsim.workloads.settings import read_settings

HEAD = "model,component,precision,chipset,runtime,latency_ms,layers_cpu,input_resolution\n"


def read(tmp_path, text):
    path = tmp_path / "rows.csv"
    path.write_text(text)
    return list(read_file(path))


def test_a_row_is_a_run_of_ours(tmp_path):
    (row,) = read(
        tmp_path, f"# source: a page\n{HEAD}resnet50,ResNet50,w8a8,SA8295P,tflite,1.314,0,224x224\n"
    )
    assert row == ChipFigure(
        machine="sa8295p-core", kind="networks", name="resnet-50", work="resnet-50",
        settings={"bits": "8", "precision": "8", "moves": "copies", "image": "224"},
        variant="w8a8 tflite", quantity="latency_s", value=1.314e-3, source="a page",
    )  # fmt: skip
    assert (row.group, row.side) == ("sa8295p-core networks", "held-out")


@pytest.mark.parametrize(
    ("cells", "why", "missed"),
    [
        ("resnet50,ResNet50,w8a8,Kirin,tflite,1,0,224x224", "no machine", False),
        ("esrgan,ESRGAN,w8a8,SA8295P,tflite,1,0,224x224", "no network", False),
        ("vgg99,VGG,w8a8,SA8295P,tflite,1,0,224x224", "no network", True),
        ("resnet50,ResNet50,w8a8,SA8295P,tflite,1,3,224x224", "layers_cpu is 3", False),
        ("resnet50,ResNet50,w2a2,SA8295P,tflite,1,0,224x224", "precision w2a2", False),
    ],
)
def test_what_is_not_judged_says_why(tmp_path, cells, why, missed):
    (row,) = read(tmp_path, f"{HEAD}{cells}\n")
    assert isinstance(row, NotKnown)
    assert row.why.startswith(why)
    assert (row.line, row.missed) == (2, missed)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "holds no table"), ("a,b\n1,2\n", "has the columns of no kind of file"), ("a,b\n1\n", ":2: must have 2 cells"),
        (f"{HEAD}resnet50,ResNet50,w8a8,SA8295P,tflite,fast,0,224x224\n", ":2 latency_ms: must be a number above 0"),
        (f"{HEAD}resnet50,ResNet50,w8a8,SA8295P,tflite,-1,0,224x224\n", ":2 latency_ms: must be a number above 0"),
        (f"{HEAD}resnet50,ResNet50,w8a8,SA8295P,tflite,nan,0,224x224\n", ":2 latency_ms: must be a number above 0"),
        (f'{HEAD}"resnet50\n', "is no table"),
    ],
)  # fmt: skip
def test_a_bad_file_is_one_line(tmp_path, text, said):
    with pytest.raises(SpecError) as raised:
        read(tmp_path, text)
    assert said in str(raised.value)
    assert "\n" not in str(raised.value)


def test_every_name_is_of_something_that_can_be_built():
    sections = ("aihub", "aihub-llm", "vitis-ai", "rknn", "coral", "fpga-llm", "rkllm")
    for section in sections:
        for known in networks(section):
            found = network(section)((known,))
            model = load_model(found.work)
            assert model is not None, known
            read_settings(model.parameters, found.settings, known)
    assert len({found for section in sections for found in networks(section).values()}) >= 40


def test_every_chip_is_a_preset():
    for kind in KINDS:
        for known in kind.chips.values():
            name, *pairs = known.split()
            own = [pair.split("=", 1) for pair in pairs]
            load_machine(
                name, {key.removeprefix("accel."): value for key, value in own if key != "sparse"}
            )  # which is the work's


def test_sizes_of_images_are_read_in_every_order():
    assert image_settings("resnet-50", "224x224") == {"image": "224"}
    assert image_settings("resnet-50", "[1, 3, 640, 320]") == {"image": "640", "columns": "320"}
    assert image_settings("resnet-50", "512x1024x3") == {"image": "512", "columns": "1024"}
    assert image_settings("resnet-50", "[1, 513, 513, 1]") == {"image": "513"}
    assert image_settings("vgg-16", "224x224") == {}  # of one size
    assert image_settings("bert-base-uncased", "1x384") == {}


def test_shapes_are_cascades_with_their_macs():
    macs = {
        ("gemm", "8x64x128"): 8 * 64 * 128, ("ffn_gated", "8x64x128"): 3 * 8 * 64 * 128,
        ("ffn_erf", "8x64x128"): 2 * 8 * 64 * 128, ("attn_enc", "12x32x64"): 2 * 12 * 32 * 32 * 64,
        ("attn_dec", "24x8x4x512x128"): 2 * 24 * 4 * 512 * 128,
    }  # fmt: skip
    for cells, count in macs.items():
        found = shape(cells)
        assert load_workload(found.work, found.settings).macs == count
        assert found.name == " ".join(cells)
    assert shape(("gemm", "8x64")) is None
    assert shape(("conv", "8x64")) is None


def test_layers_and_fused_attention_are_cascades_with_their_macs():
    # AlexNet's second layer, 4 images: 27 x 27 results of 256 maps in 2 groups, 5 x 5 x 48 taps.
    found = layer(("4", "27", "5", "48", "256", "1", "2"))
    assert load_workload(found.work, found.settings).macs == 895_795_200
    assert found.name == "conv 27x5x48x256x1x2"
    found = fused_attention(("decode", "4", "8", "512", "128"))
    assert load_workload(found.work, found.settings).macs == 2 * 4 * 8 * 512 * 128
    assert layer(("4", "27", "5", "48", "256", "1", "two")) is None


def test_names_are_looked_up_without_what_a_release_adds():
    find = network("vitis-ai", strip=r"(_imagenet|_coco|_VOC)?(_3\.5)?$")
    assert find(("pt", "resnet50_imagenet")) == find(("pt", "resnet50_3.5"))
    assert find(("tf2", "resnet50_imagenet")).work == "resnet-50-v1"  # Keras' strides
    assert find(("tf", "resnet18_imagenet")) is None


def test_figures_of_one_row_have_settings_of_their_own(tmp_path):
    head = "model,component,precision,chipset,runtime,tokens_per_second,ttft_ms_min\n"
    rows = read(tmp_path, f"{head}llama_v3_2_1b_instruct,L,w4,SA8295P,genie,11.0,225\n")
    assert [(row.quantity, row.value, row.settings["seq"]) for row in rows] == [
        ("tokens_per_s", 11.0, "128"), ("first_token_s", 0.225, "128"),
    ]  # fmt: skip
    assert {row.group for row in rows} == {"sa8295p-core language models"}


def test_a_detector_with_a_resnet_inside_is_not_a_resnet():
    assert is_named("ResNet-101")
    assert not is_named("detr_resnet50")


def test_a_dpu_is_a_board_or_a_size(tmp_path):
    head = "src,board,dpu_config,framework,network,input,prune_ratio,fps_single_thread,fps_multi_thread\n"
    line = "model zoo@v2.5 x,ZCU104,2 * B4096,tf,resnetv1_50_imagenet,224x224,{},93.84,175\n"
    whole, pruned = read(tmp_path, head + line.format("") + line.format("0.38"))
    assert (whole.machine, whole.work, whole.quantity, whole.value) == (
        "zcu104-dpu", "resnet-50-slim", "per_s", 175.0,
    )  # fmt: skip
    assert (whole.settings["between"], whole.settings["sums"], whole.variant) == ("dram", "apart", "v2.5")
    assert pruned.why == "prune_ratio is 0.38"
    head = "arch,pp,icp,ocp,peak_ops_per_cycle,dsp_usage,lut,register,bram36,dsp\n"
    rows = read(tmp_path, f"{head}B512,4,8,8,512,low,20759,33572,69.5,66\n")
    assert {row.quantity: row.value for row in rows} == {"lut": 20759, "ff": 33572, "bram36": 69.5, "dsp": 66}
    assert {(row.name, row.work, row.side) for row in rows} == {("dpu-b512", "", "fit")}


@pytest.mark.parametrize(
    ("text", "machine", "settings"),
    [
        ("macs,conv_buffer_kb,sdram_gb_s,resnet50_int8_fps\n1024,256,15,153\n", "nvdla-large",
         {"tensor.rows": "64", "tensor.cols": "16", "scratchpad": "256KiB", "dram.bandwidth": "15GB/s"}),
        ("model,accelerator,core_mhz,inference_ms\nmobilenet_v2_1.0_224_quant,ethos-u55-256,500,9\n",
         "ethos-u55-128", {"tensor.pixels": "4", "image": "224"}),
        ("tpu,timing,dtype,m,n,k,time_us\nv6e,trace (device),bfloat16,128,4096,512,9\n", "tpu-v6e",
         {"m": "128", "n": "4096", "k": "512"}),
    ],
)  # fmt: skip
def test_estimates_and_products_are_rows_of_machines_by_size(tmp_path, text, machine, settings):
    (row,) = read(tmp_path, text)
    assert row.machine == machine
    assert settings.items() <= row.settings.items()
    load_machine(machine, {key: value for key, value in row.settings.items() if "." in key})


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("chip,parameter,value,source\nv6e,peak,918,a\n", "a machine's parameter"),
        ("arch,feature,quantity,value,source\nB512,depthwise_conv,extra_lut,1734,a\n", "a difference of two"),
        ("tpu,timing,dtype,m,n,k,time_us\nv6e,host wall clock,bfloat16,128,4096,512,150\n", "timing is host"),
        ("device,network,bits,fc,compute_dsps,fps\nZU9,VGG-16,6,with FC,128,9\n", "no machine of this name"),
    ],
)
def test_what_is_no_figure_of_a_machine_is_listed(tmp_path, text, why):
    (row,) = read(tmp_path, text)
    assert isinstance(row, NotKnown)
    assert not row.missed
    assert row.why.startswith(why)


def test_zeros_of_a_layers_results_are_the_next_layers_or_its_own(tmp_path):
    """By channels: 64 results are what the second layer reads, and 128 not what the third does."""
    head = "net,layer,batch,ifmap_padded,filter,ofmap,c_per_group,m,stride,groups,processing_latency_ms,ifmap_zeros_pct\n"
    lines = [
        "a,1,1,6,3,4,3,64,1,1,9,1.6",
        "a,2,1,6,3,4,32,128,1,2,9,47.7",
        "a,3,1,6,3,4,64,64,1,1,9,20",
        "b,4,1,6,3,4,64,64,1,1,9,30",
    ]
    found = read(tmp_path, head + "\n".join(lines) + "\n")
    zeros = [(row.settings["zeros"], row.settings["zero_results"]) for row in found]
    assert zeros == [("0.016", "0.477"), ("0.477", "0.477"), ("0.2", "0.2"), ("0.3", "0.3")]
