"""TRL's SFTTrainer, packed in its ways: two epochs are two epochs, exact against a hook in the model's forward.

Needs `pip install trl`; skipped without it.
"""

import pytest
import torch
from datasets import Dataset
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace
from transformers import AutoModelForCausalLM, LlamaConfig, PreTrainedTokenizerFast

from dist_epochs.integrations.transformers import LedgerCallback
from dist_epochs.ledger.reconcile import read_run

trl = pytest.importorskip("trl")
pytestmark = [pytest.mark.trl, pytest.mark.filterwarnings("ignore")]

WORDS = "the quick brown fox jumps over a lazy dog while rain falls on old roofs".split()
TEXTS = 120
EPOCHS = 2


def tokenizer():
    vocabulary = {word: number for number, word in enumerate(["[PAD]", "[EOS]", "[UNK]", *WORDS])}
    words = Tokenizer(WordLevel(vocabulary, unk_token="[UNK]"))
    words.pre_tokenizer = Whitespace()
    return PreTrainedTokenizerFast(tokenizer_object=words, pad_token="[PAD]", eos_token="[EOS]", unk_token="[UNK]")


class Given:
    """What the model is given in training: micro-steps, positions, tokens, rows, and documents where they are shown."""

    def __init__(self, model):
        self.micro_steps, self.positions, self.tokens, self.rows, self.documents = 0, 0, 0, 0, 0
        model.register_forward_pre_hook(self.count, with_kwargs=True)

    def count(self, model, inputs, named):
        if not (model.training and torch.is_grad_enabled()):
            return
        ids, mask, places = named["input_ids"], named.get("attention_mask"), named.get("position_ids")
        self.micro_steps += 1
        self.positions += ids.numel()
        self.tokens += ids.numel() if mask is None else int(mask.sum())
        self.rows += len(ids)
        self.documents += 0 if places is None else int((places == 0).sum())


def train(folder, *callbacks, **settings):
    """Two epochs of 120 texts of 10 to 66 words, in rows of at most 64 tokens."""
    texts = [" ".join(WORDS[(i + j) % len(WORDS)] for j in range(10 + 7 * (i % 9))) for i in range(TEXTS)]
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(WORDS) + 3, hidden_size=16, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2,
        num_key_value_heads=2, max_position_embeddings=256, pad_token_id=0,
    )  # fmt: skip
    model = AutoModelForCausalLM.from_config(config)
    given = Given(model)
    arguments = trl.SFTConfig(
        output_dir=str(folder / "trl"), per_device_train_batch_size=4, gradient_accumulation_steps=2,
        num_train_epochs=EPOCHS, report_to="none", save_strategy="no", use_cpu=True, gradient_checkpointing=False,
        bf16=False, disable_tqdm=True, logging_steps=1, **({"max_length": 64} | settings),
    )  # fmt: skip
    trainer = trl.SFTTrainer(
        model=model, args=arguments, train_dataset=Dataset.from_dict({"text": texts}), processing_class=tokenizer(),
        callbacks=list(callbacks),
    )  # fmt: skip
    trainer.train()
    return trainer, given


@pytest.mark.parametrize(
    ("settings", "in_documents"),
    [
        ({"packing": True, "packing_strategy": "bfd"}, True),  # documents whole in a row, all rows of a batch in one
        ({"packing": True, "packing_strategy": "wrapped"}, False),  # documents cut at the end of a row
        ({"packing": False}, False),
        ({"packing": False, "padding_free": True, "max_length": None}, True),
    ],
    ids=["best-fit", "wrapped", "padded", "padding-free"],
)
def test_two_epochs_are_two_epochs(tmp_path, settings, in_documents):
    """Rows and documents never meet in one quotient, and no duplicates are found where there are none."""
    trainer, given = train(tmp_path, LedgerCallback(out=tmp_path / "run"), **settings)
    without, _ = train(tmp_path, **settings)
    losses = [[entry["loss"] for entry in each.state.log_history if "loss" in entry] for each in (trainer, without)]
    assert losses[0] == losses[1]
    rows = len(trainer.train_dataset)
    result = read_run(tmp_path / "run").to_json()
    assert result["epochs"]["samples"] == EPOCHS == trainer.state.epoch
    assert result["steps"]["applied"] == trainer.state.global_step
    assert (result["micro_steps"], result["positions"]) == (given.micro_steps, given.positions)
    assert result["tokens"] == given.tokens
    assert result["samples"] == (given.documents if in_documents else given.rows)
    assert result["samples"] == EPOCHS * (TEXTS if in_documents else rows)
    assert not {"padded-duplicates", "dropped-data", "reported-epoch"} & {each["rule"] for each in result["warnings"]}
