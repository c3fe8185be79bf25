import pytest

from dist_epochs.errors import InputError
from dist_epochs.runtime.files import run_lock


def test_one_program_at_a_time_writes_to_a_run(tmp_path):
    with (
        run_lock(tmp_path),
        pytest.raises(InputError, match="another program is running this run, so nothing was started"),
        run_lock(tmp_path),
    ):
        raise AssertionError("locked twice")
    with run_lock(tmp_path):
        pass
