from fractions import Fraction

import numpy as np
import pytest
import torch

from dist_epochs.corpus.streaming.objective import IGNORED, Causal, Masked
from dist_epochs.corpus.streaming.stream import MicroBatch
from dist_epochs.corpus.tokenizing.tokenizer import EMBEDDED, TextTokenizer
from dist_epochs.errors import InputError
from dist_epochs.recipe import ModelRecipe
from dist_epochs.train.loss import loss_sum, to_device
from dist_epochs.train.loss_model import LossModel
from dist_epochs.train.model import build_model, check_fit, model_config, transformers_tokenizer
from tests.conftest import tiny_model

CPU = torch.device("cpu")
TOKENIZER = TextTokenizer(EMBEDDED)
OBJECTIVES = {
    "causal": Causal(),
    "masked": Masked(Fraction(1), mask_id=4, special_ids=np.arange(4), ordinary_ids=np.arange(5, 2000)),
}
KINDS = [("bert", "masked"), ("gpt2", "causal"), ("llama", "causal")]


def make(kind, objective, **settings):
    recipe = ModelRecipe(objective=objective, config=tiny_model(kind, **settings))
    return build_model(recipe, model_config(recipe, TOKENIZER), seed=1)


def packed(seed=0):
    draw = np.random.default_rng(seed)
    ids = draw.integers(5, 2000, (2, 16))
    segments = np.array([[1] * 6 + [2] * 7 + [0] * 3] * 2)
    labels = np.where(draw.random((2, 16)) < 0.5, ids, IGNORED)
    return ids, labels, segments


@pytest.mark.parametrize(("kind", "objective"), KINDS)
def test_packed_documents_do_not_see_each_other(kind, objective):
    model = make(kind, objective).eval()
    ids, labels, segments = packed()
    other = ids.copy()
    other[:, :6], other[:, 13:] = 7, 8  # another first document, another padding

    def logits(inputs):
        batch = to_device(MicroBatch(inputs, labels, segments), CPU, OBJECTIVES[objective])
        with torch.no_grad():
            return model(input_ids=batch.input_ids, attention_mask=batch.attention_mask, use_cache=False).logits

    difference = (logits(ids) - logits(other)).abs()
    assert difference[:, 6:13].max() == 0
    assert difference[:, :6].max() > 0.01


def test_a_packed_document_of_a_rotary_model_is_the_document_alone():
    model = make("llama", "causal").eval()
    ids, labels, segments = packed()
    batch = to_device(MicroBatch(ids, labels, segments), CPU, OBJECTIVES["causal"])
    with torch.no_grad():
        together = model(input_ids=batch.input_ids, attention_mask=batch.attention_mask, use_cache=False).logits
        alone = model(input_ids=torch.from_numpy(ids[:, 6:13]), use_cache=False).logits
    assert torch.allclose(together[:, 6:13], alone, atol=1e-5)


def test_causal_positions_do_not_see_the_future():
    model = make("gpt2", "causal").eval()
    ids, labels, segments = packed()
    later = ids.copy()
    later[:, 4] = 9
    batches = [to_device(MicroBatch(x, labels, segments), CPU, OBJECTIVES["causal"]) for x in (ids, later)]
    with torch.no_grad():
        first, second = (
            model(input_ids=b.input_ids, attention_mask=b.attention_mask, use_cache=False).logits for b in batches
        )
    assert (first[:, :4] == second[:, :4]).all()
    assert (first[:, 4:6] != second[:, 4:6]).any()


@pytest.mark.parametrize(("kind", "objective"), KINDS)
def test_the_loss_against_transformers_own(kind, objective):
    """One document a row and no padding: the model's own loss, times its tokens, is our sum."""
    model = make(kind, objective).eval()
    ids, labels, _ = packed()
    segments = np.ones_like(ids)
    if objective == "causal":
        _, labels = Causal().inputs_and_labels(ids, segments, np.zeros(2, np.uint64))
    batch = to_device(MicroBatch(ids, labels, segments), CPU, OBJECTIVES[objective])
    ours = loss_sum(LossModel(model), batch)
    del model.get_output_embeddings().forward
    theirs = model(
        input_ids=torch.from_numpy(ids), labels=torch.from_numpy(ids if objective == "causal" else labels)
    ).loss
    assert ours.item() == pytest.approx(theirs.item() * (labels != IGNORED).sum(), rel=1e-5)


def test_a_micro_batch_without_loss_tokens_has_gradients_of_zero():
    model = make("bert", "masked")
    ids, labels, segments = packed()
    nothing = MicroBatch(ids, np.full_like(labels, IGNORED), segments)
    loss = loss_sum(LossModel(model), to_device(nothing, CPU, OBJECTIVES["masked"]))
    loss.backward()
    assert loss.item() == 0
    assert all(p.grad is not None and not p.grad.any() for p in model.parameters())


def test_weights_follow_the_seed():
    one, two = make("bert", "masked"), make("bert", "masked")
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), two.parameters(), strict=True))


def test_sliding_windows_are_refused():
    recipe = ModelRecipe(objective="masked", config={"model_type": "modernbert", "vocab_size": 2048})
    with pytest.raises(InputError, match="modernbert has layers of sliding_attention"):
        check_fit(model_config(recipe, TOKENIZER), TOKENIZER, 16)


def test_positions_that_roberta_reserves():
    settings = {"model_type": "roberta", "vocab_size": 2048, "max_position_embeddings": 34, "pad_token_id": 1}
    config = model_config(ModelRecipe(objective="masked", config=settings), TOKENIZER)
    check_fit(config, TOKENIZER, 32)
    with pytest.raises(InputError, match=r"beyond the model's 32 positions \(2 of 34 are reserved\)"):
        check_fit(config, TOKENIZER, 33)


def test_a_configuration_from_a_file(tmp_path):
    model_config(ModelRecipe(objective="masked", config=tiny_model("bert")), TOKENIZER).save_pretrained(tmp_path)
    config = model_config(ModelRecipe(objective="masked", config=str(tmp_path)), TOKENIZER)
    assert (config.model_type, config.hidden_size) == ("bert", 32)


def test_an_objective_the_model_does_not_have():
    with pytest.raises(InputError, match="llama cannot be trained with a masked objective"):
        make("llama", "masked")


def test_special_ids_are_the_tokenizer_s_unless_stated():
    config = {"model_type": "gpt2", "vocab_size": 2048}
    plain = model_config(ModelRecipe(objective="causal", config=config), TOKENIZER)
    assert (plain.bos_token_id, plain.eos_token_id, plain.pad_token_id) == (None, None, 0)
    stated = model_config(ModelRecipe(objective="causal", config=config | {"eos_token_id": 3}), TOKENIZER)
    assert stated.eos_token_id == 3


def test_a_model_that_cannot_take_the_mask_says_so():
    config = {
        "model_type": "opt",
        "vocab_size": 64,
        "hidden_size": 32,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "ffn_dim": 64,
    }
    recipe = ModelRecipe(objective="causal", config=config)
    with pytest.raises(InputError, match="opt cannot be trained with a causal objective here"):
        build_model(recipe, model_config(recipe, TOKENIZER), seed=1)


def test_the_tokenizer_is_saved_with_its_roles(tmp_path):
    tokenizer = transformers_tokenizer(TOKENIZER, 64)
    assert tokenizer.model_max_length == 64
    assert (tokenizer.mask_token, tokenizer.pad_token, tokenizer.cls_token) == ("[MASK]", "[PAD]", "[CLS]")
