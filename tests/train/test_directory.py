import pytest

from dist_epochs.errors import InputError
from dist_epochs.ledger.held import held


def test_one_program_at_a_time_holds_a_run(tmp_path):
    with (
        held(tmp_path),
        pytest.raises(InputError, match="another program is running this run, so nothing was started"),
        held(tmp_path),
    ):
        raise AssertionError("held twice")
    with held(tmp_path):
        pass
