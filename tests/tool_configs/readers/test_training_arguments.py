from fractions import Fraction

import pytest

# What Transformers writes of a run, shortened; most keys say nothing about the count.
DUMPED = {
    "output_dir": "out", "per_device_train_batch_size": 4, "num_train_epochs": 3.0, "max_steps": -1,
    "learning_rate": 2e-05, "warmup_steps": 500, "gradient_accumulation_steps": 8, "bf16": True, "fp16": False,
    "per_device_eval_batch_size": 8, "auto_find_batch_size": False, "hub_token": "<HUB_TOKEN>", "seed": 42,
    "data_seed": None, "dataloader_drop_last": False, "group_by_length": False, "fsdp": [], "fsdp_config": None,
    "average_tokens_across_devices": True, "deepspeed": None, "parallelism_config": None,
    "accelerator_config": {
        "split_batches": False, "dispatch_batches": None, "even_batches": True, "use_seedable_sampler": True,
        "gradient_accumulation_kwargs": None,
    },
}  # fmt: skip

# A recipe in the style of the alignment handbook: arguments of a script stand beside those of the Trainer.
HANDBOOK = """\
# Model arguments
model_name_or_path: mistralai/Mistral-7B-v0.1
torch_dtype: bfloat16
dataset_mixer:
  HuggingFaceH4/ultrachat_200k: 1.0
bf16: true
do_eval: true
eval_strategy: epoch
gradient_accumulation_steps: 2
gradient_checkpointing_kwargs:
  use_reentrant: false
learning_rate: 2.0e-05
log_level: info
lr_scheduler_type: cosine
max_seq_length: 2048
max_steps: -1
num_train_epochs: 1
output_dir: data/zephyr
per_device_train_batch_size: 16
remove_unused_columns: yes
warmup_ratio: 0.1
"""


def test_a_dump(folder):
    folder.write("args.json", DUMPED)
    assert folder.values("args.json") == {
        "per_device": 4, "gradient_accumulation": 8, "precision": "bf16", "epochs": 3, "warmup_steps": 500, "seed": 42,
        "uneven": "pad",
    }  # fmt: skip
    assert folder.notes("args.json") == []
    assert str(folder.read("args.json").uneven.where) == f"{folder.path}/args.json:26 accelerator_config.even_batches"


def test_a_recipe_of_a_script(folder):
    folder.write("sft.yaml", HANDBOOK)
    assert folder.values("sft.yaml") == {
        "per_device": 16, "gradient_accumulation": 2, "precision": "bf16", "epochs": Fraction(1),
    }  # fmt: skip
    assert folder.notes("sft.yaml") == [
        "sft.yaml:21 warmup_ratio: the warmup is 0.1 of the steps, unless warmup_steps says more"
    ]


ITS_OWN = {"dataloader_num_workers": 0}
"""A key that no other tool has, after those that are looked at."""


@pytest.mark.parametrize(
    ("stated", "values", "notes"),
    [
        ({"per_gpu_train_batch_size": 4}, {"per_device": 4}, []),
        ({"per_gpu_train_batch_size": 4, "per_device_train_batch_size": 4}, {"per_device": 4}, []),
        ({"max_steps": 100, "num_train_epochs": 3}, {"steps": 100},
         ["ta.json:2 max_steps: 100 steps override the epochs of ta.json:3 num_train_epochs"]),
        ({"max_steps": -1, "num_train_epochs": 0.1}, {"epochs": Fraction(1, 10)}, []),
        ({"max_steps": -1, "bf16": False, "fp16": False}, {"precision": "fp32"}, []),
        ({"max_steps": -1, "fp16": True}, {"precision": "fp16"}, []),
        ({"warmup_steps": 0}, {"warmup_steps": 0}, []),
        ({"warmup_steps": 0.03}, {}, ["ta.json:2 warmup_steps: the warmup is 0.03 of the steps, rounded up"]),
        ({"warmup_steps": 0, "warmup_ratio": 0.1}, {},
         ["ta.json:3 warmup_ratio: the warmup is 0.1 of the steps, unless warmup_steps says more"]),
        ({"max_steps": -1, "auto_find_batch_size": True}, {},
         ["ta.json:3 auto_find_batch_size: per_device_train_batch_size is halved until it fits: the batch may change "
          "at the start"]),
        ({"max_steps": -1, "packing": True}, {},
         ["ta.json:3 packing: several documents make one sample: N is the number of packed samples, not of rows"]),
        ({"max_steps": -1, "packing": "bfd"}, {}, []),
        ({"dataloader_drop_last": True, "accelerator_config": {"even_batches": True}}, {"uneven": "drop"}, []),
        ({"dataloader_drop_last": False, "accelerator_config": {"even_batches": False}}, {"uneven": "keep"}, []),
        ({"dataloader_drop_last": False, "max_steps": -1}, {}, []),
        ({"max_steps": -1, "parallelism_config": {"tp_size": 2, "cp_size": 2, "dp_shard_size": 2}},
         {"devices": 8, "tensor_parallel": 2, "context_parallel": 2}, []),
        ({"max_steps": -1, "fsdp": "full_shard auto_wrap"}, {"zero_stage": 3}, []),
        ({"max_steps": -1, "fsdp": ["shard_grad_op", "offload"]}, {"zero_stage": 2}, []),
        ({"max_steps": -1, "fsdp": True}, {"zero_stage": 3}, []),
        ({"max_steps": -1, "fsdp": True, "fsdp_config": {"reshard_after_forward": False}}, {"zero_stage": 2}, []),
        ({"max_steps": -1, "fsdp": "no_shard", "fsdp_config": {"version": 1}}, {"zero_stage": 0}, []),
        ({"max_steps": -1, "fsdp": "", "fsdp_config": {"reshard_after_forward": False}}, {}, []),
        ({"max_steps": -1, "fsdp": False}, {}, []),
        ({"max_steps": -1, "gradient_accumulation_steps": 1,
          "accelerator_config": {"gradient_accumulation_kwargs": {"num_steps": 4}}}, {"gradient_accumulation": 4}, []),
    ],
)  # fmt: skip
def test_what_the_keys_mean(folder, stated, values, notes):
    folder.write("ta.json", stated | ITS_OWN)
    assert (folder.values("ta.json"), folder.notes("ta.json")) == (values, notes)


@pytest.mark.parametrize(
    ("stated", "message"),
    [
        ({"per_gpu_train_batch_size": 4, "per_device_train_batch_size": 8},
         "per_device is 8 in ta.json:3 per_device_train_batch_size, and 4 in ta.json:2 per_gpu_train_batch_size: a "
         "run has "
         'one value of it. Try making them equal, or leaving one out (DeepSpeed leaves it to the others with "auto").'),
        ({"bf16": True, "fp16": True, "max_steps": 1},
         "ta.json:3 fp16 and ta.json:2 bf16 are both true: the Trainer refuses that. Try setting one of them "
         "to false."),
        ({"max_steps": 0}, "ta.json:2: max_steps must be a whole number of at least 1, not 0"),
        ({"max_steps": "many"},
         "ta.json:2: max_steps must be a number of steps above zero, or -1, not many"),
        ({"num_train_epochs": 0}, "ta.json:2: num_train_epochs must be a number above zero, not 0"),
        ({"num_train_epochs": -1}, "ta.json:2: num_train_epochs must be a number above zero, not -1"),
        ({"max_steps": 1, "bf16": "false"}, "ta.json:3: bf16 must be true or false, not false"),
        ({"warmup_steps": 10.5},
         "ta.json:2: warmup_steps must be a whole number of at least 0, not 10.5"),
        ({"max_steps": 1, "deepspeed": "none.json"},
         "ta.json:3: deepspeed names none.json, and there is no such file: it is looked for in the current folder and "
         "in {folder}. What it says about the batch is missing. Try correcting the name."),
        ({"max_steps": 1, "deepspeed": '{"token": "hf_secret", "train_batch_size": 4, "a": "' + "x" * 100 + '"}'},
         "ta.json:3: deepspeed must be keys and values, or the name of a file with them, not something longer"),
        ({"per_device_train_batch_size": 64, "accelerator_config": {"split_batches": True}},
         "ta.json:4: accelerator_config.split_batches is true, and gradient_accumulation_steps is not stated: the 64 "
         "samples of ta.json:2 per_device_train_batch_size are then split over all devices, and the global batch is "
         "64 × gradient_accumulation_steps. Try gradient_accumulation_steps: 1, which is the default."),
        ({"gradient_accumulation_steps": 2, "max_steps": 1,
          "accelerator_config": {"gradient_accumulation_kwargs": {"num_steps": 4}}},
         "gradient_accumulation is 2 in ta.json:2 gradient_accumulation_steps, and 4 in ta.json:6 "
         "accelerator_config.gradient_accumulation_kwargs.num_steps: a run has one value of it. Try making them equal, "
         'or leaving one out (DeepSpeed leaves it to the others with "auto").'),
    ],
)  # fmt: skip
def test_what_cannot_be_used(folder, stated, message):
    assert folder.write("ta.json", stated | ITS_OWN).error("ta.json") == message.replace("{folder}", str(folder.path))


def test_split_batches_share_one_micro_batch(folder):
    folder.write("ta.json", {
        "per_device_train_batch_size": 64, "gradient_accumulation_steps": 2,
        "accelerator_config": {"split_batches": True},
    })  # fmt: skip
    folder.write("acc.yaml", "distributed_type: MULTI_GPU\nnum_processes: 8")
    assert folder.completed("ta.json", "acc.yaml") == {
        "devices": 8, "per_device": 8, "gradient_accumulation": 2, "global_batch": 128,
    }  # fmt: skip
    assert folder.notes("ta.json") == [
        "ta.json:5 accelerator_config.split_batches: the 64 samples of ta.json:2 per_device_train_batch_size are "
        "those of all devices; the Trainer's own total multiplies them by the devices"
    ]


def test_configurations_in_files_of_their_own(folder):
    folder.write("even.json", {"even_batches": False})
    folder.write("fsdp.json", {"fsdp_version": 1, "fsdp_sharding_strategy": "SHARD_GRAD_OP"})
    folder.write(
        "ta.json", {"max_steps": 10, "accelerator_config": "even.json", "fsdp": True, "fsdp_config": "fsdp.json"}
    )
    assert folder.values("ta.json") == {"steps": 10, "uneven": "keep", "zero_stage": 2}


AUTO = {"train_batch_size": "auto", "train_micro_batch_size_per_gpu": "auto", "gradient_accumulation_steps": "auto"}


@pytest.mark.parametrize("inline", [True, False])
def test_its_deepspeed_configuration_is_read(folder, inline):
    deepspeed = {**AUTO, "zero_optimization": {"stage": 2}, "bf16": {"enabled": "auto"}}
    folder.write("ds.json", deepspeed).write("acc.yaml", "distributed_type: MULTI_GPU\nnum_processes: 8")
    folder.write("ta.json", {
        "per_device_train_batch_size": 4, "gradient_accumulation_steps": 2, "bf16": True,
        "deepspeed": deepspeed if inline else "ds.json",
    })  # fmt: skip
    assert folder.completed("ta.json", "acc.yaml") == {
        "devices": 8, "per_device": 4, "gradient_accumulation": 2, "global_batch": 64, "precision": "bf16",
        "zero_stage": 2,
    }  # fmt: skip
    assert len(folder.read("ta.json").ignored) == 4


def test_it_contradicts_its_deepspeed_configuration(folder):
    folder.write("ta.json", {"per_device_train_batch_size": 4, "deepspeed": {"train_micro_batch_size_per_gpu": 2}})
    assert folder.error("ta.json").startswith(
        "per_device is 4 in ta.json:2 per_device_train_batch_size, and 2 in ta.json:4 "
        "deepspeed.train_micro_batch_size_per_gpu: "
    )


def test_a_missing_accumulation_in_its_deepspeed_configuration_is_noted(folder):
    folder.write("ds.json", {"train_micro_batch_size_per_gpu": "auto"})
    folder.write(
        "ta.json", {"gradient_accumulation_steps": 8, "per_device_train_batch_size": 4, "deepspeed": "ds.json"}
    )
    assert folder.notes("ta.json") == [
        "ta.json:4 deepspeed: it has no gradient_accumulation_steps, which Accelerate then takes as 1, beside 8 of "
        'ta.json:2 gradient_accumulation_steps. Write "auto" there'
    ]


def test_the_keys_are_those_of_the_installed_transformers():
    """Names that version 5 dropped stand apart."""
    arguments = pytest.importorskip("transformers.training_args").TrainingArguments
    fields = set(arguments.__dataclass_fields__)
    read = {
        "accelerator_config", "auto_find_batch_size", "bf16", "dataloader_drop_last", "deepspeed", "fp16", "fsdp",
        "fsdp_config", "gradient_accumulation_steps", "max_steps", "num_train_epochs", "parallelism_config",
        "per_device_train_batch_size", "seed", "warmup_steps",
    }  # fmt: skip
    assert read <= fields
    assert not {"per_gpu_train_batch_size", "warmup_ratio"} & fields
