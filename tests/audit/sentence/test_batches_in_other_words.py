"""Batches that no key names: in a list, as a total in brackets, per batch in Korean; and the FLOPs of one pass."""

import pytest

from dist_epochs.audit.sentence.audited import audit_text_of


def roles(text):
    return [(fact.role, fact.numeral.value) for fact in audit_text_of(text).reading.facts]


def verdict(text):
    audit = audit_text_of(text).audit
    return str(audit.verdict), audit.only_if


def test_tokens_each_after_sequences_are_a_length():
    text = "We trained on batches of {} tokens, 512 sequences, 2,048 tokens each, for 100K steps."
    assert roles(text.format("1,048,576")) == [
        ("batch_tokens", 1048576), ("global_batch", 512), ("sequence_length", 2048), ("steps", 100_000),
    ]  # fmt: skip
    assert verdict(text.format("1,048,576")) == ("consistent", None)
    assert verdict(text.format("1M"))[0] == "consistent"
    assert verdict(text.format("32,768"))[0] == "inconsistent"


@pytest.mark.parametrize("tokens", ["105B", "104.9B"])
def test_sequences_in_a_list_may_be_those_of_a_batch(tokens):
    text = f"Training setup: 100K steps, 512 sequences, sequence length 2048, {tokens} tokens in total."
    assert verdict(text) == ("consistent-only-if", "512 sequences are those of a batch, not the data")
    samples = "Training setup: 100K steps, 512 sequences, 51.2M samples in total."
    assert verdict(samples) == ("consistent-only-if", "512 sequences are those of a batch, not the data")


@pytest.mark.parametrize(
    "text",
    [
        "Training setup: 100K steps, 512 sequences, sequence length 2048, 300B tokens in total.",
        "We fine-tuned on 512 sequences for 100 steps with sequence length 2048 and 105B tokens in total.",
        "We train for 100K steps on a corpus of 512 sequences of length 2048, 300B tokens in total.",
    ],
)
def test_sequences_of_the_data_accuse_nobody(text):
    assert verdict(text)[0] == "underdetermined"


def test_a_total_in_brackets_after_the_parts_of_a_batch():
    text = "Training used batch size 16 per GPU on 512 GPUs ({} in total) for 100K steps."
    assert roles(text.format("8192")) == [
        ("per_device", 16), ("devices", 512), ("global_batch", 8192), ("steps", 100_000),
    ]  # fmt: skip
    assert verdict(text.format("8,192"))[0] == "consistent"
    assert verdict(text.format("7000"))[0] == "inconsistent"
    assert verdict(text.format("32,768"))[0] == "consistent-only-if"  # 4 micro-steps, which are not stated
    in_tokens = "The global batch is 1024 sequences of length 2048 ({} in total), for 10K steps."
    assert roles(in_tokens.format("2,097,152"))[2] == ("batch_tokens", 2_097_152)
    assert verdict(in_tokens.format("2,097,152"))[0] == "consistent"
    assert verdict(in_tokens.format("2.1M"))[0] == "consistent"


def test_samples_of_each_device():
    text = "We use 64 GPUs with 8 sequences each (512 in total), 100K steps, 51.2M samples in total."
    assert roles(text)[:3] == [("devices", 64), ("per_device", 8), ("global_batch", 512)]
    assert verdict(text)[0] == "consistent"


def test_tokens_beside_a_batch_of_its_parts():
    text = "We train with {} per GPU on 8 GPUs for 100K steps, 12.8B tokens in total."
    assert verdict(text.format("16 sequences"))[0] == "underdetermined"
    assert verdict(text.format("batch size 16K"))[1] == "the batch of 16K counts tokens"


def test_totals_of_something_else_are_no_batch():
    text = "We train with batch size 16 on 8 GPUs. After 100 steps, there are 12 tables (40 in total)."
    assert 40 not in [value for _, value in roles(text)]
    assert 24 not in [value for _, value in roles("Batch size 16 per GPU on 8 nodes (24 in total in the cluster).")]


@pytest.mark.parametrize(
    "text",
    [
        "50만 토큰을 한 배치당 사용해 10만 스텝 학습했다. 총 500억 토큰.",
        "50만 토큰을 배치당 사용하여 10만 스텝 학습했고 총 500억 토큰을 보았다.",
        "배치당 50만 토큰을 사용해 10만 스텝을 학습했고 총 500억 토큰을 보았다.",
        "토큰을 50만 개씩 배치당 사용해 10만 스텝을 학습했고 총 500억 토큰을 보았다.",
    ],
)
def test_tokens_per_batch_in_korean(text):
    assert ("batch_tokens", 500_000) in roles(text)
    assert verdict(text) == ("consistent", None)


def test_a_total_in_the_sentence_of_a_phase_may_be_its_own():
    first = "We train for 1,000,000 steps with a batch of 256 sequences of 512 tokens. In the second stage we "
    second = "train for 100K steps with 0.50M tokens each, {} tokens in all."
    assert verdict(f"{first}{second.format('50B')}")[0] == "consistent"  # of the phase
    assert verdict(f"{first}{second.format('181B')}")[0] == "consistent"  # of both
    assert verdict(f"{first}{second.format('144B')}")[0] == "inconsistent"  # with the batch of the other


def test_flops_of_a_corpus_without_epochs_are_those_of_one_pass():
    text = "The 7B model was trained with {} FLOPs on a corpus of 1T tokens."
    assert verdict(text.format("4.2e22")) == ("consistent-only-if", "the corpus is seen once")
    assert verdict(text.format("8.4e22"))[0] == "underdetermined"
    epochs = "The 7B model was trained for 2 epochs with 4.2e22 FLOPs on a corpus of 1T tokens."
    assert verdict(epochs)[1] != "the corpus is seen once"


@pytest.mark.parametrize(
    "text",
    [
        "Our 7B model was trained for 500K steps and our 13B model for 250K steps, each with 4M tokens per batch, "
        "{} and {} tokens respectively.",
        "The 7B and 13B models were trained with 4M tokens per batch for 500K and 250K steps, {} and {} tokens "
        "respectively.",
        "We train a 7B model for 500K steps with a batch of 4M tokens and a 13B model for 250K steps with a batch of "
        "4M tokens, on {} and {} tokens respectively.",
    ],
)
def test_lists_of_two_models_are_dealt_out_in_their_order(text):
    assert verdict(text.format("2T", "1T")) == ("consistent", None)
    assert verdict(text.format("1T", "2T"))[0] != "consistent"


def test_lists_without_respectively_accuse_nobody():
    text = "Our 7B model was trained for 500K steps and our 13B model for 250K steps with 4M tokens a batch, {} tokens."
    assert verdict(text.format("2T and 1T"))[0] == "consistent"
    assert verdict(text.format("1T and 2T"))[0] == "underdetermined"
    assert verdict(text.format("1T, 2T and 3T"))[0] != "inconsistent"
    two = "The 1.3B and 7B models were trained for 100K steps with batch sizes of 512 and 1024, {} samples."
    assert verdict(two.format("51.2M and 102.4M"))[0] == "consistent"
    assert verdict(two.format("51.2M and 99M"))[0] != "inconsistent"


def test_the_flops_of_a_run_whose_number_ends_in_six():
    runs = " ".join(f"Model {at} has {at + 1}B parameters and trains on {at + 2}00B tokens." for at in range(1, 6))
    text = f"{runs} The last model has 9B parameters and trains on 900B tokens with 6.4e22 FLOPs."
    assert verdict(text)[0] in ("consistent-only-if", "underdetermined", "inconsistent")


@pytest.mark.parametrize(
    ("text", "batch"),
    [
        ("1M steps of 256x512", (256, 512)),
        ("The model is trained with 10,000 updates of 1024 × 2048.", (1024, 2048)),
        ("40 epochs over 3.3B tokens are 1M training steps of about 256 x 512.", (256, 512)),
        ("The model is trained for 1M steps of 256x512. The data of 3.3B words is seen 40 times.", (256, 512)),
    ],
)
def test_what_each_step_draws_is_a_batch(text, batch):
    assert {("global_batch", batch[0]), ("sequence_length", batch[1])} <= set(roles(text))
    assert not audit_text_of(text).reading.unused
    assert verdict(text)[0] != "inconsistent"


@pytest.mark.parametrize(
    "text",
    [
        "We trained the model for 100K steps at 256x512 and 3M samples.",
        "We trained the model for 100K steps of 256x256, 3M samples.",
        "We trained the model for 20K steps of 512x768 resolution, 3M samples.",
        "We trained the model for 20K steps of 640x480 images, 3M samples.",
        "The UNet was trained for 100K steps of 640x480, 5 epochs over 2M samples.",
        "Trained 80K iterations of 512x1024, 215 epochs over 2,975 samples.",
    ],
)
def test_sizes_of_pictures_are_no_batches(text):
    found = audit_text_of(text)
    assert not {"global_batch", "sequence_length", "batch_tokens"} & {fact.role for fact in found.reading.facts}
    assert len({(number.text, number.start) for number in found.reading.unused}) == len(found.reading.unused)
    assert verdict(text)[0] != "inconsistent"
