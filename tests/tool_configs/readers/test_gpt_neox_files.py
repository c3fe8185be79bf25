"""GPT-NeoX is given several files, each of which adds keys: they are read as one configuration."""

import pytest

from dist_epochs.errors import InputError
from dist_epochs.tool_configs.detect import read_files
from dist_epochs.tool_configs.passes import Given

MODEL = """{
  "pipe-parallel-size": 2,
  "num-layers": 12,
  "pos-emb": "rotary",
  "train_micro_batch_size_per_gpu": 4,
  "gradient_accumulation_steps": 2,
  "optimizer": {"type": "Adam"},
}
"""
LOCAL = """# what differs here
data-path: data/text_document
train-iters: 1000
num_gpus: 8
num_nodes: 2
"""


def read(tmp_path, **files):
    """What files of one run state, with notes without the folder."""
    paths = []
    for name, text in files.items():
        paths.append(tmp_path / f"{name}.yml")
        paths[-1].write_text(text)
    return read_files(paths, Given())


def values(settings):
    return {name: stated.value for name, stated in settings.stated().items()}


@pytest.mark.parametrize("order", [("model", "local"), ("local", "model")])
def test_each_file_adds_keys_whatever_their_order(tmp_path, order):
    files = {"model": MODEL, "local": LOCAL}
    (found,) = read(tmp_path, **{name: files[name] for name in order})
    assert found.tools == ("GPT-NeoX",)
    assert {name: values(found)[name] for name in ("devices", "per_device", "gradient_accumulation", "steps")} == {
        "devices": 16, "per_device": 4, "gradient_accumulation": 2, "steps": 1000,
    }  # fmt: skip
    assert (found.steps.where.name, found.steps.where.line) == (str(tmp_path / "local.yml"), 3)
    assert found.per_device.where.name == str(tmp_path / "model.yml")


def test_a_third_file_may_have_keys_of_deepspeed_alone(tmp_path):
    zero = "zero_optimization: {stage: 2}\ntrain_batch_size: 64\n"
    (found,) = read(tmp_path, model=MODEL, local=LOCAL, zero=zero)
    assert (values(found)["zero_stage"], values(found)["global_batch"]) == (2, 64)


def test_a_key_in_two_files_is_refused_with_both_places(tmp_path):
    with pytest.raises(InputError) as caught:
        read(tmp_path, model=MODEL, local=LOCAL, more="seed: 1\npipe_parallel_size: 1\n")
    assert "pipe_parallel_size stands in" in caught.value.asked
    assert f"{tmp_path / 'model.yml'}:2" in caught.value.asked
    assert (caught.value.origin.name, caught.value.origin.line) == (str(tmp_path / "more.yml"), 2)


def test_a_key_with_hyphens_replaces_what_its_check_does_not_see(tmp_path):
    (found,) = read(tmp_path, model=MODEL, local=LOCAL, more="pipe-parallel-size: 4\n")
    assert values(found)["pipeline_parallel"] == 4
    assert any("replaces that of" in note and "model.yml:2" in note for note in found.notes)


def test_two_files_of_one_name_are_refused(tmp_path):
    (tmp_path / "other").mkdir()
    paths = [tmp_path / "a.yml", tmp_path / "other" / "a.yml"]
    for path, text in zip(paths, (MODEL, LOCAL), strict=True):
        path.write_text(text)
    with pytest.raises(InputError, match="two files called"):
        read_files(paths, Given())


def test_files_of_other_tools_stay_files_of_their_own(tmp_path):
    accelerate = "distributed_type: MULTI_GPU\nnum_processes: 8\ncompute_environment: LOCAL_MACHINE\n"
    found = read(tmp_path, model=MODEL, launch=accelerate)
    assert [settings.tools for settings in found] == [("GPT-NeoX",), ("an Accelerate configuration",)]


def test_a_file_that_is_of_no_tool_is_refused_where_none_is_of_gpt_neox(tmp_path):
    with pytest.raises(InputError):
        read(tmp_path, zero="train_batch_size: 64\nzero_optimization: {stage: 2}\n", local=LOCAL)


def test_a_key_of_a_later_file_that_counts_and_is_not_read_is_named(tmp_path):
    (found,) = read(tmp_path, model=MODEL, local=LOCAL + "max_samples: 5\n")
    assert any(note.startswith(f"{tmp_path / 'local.yml'}:6 max_samples: not read") for note in found.notes)
