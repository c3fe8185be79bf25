"""Our loop beside the Hugging Face Trainer: `tests.benchmarks.training`, and that it measures what it says."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.benchmarks.trainers import make_text
from tests.benchmarks.training import ROWS, Row, measure, show

TINY = {
    "model_type": "bert", "vocab_size": 2048, "hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2,
    "intermediate_size": 64,
}  # fmt: skip


@pytest.mark.benchmark
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.case.name)
def test_training_beside_the_trainer_s(row, tmp_path):
    text = make_text(tmp_path, {row.case.length})
    print()
    show(row, measure(row, text, tmp_path, pairs=7))


@pytest.mark.campaign  # half a minute, mostly of imports in processes of their own
def test_every_way_takes_its_rounds(tmp_path, capsys):
    case = replace(ROWS[0].case, name="tiny", model=TINY, length=32)
    row = Row(case=case, steps=2)
    rounds = measure(row, make_text(tmp_path, {32}), tmp_path, pairs=2)
    assert [len(reports) for reports in rounds.values()] == [2, 2, 2]
    assert {report.tokens for report in rounds["Trainer, grouped"]} == {2 * 2 * 8 * 32}
    for reports in rounds.values():
        assert all(0 < report.tokens <= 2 * 2 * 8 * 32 and report.seconds > 0 for report in reports)
        assert 0 < reports[0].peak_mib <= reports[1].peak_mib
    show(row, rounds)
    assert capsys.readouterr().out.count("ours ÷ it") == 2
