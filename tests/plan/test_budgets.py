"""Every kind of budget, and that each returns the others."""

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import pytest

from dist_epochs.errors import InputError, Origin
from dist_epochs.plan.planner import make_plan
from dist_epochs.recipe import AdapterRecipe, FrozenRecipe, make_recipe
from dist_epochs.recipe.flags import apply_flags
from dist_epochs.settings.document import Document

RUN = {
    "batch": "256x512",
    "corpus": "1B tokens",
    "devices": "8xH100",
    "model": "bert-base",
    "mfu": "40%",
    "price": "2.5",
}


def plan(**flags):
    document = Document("flags")
    apply_flags(document, {name: str(text) for name, text in (RUN | flags).items() if text is not None})
    return make_plan(make_recipe(document, Path("flags")))


def exact(value):
    return f"{value.numerator}/{value.denominator}"


def test_each_budget_returns_the_others():
    base = plan(steps=5000)
    hours, money = base.cost.wall_hours.point, base.cost.price.point
    budgets = {
        "tokens": base.positions,
        "samples": base.samples,
        "epochs": exact(base.epochs["positions"]),
        "flops": int(base.cost.flops),
        "hours": exact(hours),
        "money": exact(money),
    }
    for name, amount in budgets.items():
        assert plan(**{name: amount}).steps == 5000, name


@pytest.mark.parametrize("name", ["hours", "flops", "money"])
def test_a_limit_is_not_exceeded_and_one_step_more_would(name):
    amount = {"hours": "7.3", "flops": "1e19", "money": "123.4"}[name]
    found = plan(**{name: amount})
    spent = {"hours": found.cost.wall_hours, "flops": found.cost.flops, "money": found.cost.price}[name]
    spent = spent if isinstance(spent, Fraction) else spent.point
    assert spent <= Fraction(amount) < spent * (found.steps + 1) / found.steps


def test_restarts_cost_hours():
    lost = {"restarts": 4, "checkpoint_every": "2 hours", "restart_time": "0.5"}
    without, with_restarts = plan(steps=5000), plan(steps=5000, **lost)
    assert with_restarts.cost.wall_hours.low - without.cost.wall_hours.low == 4 * (1 + Fraction(1, 2))
    assert plan(hours=exact(with_restarts.cost.wall_hours.point), **lost).steps == 5000


def test_measured_speed():
    found = plan(steps=5000, tokens_per_second="1M", mfu=None)
    assert found.cost.wall_hours.point == Fraction(found.positions, 3_600_000_000)
    assert plan(hours=exact(found.cost.wall_hours.point), tokens_per_second="1M", mfu=None, model=None).steps == 5000


def test_a_budget_in_hours_is_shared_by_lengths():
    document = Document.read(Path(__file__).parent.parent.parent / "configs/bert-base.yaml")
    apply_flags(document, {"hours": "3 days", "devices": "8xH100", "mfu": "40%"})
    found = make_plan(make_recipe(document, Path("bert")))
    short, long = found.phases
    flops = [phase.positions * found.cost.flops_per_token[phase.sequence_length] for phase in (short, long)]
    assert float(flops[0] / sum(flops)) == pytest.approx(0.9, abs=1e-4)
    assert found.cost.wall_hours.point <= 72


def test_shares_of_steps_must_be_whole():
    document = Document.read(Path(__file__).parent.parent.parent / "configs/bert-base.yaml")
    apply_flags(document, {"steps": "15"})
    with pytest.raises(ValueError, match=r"phases\.0: its share of the 15 steps is 13\.5, not a whole number"):
        make_plan(make_recipe(document, Path("bert")))


def test_epochs_of_samples_end_exactly():
    found = plan(
        batch=None, global_batch=64, corpus="101 samples", epochs="1.5", devices=8, model=None, price=None, mfu=None
    )
    assert (found.samples, found.steps, found.batches[-1].samples) == (152, 3, 24)  # 151.5 samples do not exist
    assert found.phases[-1].steps == 1


def test_parallel_devices_are_paid_and_share_data():
    alone = plan(steps=1000, batch="256x512")
    tensor = plan(steps=1000, batch="256x512", tensor_parallel=2)
    assert tensor.batches[0].data_parallel_size == alone.batches[0].data_parallel_size // 2
    assert tensor.cost.device_hours == alone.cost.device_hours
    assert tensor.cost.memory.states == alone.cost.memory.states / 2


def test_the_trainer_refuses_what_is_only_planned():
    from dist_epochs.train.setup import check_trainable

    recipe = plan(steps=10, per_device=8).recipe
    assert check_trainable(recipe, Path("r.yaml")) == 8
    for part, message in {
        replace(recipe.batch, per_device=None): "per_device is missing",
        replace(recipe.batch, last_window="flush"): "another trainer's loop",
        replace(recipe.batch, tensor_parallel=2): "tensor_parallel is 2",
    }.items():
        with pytest.raises(ValueError, match=message):
            check_trainable(replace(recipe, batch=part), Path("r.yaml"))


@pytest.mark.parametrize(
    ("part", "asked"),
    [
        ({"adapter": AdapterRecipe(rank=8)}, "model.adapter is planned and not done"),
        ({"frozen": FrozenRecipe(layers=2)}, "model.frozen is planned and not done"),
    ],
)
def test_the_trainer_refuses_to_train_a_part(part, asked):
    from dist_epochs.train.setup import check_trainable

    recipe = plan(steps=10, per_device=8).recipe
    with pytest.raises(InputError) as caught:
        check_trainable(replace(recipe, model=replace(recipe.model, **part)), Path("r.yaml"))
    assert caught.value.asked == asked


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"zero_stage": 1}, "zero_stage 1 is planned and not done"),
        ({"zero_stage": 2}, "shards nothing"),
    ],
)
def test_the_trainer_refuses_memory_settings_that_it_does_not_do(setting, message):
    from dist_epochs.train.setup import check_trainable

    recipe = plan(steps=10, per_device=8).recipe
    assert recipe.hardware is not None
    with pytest.raises(InputError, match=message):
        check_trainable(replace(recipe, hardware=replace(recipe.hardware, **setting)), Path("r.yaml"))
    fully_sharded = replace(recipe, hardware=replace(recipe.hardware, zero_stage=3))
    assert check_trainable(fully_sharded, Path("r.yaml")) == 8, "whether the launch shards is seen when it is there"


def test_lengths_that_miss_the_same_part_and_different_ones():
    document = Document("flags")
    apply_flags(document, {"epochs": "1", "global_batch": "100", "corpus": "100M tokens"})
    document.put(("phases",), [{"share": "50%", "sequence_length": 125}, {"sequence_length": 500}], Origin("test"))
    found = make_plan(make_recipe(document, Path("flags")))
    assert float(found.coverage) == pytest.approx(0.75, abs=1e-3)  # each length has its own order


def test_flops_over_two_lengths_stay_within():
    document = Document("flags")
    apply_flags(document, {"flops": "1.9e18", "global_batch": "4096", "model": "llama-7b"})
    document.put(("phases",), [{"share": "50%", "sequence_length": 8192}, {"sequence_length": 128}], Origin("test"))
    found = make_plan(make_recipe(document, Path("flags")))
    assert found.cost.flops <= 19 * 10**17


def test_a_loop_in_hours_pays_for_what_it_draws():
    flags = {"batch": None, "corpus": "1000 samples", "sequence_length": 1024, "model": "gpt2", "per_device": 8,
             "gradient_accumulation": 15, "last_window": "drop", "hours": 1}  # fmt: skip
    found = plan(**flags)
    assert found.cost.wall_hours.point <= 1 < found.cost.wall_hours.point * (found.steps + 1) / found.steps * 1.2


def test_states_are_sharded_over_context_parallel_devices_too():
    flags = {
        "batch": None,
        "sequence_length": 8192,
        "global_batch": 8,
        "per_device": 1,
        "zero_stage": 3,
        "model": "llama-7b",
    }
    sharded = plan(**flags, tokens="1B", context_parallel=8)
    assert float(sharded.cost.memory.states / 2**30) == pytest.approx(12.551, abs=1e-3)
    with pytest.raises(ValueError, match="does not divide the sequence length 100"):
        plan(**(flags | {"sequence_length": 100}), tokens="1B", context_parallel=8)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ({"batch": None, "global_batch": 64, "devices": 4, "gradient_accumulation": 7, "sequence_length": 8},
         "4 devices × 7 accumulation = 28"),
        ({"devices": None, "tensor_parallel": 4}, "stating devices too"),
        ({"restart_time": 5}, "stating restarts too"),
        ({"tokens_per_second": "1M"}, "both say how fast"),
        ({"mfu": "40"}, "Try 40%"),
        ({"hours": "90 parsecs"}, "'30 minutes'"),
    ],
)  # fmt: skip
def test_what_would_have_no_effect_is_refused(flags, message):
    with pytest.raises(ValueError, match=message):
        plan(**({"steps": 10} if "hours" not in flags else {}), **flags)


def test_devices_that_follow_from_the_batch():
    found = plan(batch=None, global_batch=64, per_device=8, gradient_accumulation=2, devices=None, sequence_length=8,
        steps=10,
                 mfu=None, price=None)  # fmt: skip
    assert (found.batches[0].data_parallel_size, found.batches[0].gradient_accumulation) == (4, 2)


def test_a_measured_rate_needs_no_devices():
    found = plan(tokens="3.6B", devices=None, tokens_per_second="1M", mfu=None, price=None, model=None)
    assert float(found.cost.wall_hours.point) == pytest.approx(1, abs=1e-3)
    assert found.cost.device_hours is None


def test_one_size_of_micro_batches_for_a_whole_ramp():
    found = plan(batch=None, samples="100k", global_batch=1536, sequence_length=8, ramp="16 8 5000", devices=8,
        model=None, price=None,
                 mfu=None)  # fmt: skip
    assert {batch.per_device for batch in found.batches} == {192}


@pytest.mark.parametrize(("flags", "size"), [({"batch": "8192 tokens", "sequence_length": 128}, 2),
                                             ({"batch": None, "global_batch": 256, "sequence_length": 128,
                                              "ramp": "32 32 1000"}, 8)])  # fmt: skip
def test_devices_that_follow_from_tokens_and_ramps(flags, size):
    found = plan(
        **flags, per_device=4, gradient_accumulation=8, devices=None, steps=10, model=None, mfu=None, price=None
    )
    assert found.batches[-1].data_parallel_size == size


def test_what_a_guessed_speed_may_buy_is_what_its_ends_buy():
    run = {
        "hours": 2,
        "batch": "64x128",
        "devices": "4xH100",
        "restarts": 2,
        "checkpoint_every": 1,
        "restart_time": "0.2",
        "price": None,
    }
    guess = plan(**run, mfu=None)
    slow, fast = (plan(**run, mfu=share).steps for share in ("30%", "45%"))
    told = {warning.rule: warning.message for warning in guess.warnings}["guessed-mfu"]
    low, high = (int(number.replace(",", "")) for number in told.rpartition("pay for ")[2].split(" to "))
    assert abs(low - slow) <= 1
    assert abs(high - fast) <= 1


def test_rounding_is_judged_by_its_share():
    def rules(**flags):
        found = plan(**flags, batch="64x128", devices=8, model=None, mfu=None, price=None)
        return {warning.rule for warning in found.warnings}

    assert "budget-missed" not in rules(tokens=409_599)
    assert "budget-missed" in rules(tokens=1000)
