from datetime import date
from fractions import Fraction

import pytest

from dist_epochs.errors import InputError
from dist_epochs.plan.cost.hardware import devices, find_device, sparse_twin

TERA = 10**12

# as torch.cuda.get_device_name and JAX's device_kind write them, and as people do
NAMES = {
    "NVIDIA H100 80GB HBM3": "H100 SXM",
    "h100-sxm": "H100 SXM",
    "H100": "H100 SXM",
    "NVIDIA H100 PCIe": "H100 PCIe",
    "pcie h100": "H100 PCIe",
    "NVIDIA H200": "H200 SXM",
    "NVIDIA B200": "B200 SXM",
    "NVIDIA GB200": "GB200",
    "A100-80GB": "A100 SXM 80GB",
    "NVIDIA A100-SXM4-80GB": "A100 SXM 80GB",
    "NVIDIA A100-SXM4-40GB": "A100 SXM 40GB",
    "A100 SXM 40 GB": "A100 SXM 40GB",
    "NVIDIA A100 80GB PCIe": "A100 PCIe 80GB",
    "NVIDIA A100-PCIE-40GB": "A100 PCIe 40GB",
    "Tesla V100-SXM2-32GB": "V100 SXM2 32GB",
    "Tesla V100-SXM2-16GB": "V100 SXM2 16GB",
    "NVIDIA L4": "L4",
    "l40s": "L40S",
    "NVIDIA L40S": "L40S",
    "NVIDIA A10": "A10",
    "NVIDIA GeForce RTX 4090": "RTX 4090",
    "rtx_3090": "RTX 3090",
    "AMD Instinct MI250X": "MI250X GCD",
    "AMD Instinct MI300X": "MI300X",
    "TPU v5 lite": "TPU v5e",
    "Google Cloud TPU v5p": "TPU v5p",
    "TPU v6 lite": "TPU v6e",
    # as tables of published models write them
    "NVIDIA Tesla V100 DGXS 32 GB": "V100 SXM2 32GB",
    "NVIDIA A800 PCIe 40 GB": "A800 PCIe 40GB",
    "NVIDIA H800 SXM5": "H800 SXM",
    "AMD Radeon Instinct MI250X": "MI250X",
    "Google TPU v6e Trillium": "TPU v6e",
    "Google TPU v2": "TPU v2",
    "NVIDIA A40 PCIe": "A40",
}


@pytest.mark.parametrize(("name", "found"), NAMES.items())
def test_names_as_they_are_written(name, found):
    assert find_device(name).name == found


@pytest.mark.parametrize("device", devices(), ids=lambda device: device.name)
def test_a_device_is_found_by_its_own_name(device):
    assert find_device(device.name) is device


@pytest.mark.parametrize(
    "name",
    [
        "NVIDIA A10G", "L40", "NVIDIA H100 NVL", "NVIDIA GH200 480GB", "NVIDIA GeForce RTX 4090 D",
        "NVIDIA GeForce RTX 3090 Ti", "NVIDIA GeForce RTX 4090 Laptop GPU", "Tesla V100-PCIE-16GB", "NVIDIA",
        "NVIDIA A100-SXM4-40GB MIG 1g.5gb", "H100 80GB PCIe NVL", "H", "100", "", "TPU", "quantum",
    ],
)  # fmt: skip
def test_other_devices_are_not_taken_for_those_in_the_table(name):
    with pytest.raises(InputError, match="is not in the table, so no peak"):
        find_device(name)


def test_unknown_names_come_with_the_nearest():
    with pytest.raises(InputError, match="Try L40S, or L4"):
        find_device("L40")
    with pytest.raises(InputError, match="Try H100 SXM"):
        find_device("H100 SXN")
    with pytest.raises(InputError, match=r"Try V100 SXM2 16GB, .*TPU v6e"):
        find_device("quantum")


@pytest.mark.parametrize(
    ("name", "known_as", "those"),
    [
        ("A100", "A100", "A100 SXM 40GB, A100 SXM 80GB, A100 PCIe 40GB, A100 PCIe 80GB"),
        ("A100 PCIe", "A100 PCIe", "A100 PCIe 40GB, A100 PCIe 80GB"),
        ("Tesla V100", "V100 SXM2", "V100 SXM2 16GB, V100 SXM2 32GB"),
        ("MI250X", "MI250X", "MI250X GCD, MI250X module"),
        ("TPU v3", "TPU v3", "TPU v3 chip, TPU v3 core"),
    ],
)
def test_a_name_that_several_devices_have(name, known_as, those):
    device = find_device(name)
    assert device.name == known_as
    assert ", ".join(each.name for each in device.variants) == those


def test_variants_have_the_numbers_that_they_agree_in():
    a100, v100 = find_device("A100"), find_device("V100")
    assert a100.peak_flops("bf16") == 312 * TERA
    assert a100.peak_flops("fp32") == 156 * TERA
    assert (a100.memory_gb, a100.memories_gb, a100.watts) == (None, (40, 80), None)
    assert find_device("A100 SXM").watts == 400
    assert (v100.peak_flops("fp16"), v100.watts) == (125 * TERA, 300)
    assert find_device("H100").memories_gb == (80, 80)
    assert sparse_twin(a100, "bf16", Fraction(624 * TERA))


@pytest.mark.parametrize(
    ("name", "precision", "answers"),
    [
        ("MI250X", "bf16", "MI250X GCD: 191.5 TFLOP/s; MI250X module: 383 TFLOP/s"),
        ("TPU v3", "bf16", "TPU v3 chip: 123 TFLOP/s; TPU v3 core: 61.5 TFLOP/s"),
    ],
)
def test_variants_with_different_peaks_are_asked_for(name, precision, answers):
    with pytest.raises(InputError) as caught:
        find_device(name).peak_flops(precision)
    assert (caught.value.asked, caught.value.rule) == (
        f"device '{name}' may be any of several, which differ in the dense {precision} peak",
        answers,
    )
    assert [fix.rpartition(", ")[2] for fix in caught.value.fixes] == [
        answer.partition(":")[0] for answer in answers.split("; ")
    ]


def test_a_precision_that_no_variant_has():
    with pytest.raises(InputError) as caught:
        find_device("V100").peak_flops("bf16")
    assert caught.value.rule == "it has fp16 (125 TFLOP/s)"


@pytest.mark.parametrize(
    ("name", "precision", "tflops"),
    [
        ("H100 SXM", "bf16", "989.4"),
        ("H100 SXM", "tf32", "494.7"),
        ("H100 SXM", "fp8", "1979"),
        ("H100 PCIe", "bf16", "756"),
        ("A100 SXM 80GB", "bf16", "312"),
        ("V100 SXM2 32GB", "fp16", "125"),
        ("L40S", "bf16", "362"),
        ("RTX 4090", "bf16", "165.2"),
        ("MI250X GCD", "bf16", "191.5"),
        ("TPU v4", "bf16", "275"),
    ],
)
def test_dense_peaks(name, precision, tflops):
    assert find_device(name).peak_flops(precision) == Fraction(tflops) * TERA


def test_fp32_is_measured_against_the_tf32_peak():
    assert find_device("A100-80GB").peak_flops("fp32") == 156 * TERA


@pytest.mark.parametrize(
    ("name", "precision", "message"),
    [
        ("V100 16GB", "bf16", r"no dense bf16 peak is known for V100 SXM2 16GB.*it has fp16 \(125 TFLOP/s\)"),
        ("V100 16GB", "fp32", "no dense fp32 peak"),
        ("TPU v4", "fp16", r"it has bf16 \(275 TFLOP/s\)"),
        ("H100", "int4", "it has bf16"),
    ],
)
def test_a_precision_that_a_device_does_not_have(name, precision, message):
    with pytest.raises(InputError, match=message):
        find_device(name).peak_flops(precision)


@pytest.mark.parametrize("device", devices(), ids=lambda device: device.name)
def test_every_row_says_where_it_comes_from(device):
    assert device.source
    assert all(len(source) > 20 for source in device.source)
    assert date.fromisoformat(device.date) <= date.today()
    assert set(device.recalled) <= {"memory_gb", "bandwidth_tb_s", "watts", *device.dense_tflops}
    assert device.dense_tflops.keys() == {"bf16", "fp16", "tf32", "fp8"}
    assert device.memory_gb > 0
    assert 0 < device.bandwidth_tb_s < 10
    assert device.watts is None or 50 < device.watts <= 1200


SPARSE = {
    "H100 SXM": 1979,
    "H200": 1979,
    "H100 PCIe": 1513,
    "A100 80GB": 624,
    "L4": 242,
    "L40S": 733,
    "B200": 4500,
    "RTX 4090": 330.3,
}


@pytest.mark.parametrize("device", devices(), ids=lambda device: device.name)
def test_peaks_are_dense(device):
    """tf32 runs at half the rate of bf16 and fp8 at twice: a sparse number among dense ones would show."""
    peaks = {name: peak for name, peak in device.dense_tflops.items() if peak}
    half = peaks.get("bf16") or peaks["fp16"]
    assert peaks.get("fp16", half) == half
    assert Fraction(49, 100) <= peaks.get("tf32", half / 2) / half <= Fraction(51, 100)
    assert Fraction(195, 100) <= peaks.get("fp8", half * 2) / half <= Fraction(205, 100)
    assert half < 2501


@pytest.mark.parametrize(("name", "tflops"), SPARSE.items())
def test_peaks_with_sparsity_are_recognised(name, tflops):
    device = find_device(name)
    assert sparse_twin(device, "bf16", Fraction(tflops) * TERA)
    assert not sparse_twin(device, "bf16", device.peak_flops("bf16"))
    assert not sparse_twin(device, "bf16", device.peak_flops("bf16") * 3 / 2)
    assert not sparse_twin(device, "bf16", device.peak_flops("bf16") * 4)
