"""What is read of a schedule of the learning rate."""

from functools import partial
from types import SimpleNamespace

import pytest
import torch
from transformers import get_cosine_schedule_with_warmup, get_linear_schedule_with_warmup

from dist_epochs.integrations.schedule import advanced, end_of


def optimizer():
    return torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)


@pytest.mark.parametrize(
    ("make", "end"),
    [
        (lambda o: get_linear_schedule_with_warmup(o, 10, 1000), 1000),
        (lambda o: get_cosine_schedule_with_warmup(o, 10, 500), 500),
        (lambda o: torch.optim.lr_scheduler.LambdaLR(o, lambda step: max(0.0, 1 - step / 777)), 777),
        (lambda o: torch.optim.lr_scheduler.LambdaLR(o, partial(lambda step, more: 1.0, more=1)), None),
        (lambda o: torch.optim.lr_scheduler.CosineAnnealingLR(o, 300), 300),
        (lambda o: torch.optim.lr_scheduler.OneCycleLR(o, 1.0, total_steps=70), 70),
        (lambda o: torch.optim.lr_scheduler.LinearLR(o, total_iters=9), None),
        (lambda o: torch.optim.lr_scheduler.PolynomialLR(o, total_iters=9), 9),
        (lambda o: torch.optim.lr_scheduler.ExponentialLR(o, 0.9), None),
    ],
)
def test_where_a_schedule_ends(make, end):
    scheduler = make(optimizer())
    wrapped = SimpleNamespace(scheduler=scheduler)
    assert (end_of(scheduler), end_of(wrapped)) == (end, end)
    assert (advanced(scheduler), advanced(wrapped)) == (0, 0)


def test_what_is_no_schedule():
    def refuses(step):
        raise KeyError(step)

    assert advanced(None) is None
    assert advanced(object()) is None
    assert end_of(SimpleNamespace(lr_lambdas=[refuses])) is None
