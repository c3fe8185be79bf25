from dist_epochs.cli.main import COMMANDS
from dist_epochs.corpus.streaming.planning import plan_on_store
from dist_epochs.recipe import read_recipe
from dist_epochs.render.plan import plan_text


def test_every_number_of_the_plan_stands_beside_its_formula(store, write_recipe):
    plan = plan_on_store(read_recipe(write_recipe(store.path), ["batch.devices=2"]))
    text = plan_text(plan)
    for line in (
        "12  = 2 devices × 3 per device × 2 accumulation",
        "9  = 6 at length 16 + 3 at length 32",
        "18  = 9 × 2, on each device",
        "108  = 9 × 12",
        "2,304  = 12 × (6 × 16 + 3 × 32)",
    ):
        assert line in text
    assert f"{plan.totals.tokens:,}  = 2,304 − {2304 - plan.totals.tokens:,} padding" in text


def test_help_lists_the_commands():
    assert list(COMMANDS) == [
        "init", "solve", "plan", "tokenize", "merge", "ledger", "audit", "compare", "explain", "page",
    ]  # fmt: skip
