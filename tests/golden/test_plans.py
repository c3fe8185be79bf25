"""What the planner must show, as a user asks for it: flags and shipped recipes, read back from the JSON."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from dist_epochs.cli.main import main
from dist_epochs.recipe import read_recipe

CONFIGS = Path(__file__).parent.parent.parent / "configs"


def ask(*arguments, code=0):
    result = CliRunner().invoke(main, ["plan", *map(str, arguments), "--json"])
    assert result.exit_code == code, result.output
    return json.loads(result.stdout if code == 0 else result.stderr)


def rules(plan):
    return {warning["rule"]: warning["message"] for warning in plan["warnings"]}


def test_bert_with_its_two_lengths():
    # Devlin et al. 2019, arXiv:1810.04805, appendix A.2: 90 % of the steps at 128, 10 % at 512
    plan = ask(CONFIGS / "bert-base.yaml")
    assert (plan["steps"], plan["samples"], plan["positions"]) == (1_000_000, 256_000_000, 42_598_400_000)
    assert plan["epochs"]["positions"] == pytest.approx(10.3269, abs=1e-4)
    assert plan["epochs_exact"]["positions"] == "212992/20625"
    as_papers = ask(CONFIGS / "bert-base.yaml", "--tokens-per-word", "1")
    assert as_papers["epochs"]["positions"] == pytest.approx(12.9086, abs=1e-4)
    assert "words-as-tokens" in rules(as_papers)
    assert "sequence-phases" in rules(plan)


def test_bert_with_one_length():
    plan = ask("--steps", "1M", "--batch", "256x512", "--corpus", "3.3B words", "--tokens-per-word", "1")
    assert plan["positions"] == 131_072_000_000
    assert plan["epochs"]["positions"] == pytest.approx(39.7188, abs=1e-4)


def test_a_token_budget_in_one_line():
    plan = ask("--tokens", "300B", "--batch", "4Mi tokens", "--sequence-length", "4096", "--devices", "64")
    assert plan["steps"] == 71_526  # 300e9 / 4194304 = 71525.57
    assert plan["global_batch"]["samples"] == 1024
    assert plan["positions"] == 71_526 * 2**22
    assert "1,787,904 positions more" in rules(plan)["budget-rounded"]


@pytest.mark.parametrize(
    ("last_window", "epochs", "samples", "drawn"),
    [("carry", 16.22, 2400, 2400), ("flush", 15.41, 2280, 2280), ("drop", 16.22, 2400, 2464)],
)
def test_148_samples(last_window, epochs, samples, drawn):
    # transformers 4.44, 4.48 and 5.23 on the same run: shared/facts user-pain, headline 3
    flags = ["--corpus", "148 samples", "--per-device", 2, "--gradient-accumulation", 6, "--steps", 200]
    plan = ask(*flags, "--last-window", last_window)
    assert round(plan["epochs"]["samples"], 2) == epochs
    assert (plan["samples"], plan["drawn"]["samples"]) == (samples, drawn)
    assert round(plan["drawn"]["passes"], 2) == (16.65 if last_window == "drop" else epochs)


@pytest.mark.parametrize(("last_window", "steps"), [("flush", 130), ("carry", 128), ("drop", 128)])
def test_4107_samples(last_window, steps):
    # a StackOverflow question ("why 128?"), whose accepted answer says 128 an epoch; it is 64.17
    flags = [
        "--corpus",
        "4,107 samples",
        "--per-device",
        8,
        "--gradient-accumulation",
        8,
        "--devices",
        1,
        "--epochs",
        2,
    ]
    assert ask(*flags, "--last-window", last_window)["steps"] == steps


@pytest.mark.parametrize(
    ("corpus", "per_device", "devices", "more", "samples"),
    [
        (1000, 32, 6, ["--epochs", 1], 1152),  # +15.2 %
        (101, 8, 4, ["--epochs", 1], 128),  # +26.7 %
        (24, 1, 5, ["--epochs", 1], 25),  # huggingface/accelerate issue 2316
        (91, 10, 2, ["--epochs", 10, "--gradient-accumulation", 2], 1000),  # huggingface/transformers issue 36297
    ],
)
def test_padding_draws_duplicates(corpus, per_device, devices, more, samples):
    flags = ["--corpus", f"{corpus} samples", "--per-device", per_device, "--devices", devices, "--uneven", "pad"]
    plan = ask(*flags, *more)
    assert plan["samples"] == plan["drawn"]["samples"] == samples
    assert plan["epochs"]["samples"] == pytest.approx(samples / corpus)
    assert "padded-duplicates" in rules(plan)


def test_91_samples_take_30_steps():
    plan = ask("--corpus", "91 samples", "--per-device", 10, "--devices", 2, "--gradient-accumulation", 2,
               "--epochs", 10, "--uneven", "pad")  # fmt: skip
    assert plan["steps"] == 30
    assert plan["epochs"]["samples"] == pytest.approx(10.989, abs=1e-3)


def test_an_impossible_batch_names_the_nearest():
    error = ask("--steps", 10, "--global-batch", 256, "--devices", 7, "--sequence-length", 128, code=2)
    assert error["errors"][0]["fixes"][:2] == ["252 (36 each)", "259 (37 each)"]


@pytest.mark.parametrize("more", [["--uneven", "drop", "--per-device", "4096"], ["--last-window", "drop"],
                                  ["--uneven", "drop", "--devices", "8", "--per-device", "512"]])  # fmt: skip
def test_dropping_a_large_batch_loses_data(more):
    plan = ask("--corpus", "10,000 samples", "--global-batch", 4096, "--epochs", 1, *more)
    assert (plan["steps"], plan["samples"]) == (2, 8192)
    assert "(18.08%)" in rules(plan)["dropped-data"]


MIXTURE = [
    "--source",
    "web:200B tokens:60%",
    "--source",
    "code:30B tokens:25%",
    "--source",
    "wiki:4B tokens:10%",
    "--source",
    "books:5B tokens:5%",
]


def test_a_mixture_has_one_epoch_count_per_source():
    plan = ask("--tokens", "300B", *MIXTURE, "--batch", "4Mi tokens", "--sequence-length", 4096, "--max-epochs", 4)
    epochs = {source["name"]: source["epochs"] for source in plan["sources"]}
    assert epochs == pytest.approx({"web": 0.9, "code": 2.5, "wiki": 7.5, "books": 3.0}, rel=1e-4)
    assert sum(source["samples"] for source in plan["sources"]) == plan["samples"]
    fitting = {source["name"]: source["fitting_share"] for source in plan["sources"]}
    assert fitting["wiki"] == 0.0533  # 4 epochs of 4B are 16B of 300B
    assert sum(fitting.values()) == pytest.approx(1)
    assert "wiki" in rules(plan)["over-the-cap"]
    for other in ("web", "code", "books"):
        assert f"{other} " not in rules(plan)["over-the-cap"]
    sizes = {"web": "200B", "code": "30B", "wiki": "4B", "books": "5B"}
    again = [f"--source={name}:{size} tokens:{fitting[name]:.4f}" for name, size in sizes.items()]
    shares = ask("--tokens", "300B", *again, "--batch", "4Mi tokens", "--sequence-length", 4096, "--max-epochs", 4)
    assert "over-the-cap" not in rules(shares)


def test_a_cap_that_the_budget_just_reaches():
    flags = ["--corpus", "1B tokens", "--batch", "64x128", "--epochs", 4, "--max-epochs", 4, "--devices", 1]
    assert {"over-the-cap", "repeated-data"} & set(rules(ask(*flags, "--strict"))) == set()


@pytest.mark.parametrize(
    ("model", "length", "parameters", "flops"),
    [
        ("bert-base", 128, 109_514_298, 667_948_032),
        ("bert-base", 512, 109_514_298, 710_415_360),
        ("gpt2", 1024, 124_439_808, 854_438_400),
        ("llama-7b", 2048, 6_738_415_616, 42_863_689_728),
        ("modernbert-base", 8192, 149_655_232, 1_517_975_568),
    ],
)
def test_cost_by_closed_form(model, length, parameters, flops):
    cost = ask("--steps", 10, "--global-batch", 8, "--sequence-length", length, "--model", model)["cost"]
    assert (cost["parameters"], cost["flops_per_token"]) == (parameters, flops)
    assert cost["flops"] == 10 * 8 * length * flops


@pytest.mark.parametrize(("epochs", "worth"), [(4, 3.7257), (40, 15.1675)])
def test_the_worth_of_repeats(epochs, worth):
    # Muennighoff et al. 2023, arXiv:2305.16264; constants of huggingface/datablations
    plan = ask("--corpus", "1,000 samples", "--global-batch", 10, "--epochs", epochs)
    assert plan["epochs"]["samples"] == epochs
    assert plan["repeats"]["unique_equivalents"] == pytest.approx(worth, abs=1e-4)


def test_every_shipped_recipe_states_its_precision():
    for path in CONFIGS.glob("*.yaml"):
        assert read_recipe(path).precision is not None, path


@pytest.mark.parametrize(
    ("name", "epochs", "hours"),
    [
        ("bert-base", 10.3269, None),
        ("gpt2-small", 32.6389, (70.1, 93.5)),  # "about 4 days" (karpathy/nanoGPT readme)
        ("llama-7b", 0.714287, (298, 373)),  # 82,432 GPU-hours (arXiv:2302.13971, table 15)
        ("mixture", 1.25524, None),
    ],
)
def test_the_recipes_in_configs(name, epochs, hours):
    plan = ask(CONFIGS / f"{name}.yaml")
    assert plan["epochs"]["positions"] == pytest.approx(epochs, rel=1e-4)
    if hours:
        found = plan["cost"]["ranges"]["wall_hours"]
        assert (found["low"], found["high"]) == pytest.approx(hours, rel=0.01)


def test_llama_s_hours_are_within_the_range():
    hours = ask(CONFIGS / "llama-7b.yaml")["cost"]["ranges"]["device_hours"]
    assert hours["low"] < 82_432 < hours["high"]


def test_with_replacement():
    plan = ask("--corpus", "14M samples", "--samples", "25.6M", "--global-batch", 256, "--replacement")
    assert 1 - plan["coverage"] == pytest.approx(0.161, abs=1e-3)  # DataComp: 25.6M draws of 14M


def test_parallel_sizes_share_data():
    flags = ["--steps", 10, "--global-batch", 8, "--sequence-length", 128, "--devices"]
    plan = ask(*flags, 24, "--context-parallel", 3, "--per-device", 1)
    assert plan["global_batch"]["data_parallel_size"] == 8
    refused = ask(*flags, 16, "--context-parallel", 3, code=2)
    assert refused["errors"][0]["fixes"][:2] == ["15 devices", "18 devices"]


def test_the_sweep_that_confuses_people():
    # huggingface/transformers issue 10768: "do I need to divide steps by the number of GPUs?"
    flags = ["--per-device", 32, "--sequence-length", 512, "--corpus", "4.29B tokens", "--sweep", "devices=1,2,4,8"]
    found = ask("--steps", "1M", *flags)
    steps = [entry["plan"]["steps"] for entry in found["fixed_steps"]]
    epochs = [round(entry["plan"]["epochs"]["positions"], 2) for entry in found["fixed_steps"]]
    assert steps == [1_000_000] * 4
    assert (epochs[0], epochs[-1]) == (3.82, 30.55)
    tokens = ask("--tokens", "40B", *flags)["fixed_tokens"]
    assert [entry["plan"]["steps"] for entry in tokens] == [2_441_407, 1_220_704, 610_352, 305_176]
