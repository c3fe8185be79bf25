import pytest

# The form that Transformers' documentation hands out: most values left to the Trainer.
ZERO3_AUTO = """{
    "fp16": {"enabled": "auto", "loss_scale": 0, "loss_scale_window": 1000, "initial_scale_power": 16},
    "bf16": {"enabled": "auto"},
    "optimizer": {"type": "AdamW", "params": {"lr": "auto", "betas": "auto", "eps": "auto", "weight_decay": "auto"}},
    "scheduler": {"type": "WarmupLR", "params": {"warmup_min_lr": "auto", "warmup_num_steps": "auto"}},
    "zero_optimization": {
        "stage": 3,
        "offload_optimizer": {"device": "cpu", "pin_memory": true},
        "sub_group_size": 1e9,
        "reduce_bucket_size": "auto"
    },
    "gradient_accumulation_steps": "auto",
    "gradient_clipping": "auto",
    "steps_per_print": Infinity,
    "train_batch_size": "auto",
    "train_micro_batch_size_per_gpu": "auto",
    "wall_clock_breakdown": false
}"""


def test_what_is_left_open_is_named(folder):
    folder.write("ds.json", ZERO3_AUTO)
    found = folder.read("ds.json")
    assert folder.values("ds.json") == {"zero_stage": 3}
    assert [str(key).replace(f"{folder.path}/", "") for key in found.ignored] == [
        "ds.json:15 train_batch_size",
        "ds.json:16 train_micro_batch_size_per_gpu",
        "ds.json:12 gradient_accumulation_steps",
        "ds.json:2 fp16.enabled",
        "ds.json:3 bf16.enabled",
        "ds.json:5 scheduler.params.warmup_num_steps",
    ]


def test_everything_stated(folder):
    folder.write(
        "ds.json",
        {
            "train_batch_size": 64, "train_micro_batch_size_per_gpu": 2, "gradient_accumulation_steps": 4,
            "fp16": {"enabled": False}, "bf16": {"enabled": True}, "zero_optimization": {"stage": 1},
            "pipeline": {"stages": 2}, "sequence_parallel_size": 2, "tensor_parallel": {"autotp_size": 0},
            "expert_parallel": {"enabled": True, "autoep_size": 4}, "dataloader_drop_last": True,
            "scheduler": {"type": "WarmupDecayLR", "params": {"warmup_num_steps": 100, "total_num_steps": 1000}},
        },
    )  # fmt: skip
    assert folder.values("ds.json") == {
        "global_batch": 64, "per_device": 2, "gradient_accumulation": 4, "precision": "bf16", "tensor_parallel": 1,
        "pipeline_parallel": 2, "context_parallel": 2, "expert_parallel": 4, "zero_stage": 1, "warmup_steps": 100,
        "uneven": "drop",
    }  # fmt: skip
    assert str(folder.read("ds.json").per_device.where) == f"{folder.path}/ds.json:3 train_micro_batch_size_per_gpu"
    assert str(folder.read("ds.json").zero_stage.where) == f"{folder.path}/ds.json:12 zero_optimization.stage"
    assert folder.completed("ds.json")["devices"] == 32


@pytest.mark.parametrize(
    ("precision", "expected"),
    [
        ({"fp16": {"enabled": True}}, "fp16"),
        ({"bf16": {"enabled": True}}, "bf16"),
        ({"bfloat16": {"enabled": True}}, "bf16"),
        ({"fp16": {"enabled": True}, "bf16": {"enabled": "auto"}}, "fp16"),
        ({"fp16": {"enabled": False}, "bf16": {"enabled": "auto"}}, None),
        ({"fp16": {"enabled": False}, "bf16": {"enabled": False}}, "fp32"),
        ({"fp16": {"loss_scale": 0}}, None),
        ({}, None),
    ],
)
def test_precision(folder, precision, expected):
    folder.write("ds.json", {"train_batch_size": 8, **precision})
    assert folder.values("ds.json").get("precision") == expected


@pytest.mark.parametrize(
    ("stated", "message"),
    [
        (
            {"fp16": {"enabled": True}, "bf16": {"enabled": True}},
            "ds.json:4 fp16.enabled and ds.json:7 bf16.enabled are both true: DeepSpeed trains in one of fp16 and "
            "bf16, and stops at its start. Try setting one of them to false.",
        ),
        (
            {"zero_optimization": {"stage": 4}},
            "ds.json:4: zero_optimization.stage must be 0, 1, 2 or 3, not 4",
        ),
        (
            {"gradient_accumulation_steps": 0},
            "ds.json:3: gradient_accumulation_steps must be a whole number of at least 1, not 0",
        ),
        (
            {"gradient_accumulation_steps": 2.5},
            "ds.json:3: gradient_accumulation_steps must be a whole number of at least 1, not 2.5",
        ),
        (
            {"gradient_accumulation_steps": True},
            "ds.json:3: gradient_accumulation_steps must be a whole number of at least 1, not true",
        ),
        (
            {"gradient_accumulation_steps": [1, 2]},
            "ds.json:3: gradient_accumulation_steps must be a whole number of at least 1, not a list",
        ),
        (
            {"train_micro_batch_size_per_gpu": 10**16},
            "ds.json:3: train_micro_batch_size_per_gpu must be at most 1,000,000,000,000,000, not 10000000000000000",
        ),
        (
            {"fp16": True, "steps_per_print": 1},
            "ds.json:3: fp16 must be keys and values, not true",
        ),
    ],
)
def test_what_cannot_be_used(folder, stated, message):
    folder.write("ds.json", {"train_batch_size": 8, **stated})
    assert folder.error("ds.json") == message


@pytest.mark.parametrize(
    ("stated", "notes"),
    [
        (
            {"curriculum_learning": {"enabled": True, "curriculum_type": "seqlen"}},
            ["ds.json:3 curriculum_learning: curriculum learning: with sequence lengths, the tokens of a step change "
             "during the run"],
        ),
        ({"curriculum_learning": {"enabled": False}}, []),
        (
            {"data_efficiency": {"enabled": True, "data_sampling": {
                "enabled": True, "curriculum_learning": {"enabled": True}, "dynamic_batching": {"enabled": True}}}},
            ["ds.json:7 data_efficiency.data_sampling.curriculum_learning: curriculum learning: samples are not drawn "
             "in equal passes",
             "ds.json:10 data_efficiency.data_sampling.dynamic_batching: dynamic batching: the samples of a step "
             "change during the run"],
        ),
        ({"data_efficiency": {"enabled": False,
         "data_sampling": {"enabled": True, "curriculum_learning": {"enabled": True}}}}, []),
        ({"amp": {"enabled": True, "opt_level": "O1"}},
         ["ds.json:3 amp: Apex decides the precision; steps may be skipped on overflow, as with fp16"]),
        ({"tensor_parallel": {"autotp_size": 4}},
         ["ds.json:2 train_batch_size: DeepSpeed checks it against all devices, those that share a layer included"]),
    ],
)  # fmt: skip
def test_what_changes_the_count_is_noted(folder, stated, notes):
    folder.write("ds.json", {"train_batch_size": 8, **stated})
    assert folder.notes("ds.json") == notes


def test_elasticity_takes_the_batch_over(folder):
    folder.write("ds.json", {"train_batch_size": 64, "elasticity": {"enabled": True, "max_train_batch_size": 2000}})
    found = folder.read("ds.json")
    assert found.global_batch is None
    assert [str(key) for key in found.ignored] == [f"{folder.path}/ds.json:2 train_batch_size"]
    assert folder.notes("ds.json") == [
        "ds.json:3 elasticity: elastic training: DeepSpeed chooses the batch, and it may change with the devices"
    ]
    folder.write("ds.json", {"train_batch_size": 64, "elasticity": {"enabled": False}})
    assert folder.values("ds.json") == {"global_batch": 64}


def test_whole_numbers_in_any_spelling(folder):
    folder.write("ds.json", '{"train_batch_size": 1e3, "train_micro_batch_size_per_gpu": 4.0, "steps_per_print": 1e-9}')
    assert folder.values("ds.json") == {"global_batch": 1000, "per_device": 4}
