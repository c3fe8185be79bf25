"""Tables of models: each row is a claim; what Epoch AI's table says, and rows that are bad in every way."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from dist_epochs.audit.model_table.audited import audit_model_table
from dist_epochs.audit.model_table.columns import columns_of
from dist_epochs.audit.model_table.peaks import peaks_of
from dist_epochs.audit.model_table.rows import read_model_table
from dist_epochs.cli.main import main
from dist_epochs.render.model_table import model_table_text

EXTRACT = Path(__file__).parent / "epoch_extract.csv"

HEADER = (
    "Model,Domain,Parameters,Parameters notes,Training compute (FLOP),Training dataset size (total),Epochs,"
    "Training time (hours),Training hardware,Hardware quantity,Hardware utilization (MFU),Training chip-hours,"
    "Numerical format,Base model,Finetune compute (FLOP),Confidence"
)

# model of the extract: verdict, and what settles it or is off
EXPECTED = {
    "GPT-3 175B (davinci)": ("consistent-only-if", "data are counted in words of 4/3 tokens"),
    "Llama 2-7B": ("consistent-only-if", "data are counted in words of 4/3 tokens"),
    "DBRX": (
        "consistent-only-if",
        "FLOPs count the 36B active parameters alone and data are counted in words of 4/3 tokens",
    ),
    "Llama 3-70B": ("consistent-only-if", "attention and recomputation make the FLOPs 1.25 times as many"),
    "T0-XXL": ("inconsistent", "stated chip-hours 69,120 → 6,912 (× 0.1), a zero lost or added"),
    "TxGemma 9B": ("consistent-only-if", "the compute of Gemma 2 9B, 4.32e23, is included"),
    "Gemma 2 9B": ("consistent", ""),
    "SigLIP 400M": ("consistent-only-if", "the 120 hours are those of one of at least 2 runs"),
    "GenCast": ("consistent-only-if", "chip-hours are chip-days"),
    "BLOOM-176B": ("inconsistent", "compute of the devices: 1.656 times"),
    "Megatron-Turing NLG 530B": ("consistent-only-if", "27% of the hours were pauses and restarts"),
    "Hybrid H3-2.7B": ("consistent-only-if", "the data are counted with their epochs"),
    "Phi-4-Reasoning": ("underdetermined", "it includes that of the base model"),
    "Transformer + GFM": ("consistent-only-if", "chip-hours are hours, of 8 devices each"),
    "MADLAD-400 10B": ("inconsistent", "12 times"),
    "Qwen3-8B": ("consistent", ""),
    "LIMA": ("inconsistent", "0.009994 times"),
    "OtterHD-8B": ("consistent-only-if", "chip-hours are those of one of 3 runs"),
    "ProteinLM": ("inconsistent", "a utilization of 294 %"),
    "ESM2-15B": ("consistent-with-rounding", ""),
    "CLIP (ViT L/14@336px)": ("underdetermined", "third-party estimation"),
}


@pytest.fixture(scope="module")
def extract():
    return {row.row.name: row for row in audit_model_table(read_model_table(EXTRACT)).rows}


@pytest.mark.parametrize("name", EXPECTED)
def test_real_rows(name, extract):
    verdict, said = EXPECTED[name]
    assert (str(extract[name].audit.verdict), said in extract[name].settled_by) == (verdict, True)


def test_every_real_row_is_expected(extract):
    assert set(extract) == set(EXPECTED)


def test_factor_and_utilization(extract):
    assert extract["GPT-3 175B (davinci)"].factor == pytest.approx(0.7504, abs=1e-4)
    assert float(extract["GPT-3 175B (davinci)"].utilization) == pytest.approx(0.1964, abs=1e-4)
    assert extract["GenCast"].factor is None
    assert float(extract["GenCast"].utilization) == pytest.approx(9.6, abs=0.01)


def audited(tmp_path, *rows, header=HEADER):
    path = tmp_path / "models.csv"
    path.write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
    return audit_model_table(read_model_table(path))


def row(**cells):
    names = {
        "model": "Model", "domain": "Domain", "parameters": "Parameters", "notes": "Parameters notes",
        "compute": "Training compute (FLOP)", "data": "Training dataset size (total)", "epochs": "Epochs",
        "hours": "Training time (hours)", "hardware": "Training hardware", "devices": "Hardware quantity",
        "mfu": "Hardware utilization (MFU)", "chip_hours": "Training chip-hours", "format": "Numerical format",
        "base": "Base model", "tuning": "Finetune compute (FLOP)", "confidence": "Confidence",
    }  # fmt: skip
    said = {names[name]: str(text) for name, text in cells.items()}
    return ",".join(said.get(column, "") for column in HEADER.split(","))


LANGUAGE = {"model": "m", "domain": "Language", "parameters": "1e9", "data": "2e10", "epochs": "1.0"}
H100S = {"model": "m", "hardware": "NVIDIA H100 SXM5 80GB", "devices": "100.0", "hours": "100.0"}
# 100 × 100 × 3600 × 989.4e12 = 3.562e22

MADE = {
    "6 N D": (LANGUAGE | {"compute": "1.2e20"}, "consistent", ""),
    "epochs multiply": (LANGUAGE | {"compute": "4.8e20", "epochs": "4.0"}, "consistent", ""),
    "epochs are in the data": (
        LANGUAGE | {"compute": "1.2e20", "epochs": "7.0"},
        "consistent-only-if",
        "the data are counted with their epochs",
    ),
    "forward only": (LANGUAGE | {"compute": "4.0e19"}, "consistent-only-if", "the forward pass alone"),
    "multiply-adds": (LANGUAGE | {"compute": "6.0e19"}, "consistent-only-if", "one operation"),
    "active parameters": (
        LANGUAGE | {"compute": "2.4e19", "notes": "1B in all; 200M parameters are active"},
        "consistent-only-if",
        "the 200M active parameters",
    ),
    "no epochs accuse nobody": (LANGUAGE | {"compute": "1.9e21", "epochs": ""}, "underdetermined", "15.83 epochs"),
    "a speculative compute accuses nobody": (
        LANGUAGE | {"compute": "1.9e21", "confidence": "Speculative"},
        "underdetermined",
        "speculative",
    ),
    "images are no tokens": (
        LANGUAGE | {"compute": "2.4e22", "domain": "Vision"},
        "underdetermined",
        "a datum uses each parameter 200 times",
    ),
    "nothing fits": (LANGUAGE | {"compute": "1.9e21"}, "inconsistent", "0.06316 times"),
    "fine-tuning has a column of its own": (
        LANGUAGE | {"base": "n", "tuning": "1.2e20", "compute": "5e23"},
        "consistent",
        "",
    ),
    "a third of the peak": (H100S | {"compute": "1.2e22"}, "consistent", ""),
    "above all of it": (H100S | {"compute": "5e22"}, "consistent-only-if", "products were made in fp8, not bf16"),
    "a peak for sparse matrices": (
        H100S | {"hardware": "NVIDIA A100", "compute": "1.5e22"},
        "consistent-only-if",
        "the peak is that of sparse matrices",
    ),
    "days for hours": (H100S | {"compute": "2.6e23"}, "consistent-only-if", "hours are days"),
    "in fp8 it is not": (H100S | {"compute": "5e22", "format": "FP8"}, "consistent", ""),
    "an fp32 that was none": (
        H100S | {"compute": "2.5e22", "format": "FP32"},
        "consistent-only-if",
        "products were made in bf16, not fp32",
    ),
    "fifty times too much": (H100S | {"compute": "2e24"}, "inconsistent", "a utilization of 5,615 %"),
    "hours of one run": (
        H100S | {"compute": "6e21", "hardware": "NVIDIA V100"},
        "consistent-only-if",
        "at least 2 runs",
    ),
    "hardly used": (H100S | {"compute": "2e20"}, "underdetermined", "a utilization of 0.562 %"),
    "the stated utilization": (H100S | {"compute": "1.425e22", "mfu": "0.40"}, "consistent", ""),
    "a utilization in per cent": (H100S | {"compute": "1.425e22", "mfu": "40"}, "consistent-only-if", "in per cent"),
    "recomputation is counted": (
        H100S | {"compute": "1.0686e22", "mfu": "0.40"},
        "consistent-only-if",
        "recomputation",
    ),
    "pauses": (H100S | {"compute": "1.2e22", "mfu": "0.40"}, "consistent-only-if", "16% of the hours were pauses"),
    "cores, not chips": (
        H100S | {"hardware": "Google TPU v3", "devices": "128", "mfu": "0.50", "compute": "1.417e21"},
        "consistent-only-if",
        "a device is a TPU v3 core",
    ),
    "chip-hours": (H100S | {"chip_hours": "10000.0"}, "consistent", ""),
    "chip-hours of seven runs": (H100S | {"chip_hours": "70000.0"}, "consistent-only-if", "one of 7 runs"),
    "two kinds of device": (
        H100S | {"hardware": '"NVIDIA A100,NVIDIA H100 SXM5 80GB"', "devices": "10", "compute": "1e21"},
        "consistent",
        "",
    ),
    "digits that arithmetic left": (
        LANGUAGE | {"compute": "1.2199999999999999e20", "data": "2.0333e10"},
        "consistent",
        "",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", MADE)
def test_readings(case, tmp_path):
    cells, verdict, said = MADE[case]
    (found,) = audited(tmp_path, row(**cells)).rows
    assert (str(found.audit.verdict), said in found.settled_by) == (verdict, True), found.settled_by


def test_bad_rows_never_end_it(tmp_path):
    found = audited(
        tmp_path,
        row(),
        row(model="text", domain="Language", parameters="about seven", compute="1e22", data="nan"),
        row(model="zero", parameters="0.0", compute="1e22", data="-5"),
        row(model="device", hardware="Acme Blazer 9", devices="8", hours="10", compute="1e20"),
        row(model="two numbers", parameters='"1.5e8,2.0e3"', compute="1e22", data="1e400"),
        "short,Language,1e9",
        row(**LANGUAGE, compute="1.2e20") + ",more,cells",
        row(**LANGUAGE, compute="1.2e20"),
        '"never closed,Language,1e9',
    )
    problems = {each.row.name: each.row.problems for each in found.rows}
    assert "parameters: number 'about seven' is not a number" in problems["text"][0]
    assert problems["zero"][0] == "parameters: 0 counts nothing"
    assert len(problems["two numbers"]) == 2
    assert problems["short"] == ("3 cells, and the header has 16",)
    assert dict(found.unknown) == {"Acme Blazer 9": 1}
    assert [str(each.audit.verdict) for each in found.rows].count("consistent") == 2
    assert "Not in the table of devices: Acme Blazer 9." in model_table_text(found)


@pytest.mark.parametrize(
    ("compute", "verdict"), [("1.425e22", "consistent"), ("1.1e22", "consistent"), ("0.9e22", "consistent-only-if")]
)
def test_a_utilization_of_the_hardware_may_count_recomputation(compute, verdict, tmp_path):
    header = HEADER.replace("Hardware utilization (MFU)", "Hardware utilization (HFU)")
    (found,) = audited(tmp_path, row(**H100S | {"compute": compute, "mfu": "0.40"}), header=header).rows
    assert str(found.audit.verdict).startswith(verdict)


def test_a_unit_is_never_dropped(tmp_path):
    cells = H100S | {"compute": "1.2e22", "hours": "100 steps", "devices": "100 GPUs"}
    (found,) = audited(tmp_path, row(**cells)).rows
    assert found.row.problems == ("hours: 100 steps counts steps",)
    assert set(found.row.numbers) == {"compute", "devices"}
    (days,) = audited(tmp_path, row(**H100S | {"hours": "3 days"})).rows
    assert days.row.problems


def test_a_cell_that_is_too_long_is_a_bad_row(tmp_path):
    found = audited(tmp_path, row(model="x" * 200_000), row(**LANGUAGE, compute="1.2e20"))
    assert [bool(each.row.problems) for each in found.rows] == [True, False]


@pytest.mark.parametrize(
    ("header", "column"),
    [
        ("Training dataset size (datapoints)", "data"),
        ("Training dataset size (gradients)", "data"),
        ("Training dataset size (total)", "data"),
        ("(DEPRECATED) Training dataset size (datapoints)", "data"),
        ("System", "model"),
        ("Hardware utilization", "utilization"),
        ("Hardware utilization (MFU)", "utilization"),
        ("Training compute (FLOPs)", "compute"),
        ("training_time (hours)", "hours"),
    ],
)
def test_headers_now_and_before(header, column):
    assert columns_of([header]) == {column: 0}


def test_missing_columns_are_named(tmp_path):
    found = audited(tmp_path, "m,1e9,1.2e20", header="Model,Parameters,Training compute (FLOP)")
    assert found.missing == ("data", "epochs", "hours", "devices", "utilization", "hardware")
    assert "Columns that are not there: data, epochs" in model_table_text(found)
    assert found.rows[0].settled_by == "it gives no data"


def test_peaks():
    assert float(peaks_of("NVIDIA A100 SXM4 80 GB", "").peak) == 312e12
    assert float(peaks_of("NVIDIA H100 SXM5 80GB", "FP8,BF16,FP32").peak) == 1979e12
    assert float(peaks_of("NVIDIA V100", "FP32").peak) == 125e12
    assert peaks_of("NVIDIA A100,Nothing", "").unknown == ("Nothing",)


def call(*arguments):
    return CliRunner().invoke(main, ["audit", "--table", *map(str, arguments)])


def test_the_command(tmp_path):
    result = call(EXTRACT)
    assert result.exit_code == 1
    assert "21 models: 5 inconsistent" in " ".join(result.stdout.split())  # a long path wraps the line
    assert max(map(len, result.stdout.splitlines())) <= 80
    data = json.loads(call(EXTRACT, "--json").stdout)
    assert data["summary"]["inconsistent"] == 5
    model = next(each for each in data["models"] if each["id"] == "LIMA")
    assert (model["verdict"], round(model["factor"], 6), model["line"]) == ("inconsistent", 0.009994, 20)
    path = tmp_path / "fine.csv"
    path.write_text(f"{HEADER}\n{row(**LANGUAGE, compute='1.2e20')}\n")
    assert call(path).exit_code == 0


def test_markdown(tmp_path):
    path = tmp_path / "models.md"
    path.write_text(
        "What we trained, in short:\n\n"
        "| Model | Domain | Parameters | Training compute (FLOP) | Training tokens | Epochs |\n"
        "|---|---|---|---|---|---|\n| a | Language | 7B | 4.2e22 | 1T | 1 |\n| b | Language | 7B | 4.2e22 | 1T | 3 |\n"
    )
    (first, second) = audit_model_table(read_model_table(path)).rows
    assert str(first.audit.verdict) == "consistent"
    assert second.settled_by == "the data are counted with their epochs"


def test_a_mixture_is_still_a_mixture(tmp_path):
    path = tmp_path / "mixture.csv"
    path.write_text("source,share\na,0.6\nb,0.4\n")
    assert "sum of the shares" in call(path).stdout
    assert call(EXTRACT, "--tokens", "1T").exit_code == 2
