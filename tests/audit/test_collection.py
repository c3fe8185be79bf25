"""The shipped claims: their verdicts, and that each says where its numbers were read."""

import json
import re
import unicodedata
from pathlib import Path

import pytest
from click.testing import CliRunner

from dist_epochs.audit.claim_audit import audit_claim
from dist_epochs.audit.collection import claim_names, find_claim
from dist_epochs.cli.main import main
from dist_epochs.render.audit import audit_text
from dist_epochs.render.audit_markdown import audit_markdown
from dist_epochs.render.wrapping import width_of

VERDICTS = {
    "consistent": "bert-mlm bloom bluebert build-nanogpt chipnemo cleanrl-ppo convnext deberta deepseek-v3 detectron2 "
    "dopamine-dqn electra gopher gptj gptneo lamda llama3 llmc-gpt2 llmc-gpt3 mae meditron megatron "
    "modernbert mpt muennighoff nvidia-bert olmo-1b olmo2 olmoe openclip-laion2b pythia roberta-fairseq "
    "sam stable-diffusion stable-diffusion-2 tinyllama wav2vec2 wav2vec2-fairseq xlnet",
    "consistent-with-rounding": "galactica gpt3 openclip-laion400m proteinbert transformer",
    "consistent-only-if": "bert nanogpt roberta roberta-batches t5",
    "inconsistent": "esm1nv llmc-gpt2-xl olmo2-label silly-t5 whisper",
    "underdetermined": "albert alexnet alphago-zero dalle ddpm deepseek-llm distilbert esm2 falcon gpt-neox-20b gpt1 "
    "impala opt phi1.5 resnet spanbert vit",
}
EXPECTED = {name: verdict for verdict, names in VERDICTS.items() for name in names.split()}


def audited(name):
    return audit_claim(*find_claim(name))


def test_every_claim_has_a_verdict_here():
    assert set(claim_names()) == set(EXPECTED)


@pytest.mark.parametrize("name", claim_names())
def test_verdicts(name):
    found = audited(name)
    assert str(found.verdict) == EXPECTED[name]
    citation = find_claim(name)[1].citation
    assert citation.arxiv or citation.doi or citation.url or citation.where
    assert citation.year
    if found.only_if:
        assert not found.only_if.endswith(".")


def checks(name, reading):
    return {check.name: check for found in audited(name).readings if found.name == reading for check in found.checks}


def epochs(name):
    return {
        found.name: float(check.derived.point)
        for found in audited(name).readings
        for check in found.checks
        if check.name == "epochs"
    }


def test_bert_in_full():
    assert epochs("bert") == pytest.approx(
        {
            "as printed": 38.7879,
            "256 × 512 multiplied out": 39.7188,
            "two lengths": 12.9086,
            "two lengths, subwords": 11.0073,
            "one length, subwords": 33.8687,
        },
        abs=1e-4,
    )
    found = audited("bert")
    assert found.only_if == "every step has length 512 and a word is one token"
    reading, check = found.contrary
    assert (reading.name, check.name, round(1 / check.ratio, 1)) == ("two lengths", "epochs", 3.1)
    assert checks("bert", "as printed")["times each mask is seen"].agreement == "exact"


def test_roberta_s_batches_need_binary_k():
    binary = checks("roberta-batches", "a K in a batch is 1024")
    assert [str(check.agreement) for check in binary.values()] == ["exact", "exact", "overlaps"]


def test_figures_of_the_papers():
    assert epochs("nanogpt")["as printed"] == pytest.approx(32.6387, abs=1e-3)
    assert checks("t5", "as printed")["tokens"].derived.point == 2**35
    assert float(checks("gpt3", "as printed")["FLOPs of GPT-3 175B"].derived.point) == pytest.approx(3.1428e23)


def call(*arguments, code=0):
    result = CliRunner().invoke(main, ["audit", *map(str, arguments)])
    assert result.exit_code == code, result.output
    return result


def test_the_command():
    text = call("bert").stdout
    for line in (
        "CONSISTENT ONLY IF every step has length 512 and a word is one token.",
        "Read otherwise (two lengths), epochs come to 12.91: 3.1 times fewer.",
        "epochs ~40 38.79 overlaps 1M × 128,000 ÷ 3.3B",
        "256 × 512 multiplied 39.72 rounds 1M × 256 × 512 ÷ 3.3B",
    ):
        assert line in [" ".join(each.split()) for each in text.splitlines()]
    data = json.loads(call("bert", "--json").stdout)
    assert (data["id"], data["verdict"], data["only_if"]) == (
        "bert",
        "consistent-only-if",
        "every step has length 512 and a word is one token",
    )
    literal = data["readings"][0]
    assert (literal["literal"], literal["checks"][0]["derived"], literal["checks"][0]["agreement"]) == (
        True,
        "1280/33",
        "overlaps",
    )
    assert "bert" in call("--all").stdout
    claims = json.loads(call("--all", "--json").stdout)["claims"]
    assert [claim["id"] for claim in claims] == list(claim_names())


@pytest.mark.parametrize("name", claim_names())
def test_every_claim_fits_a_terminal_and_begins_with_its_verdict(name):
    found = audit_claim(*find_claim(name))
    lines = audit_text(found).splitlines()
    assert len(lines) <= 24
    assert lines[0].split()[0].rstrip(":") in ("CONSISTENT", "INCONSISTENT", "UNDERDETERMINED")
    full = audit_text(found, full=True).splitlines()
    assert max(width_of(line) for line in (*lines, *full)) <= 80
    for note in found.notes:
        assert note in " ".join(" ".join(full).split())
    rows = [line for line in audit_markdown(found).splitlines() if line.startswith("|")]
    assert len({len(re.findall(r"(?<!\\)\|", row)) for row in rows}) == 1


def test_a_review_in_markdown():
    review = call("bert", "--markdown").stdout
    for line in (
        "### BERT: Pre-training of Deep Bidirectional Transformers",
        "**CONSISTENT ONLY IF** every step has length 512 and a word is one token.",
        "| number | reading | stated | derived | agrees | how |",
        r"| epochs | two lengths | \~40 | 12.91 | no | 256 × (900,000 × 128 + 100,000 × 512) ÷ 3.3B |",
        "- https://arxiv.org/abs/1810.04805, appendix A.2",
        "- pieces: XLNet, arXiv:1906.08237, section 3.1: 2.78B + 1.09B subwords of the same corpora",
    ):
        assert line in review.splitlines()
    assert call("silly-t5", "--markdown", code=1).stdout.count("**INCONSISTENT:**") == 1
    assert call("--all", "--markdown").stdout.count("\n| ") == len(claim_names())
    assert "recalled, not read" in call("gpt1", "--markdown").stdout


def test_one_form_of_output():
    assert "--json and --markdown are given" in call("bert", "--json", "--markdown", code=2).stderr
    assert "--many and --full are given" in call("--many", "runs", "--full", code=2).stderr
    assert max(map(len, call("--all").stdout.splitlines())) <= 80


def test_what_is_no_claim():
    assert "try bert" in call("brt", code=2).stderr
    assert "nothing is named that could be audited" in call(code=2).stderr
    assert "nowhere.yaml: no such file" in call("nowhere.yaml", code=2).stderr
    assert "INCONSISTENT" in call("silly-t5", code=1).stdout


def test_a_claim_of_one_s_own(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text(
        "title: mine\nfacts: {steps: 1M steps, batch: 256 sequences}\n"
        "checks: {samples: {formula: steps * batch, stated: 256M}}\n"
    )
    assert "CONSISTENT as printed" in call(Path(path)).stdout


@pytest.mark.parametrize("name", ["BERT", "Bert", "ＢＥＲＴ", "DeepSeek_V3", "GPT3", "bert mlm"])
def test_names_in_any_case(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert find_claim(name)[0] == unicodedata.normalize("NFKC", name).lower().replace("_", "-").replace(" ", "-")


@pytest.mark.parametrize("name", ["missing.log", "missing.json", "run-abc.wandb", "a/b"])
def test_a_file_that_is_not_there_is_no_unknown_claim(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(main, ["audit", name, "--json"])
    (error,) = json.loads(result.stderr)["errors"]
    assert (result.exit_code, error["place"], error["asked"]) == (2, name, "no such file or folder")


def test_an_unknown_claim_gets_the_nearest(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(main, ["audit", "BRT", "--json"])
    assert json.loads(result.stderr)["errors"][0]["fixes"] == ["bert"]
