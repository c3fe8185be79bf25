"""Memory where only the number of parameters is known."""

import re
from pathlib import Path

import pytest

from dist_epochs.errors import InputError
from dist_epochs.plan.plan_json import plan_json
from dist_epochs.plan.planner import make_plan
from dist_epochs.recipe import make_recipe
from dist_epochs.recipe.flags import apply_flags
from dist_epochs.render.plan import plan_text
from dist_epochs.settings.document import Document

RUN = {"steps": 1000, "batch": "64x2048"}


def plan(**flags):
    document = Document("flags")
    apply_flags(document, {name: str(text) for name, text in (RUN | flags).items()})
    return make_plan(make_recipe(document, Path("flags")))


@pytest.mark.parametrize(
    ("flags", "bytes_held"),
    [
        ({"parameters": "7B"}, 16 * 7 * 10**9),
        ({"parameters": "7B", "devices": "8xH100"}, 16 * 7 * 10**9),
        ({"parameters": "7B", "devices": "8xH100", "zero_stage": 1}, (4 + 12 / 8) * 7 * 10**9),
        ({"parameters": "7B", "devices": "8xH100", "zero_stage": 2}, (2 + 14 / 8) * 7 * 10**9),
        ({"parameters": "7B", "devices": "8xH100", "zero_stage": 3}, 16 / 8 * 7 * 10**9),
        ({"parameters": "7B", "devices": "8xH100", "precision": "fp32", "zero_stage": 1}, (8 + 8 / 8) * 7 * 10**9),
        ({"parameters": "70B", "devices": "64xH100", "tensor_parallel": 8, "zero_stage": 1},
         (4 + 12 / 8) * 70 * 10**9 / 8),
    ],
)  # fmt: skip
def test_sixteen_bytes_a_parameter(flags, bytes_held):
    made = plan(**flags)
    assert (made.cost.memory.states, made.cost.memory.is_floor) == (bytes_held, True)
    cost = plan_json(made)["cost"]
    assert (cost["states_bytes"], cost["memory_bytes"], cost["memory_is_floor"]) == (bytes_held, bytes_held, True)
    (row,) = re.findall(r"^  memory.*\n(?:   .*\n)*", plan_text(made), re.MULTILINE)
    assert f"≥ {bytes_held / 2**30:,.3g} GiB" in row
    assert " ".join(row.split()).endswith("activations come on top")


@pytest.mark.parametrize(
    ("flags", "verdict"),
    [
        (
            {"parameters": "7B", "devices": "8xH100"},
            "at least 104 GiB of 80 on one H100 SXM: weights, gradients",
        ),
        ({"parameters": "7B", "devices": "8xA100"}, "at least 104 GiB of 40 or 80 on one A100: weights"),
        ({"parameters": "5B", "devices": "8xH100"}, "at least 74.5 GiB of 80 on one H100 SXM: may not fit"),
        ({"parameters": "7B", "devices": "8xH100", "zero_stage": 3}, None),
        ({"parameters": "1B", "devices": "8xA100"}, None),
        ({"parameters": "7B"}, None),
    ],
)
def test_what_a_device_cannot_hold(flags, verdict):
    found = {warning.rule: warning.message for warning in plan(**flags).warnings}
    assert ("memory-too-small" in found) is (verdict is not None)
    assert (verdict or "") in found.get("memory-too-small", "")


@pytest.mark.parametrize(
    ("flags", "fits"),
    [
        ({"parameters": "3B", "devices": "8xA100"}, {"A100 SXM 40GB": "alone do not fit", "A100 PCIe 80GB": "fits"}),
        ({"parameters": "2B", "devices": "8xV100", "precision": "fp16"},
         {"V100 SXM2 16GB": "alone do not fit", "V100 SXM2 32GB": "may not fit"}),
        ({"model": "bert-large", "batch": "512x512", "devices": "8xA100"},
         {"A100 SXM 40GB": "may not fit", "A100 SXM 80GB": "fits"}),
    ],
)  # fmt: skip
def test_variants_of_which_some_hold_it_are_asked_for(flags, fits):
    with pytest.raises(InputError) as caught:
        plan(**flags)
    answers = dict(answer.split(": ", 1) for answer in caught.value.rule.split("; "))
    assert all(answers[name].endswith(fit) for name, fit in fits.items())
    assert [fix.rpartition(", ")[2] for fix in caught.value.fixes] == list(answers)
