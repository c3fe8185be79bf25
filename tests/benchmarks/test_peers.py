"""`tests.benchmarks.peers` measures what this environment has, and says what it has not."""

from __future__ import annotations

import pytest

from tests.benchmarks.peers import main


@pytest.mark.campaign  # a minute, mostly of imports in processes of their own
@pytest.mark.timeout(900)
def test_a_round_beside_what_is_here(capsys):
    main(["--rounds", "1", "--copies", "2", "--peer", "litdata=/nowhere/python"])
    shown = capsys.readouterr().out
    assert shown.count("dist_epochs") == 3
    assert "litdata                             not measured: /nowhere/python is no interpreter" in shown
    assert "datatrove                           not measured: it needs --peer datatrove=PYTHON" in shown
    assert shown.count("not measured") == 9
    assert shown.count("ours ÷ it") == 6
