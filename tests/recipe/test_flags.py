from pathlib import Path

import pytest

from dist_epochs.errors import InputError
from dist_epochs.recipe import make_recipe
from dist_epochs.recipe.flags import apply_flags, split_devices
from dist_epochs.settings.document import Document


def recipe(*sources, document=None, **flags):
    document = document or Document("flags")
    apply_flags(document, {name: str(text) for name, text in flags.items()}, sources)
    return make_recipe(document, Path("flags"))


def document(tmp_path, text):
    path = tmp_path / "r.yaml"
    path.write_text(text)
    return Document.read(path)


ONE_PHASE = """
name: x
corpus: {tokens: 300B}
batch: {global_batch: 1Ki, per_device: 4}
phases: [{steps: 1k, sequence_length: 4Ki}]
"""
TWO_PHASES = ONE_PHASE.replace("}]", "}, {steps: 1k, sequence_length: 8Ki}]")
SHARES = TWO_PHASES.replace("steps: 1k", "share: 50%").replace("phases", "budget: {steps: 1k}\nphases")


def test_devices_may_name_their_kind():
    assert split_devices("64xA100-80GB") == ("64", "A100-80GB")
    assert split_devices("8 × RTX 4090") == ("8", "RTX 4090")
    assert split_devices("2**6") == ("2**6", None)
    assert split_devices("8XH100") == ("8", "H100")
    made = recipe(steps=10, global_batch=64, devices="8xH100", sequence_length=128)
    assert (made.batch.devices, made.hardware.device) == (8, "H100")


def test_a_batch_is_samples_times_length_or_tokens():
    made = recipe(steps=10, batch="256x512")
    assert (made.batch.global_batch.value, made.phases[0].sequence_length) == (256, 512)
    assert recipe(steps=10, batch="4Mi tokens", sequence_length=4096).batch.global_batch.value == 2**22
    assert recipe(steps=10, batch=32, corpus="148 samples").phases[0].sequence_length is None


def test_a_corpus_is_a_size_or_a_store(tmp_path):
    assert recipe(steps=1, batch="2x8", corpus="3.3B words", tokens_per_word=1).corpus.words.value == 3_300_000_000
    assert recipe(steps=1, batch="2x8", corpus="300B tokens").corpus.tokens.value == 300 * 10**9
    assert recipe(steps=1, batch="2x8", corpus=str(tmp_path)).corpus.store == str(tmp_path)


def test_flags_replace_what_one_phase_says(tmp_path):
    made = recipe(document=document(tmp_path, ONE_PHASE), tokens="1B", sequence_length=512)
    assert made.budget.amount == ("tokens", 10**9)
    assert (made.phases[0].steps, made.phases[0].sequence_length) == (None, 512)


def test_a_budget_of_flags_is_shared_by_the_recipe_s_phases(tmp_path):
    made = recipe(document=document(tmp_path, SHARES), epochs=2)
    assert made.budget.amount == ("epochs", 2)
    assert [float(phase.share) for phase in made.phases] == [0.5, 0.5]


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ({"batch": "256x512"}, "how long is the run"),
        ({"steps": 10, "epochs": 2, "batch": "256x512"}, "--steps and --epochs each say how long"),
        ({"steps": 10, "batch": 256}, "samples or tokens"),
        ({"steps": 10, "batch": "256x512", "global_batch": 4}, "both state the batch"),
        ({"steps": 10, "batch": "256x512", "sequence_length": 128}, "has length 512, and --sequence-length is 128"),
        ({"steps": 10, "batch": "4M tokens"}, "sequence_length is missing: the batch counts tokens"),
        ({"tokens": "1B", "global_batch": 4}, "sequence_length is missing: the budget counts tokens"),
        ({"steps": 10, "batch": "2x8", "corpus": "300B"}, "has no unit"),
        ({"steps": 10, "batch": "2x8", "corpus": "100 documents"}, "counts documents"),
        ({"steps": 10, "batch": "2x8", "corpus": "3B words"}, "words do not turn into tokens without a ratio"),
        ({"steps": "1M words", "batch": "2x8"}, "--steps: budget.steps: the value '1M words' counts words"),
        ({"steps": 10, "batch": "2x8", "devices": "H100"}, "how many. Try --devices 8xH100"),
        ({"steps": 10, "batch": "2x8", "devices": "64 H100"}, "not how devices are written: .* Try --devices 64xH100"),
        ({"steps": 10, "batch": "2x8", "devices": "A100x8"}, r"Try --devices 8xA100\b[^x]*$"),
        ({"steps": 10, "batch": "2x8", "devices": "8xH100", "mfu": "0,4"}, "a point before decimals, as in 0.4"),
        ({"steps": "10.000", "batch": "2x8"}, "may be 10,000 or 10"),
        ({"tokens": "100.000", "batch": "2x8"}, "may be 100,000 or 100"),
        ({"steps": 10, "batch": "1.000x8"}, "may be 1,000x8 or 1x8"),
        ({"steps": 10, "global_batch": "1.024", "sequence_length": 8}, "may be 1,024"),
        ({"money": "10.000 €", "price": 2, "batch": "2x8", "devices": "8xH100"}, "may be 10,000 or 10"),
        ({"hours": "1,5", "batch": "2x8"}, "a comma sets thousands apart, and a point is before decimals"),
        ({"steps": 10, "batch": "2x8", "corpus": "corpus.txt"}, "neither a size nor a file that is there"),
        ({"steps": 10, "batch": "2x8", "devices": "?"}, r"--devices: batch.devices: the value '\?' is not a number"),
        ({"steps": 10, "global_batch": 8, "sequence_length": "128,512"}, "it looks like two lengths"),
        ({"steps": 10, "batch": "2x8", "corpus": "0.5 samples"}, "must have whole ones"),
        ({"steps": 10, "batch": "2x8", "peak_tflops": "989T"}, "it is in TFLOP/s"),
        ({"epochs": "0.001", "per_device": 4, "devices": 2, "corpus": "1000 samples", "last_window": "carry"},
         "does not pay for a single step"),
        ({"steps": 10}, "batch"),
        ({"hours": 2, "batch": "2x8", "devices": 8}, "needs to know how fast it goes"),
        ({"money": 100, "batch": "2x8", "devices": "8xH100", "model": "gpt2"}, "needs hardware.price"),
        ({"flops": "1e20", "batch": "2x8"}, "needs the model"),
        ({"hours": 2, "batch": "2x8", "tokens_per_second": "1M"}, "needs batch.devices"),
        ({"steps": 10, "batch": "2x8", "restarts": 3}, "Try checkpoint_every"),
        ({"hours": 2, "batch": "2x8", "devices": "8xH100", "model": "gpt2", "restarts": 3, "checkpoint_every": 2},
         "restarts alone take 3 of 2 hours"),
        ({"steps": 10, "batch": "2x8", "uneven": "pda"}, "did you mean 'pad'"),
        ({"steps": 10, "batch": "2x8", "last_window": "carry", "replacement": True}, "draws without end"),
        ({"steps": 10, "batch": "2x2048", "model": "gpt2"}, "beyond the model's 1024 positions"),
        ({"steps": 10, "batch": "2x8", "model": "bert-bse"}, "bert-base"),
        ({"steps": 10, "batch": "2x8", "corpus": "1B tokens", "temperature": 2}, "this corpus has one"),
        ({"steps": 10, "global_batch": 32, "sequence_length": 8, "ramp": "16 10 100"}, "a global batch of 26 or 36"),
        ({"steps": 10, "global_batch": 32, "sequence_length": 8, "ramp": "16 8"},
         "Megatron's `start increment samples`"),
    ],
)  # fmt: skip
def test_flags_that_cannot_be_planned(flags, message):
    from dist_epochs.plan.planner import make_plan

    document = Document("flags")
    with pytest.raises(InputError, match=message.replace("(", r"\(")):  # noqa: PT012
        apply_flags(document, {name: text if text is True else str(text) for name, text in flags.items()})
        make_plan(make_recipe(document, Path("flags")))


@pytest.mark.parametrize(
    ("text", "flags", "message"),
    [
        (TWO_PHASES, {"steps": 5}, "phases state amounts of their own"),
        (TWO_PHASES, {"sequence_length": 5}, "2 phases with lengths of their own"),
    ],
)
def test_flags_that_do_not_fit_the_recipe(tmp_path, text, flags, message):
    with pytest.raises(InputError, match=message):
        recipe(document=document(tmp_path, text), **flags)


@pytest.mark.parametrize(
    ("sources", "message"),
    [
        (["web"], "not of the form NAME:SIZE:WEIGHT"),
        (["web:3B tokens:50%", "web:4B tokens:50%"], "two sources have the same name"),
        (["web:3B tokens:50%", "wiki:4B tokens"], "wiki has no weight"),
        (["web:3B tokens", "wiki:4B tokens"], "does not say how to mix them"),
        (["web:3B words:1", "wiki:4B tokens:1"], "words and tokens_per_word go together"),
        (["web:3 samples:1", "wiki:4B tokens:1"], "count all of them the same way"),
    ],
)
def test_sources_that_cannot_be_planned(sources, message):
    from dist_epochs.plan.planner import make_plan

    with pytest.raises(InputError, match=message):
        make_plan(recipe(*sources, steps=10, batch="2x8"))
