"""Where ranks meet, by the environment that a launcher gives them."""

import pytest
from torch.distributed import TCPStore

from dist_epochs.errors import InputError
from dist_epochs.runtime.meeting import NoMeeting
from dist_epochs.runtime.meeting_place import open_meeting

WHERE = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "0"}


@pytest.mark.parametrize(
    "environment",
    [
        {},
        {"RANK": "0", "WORLD_SIZE": "2"},
        {"RANK": "0", "WORLD_SIZE": "1"} | WHERE,
        {"RANK": "0", "WORLD_SIZE": "2", "ACCELERATE_DEBUG_RDV_FILE": "file"} | WHERE,
    ],
)
def test_who_meets_nobody(environment):
    assert isinstance(open_meeting(environment, 1.0), NoMeeting)


def test_a_port_that_is_taken_is_told_with_a_way_out():
    server = TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
    place = {"RANK": "0", "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(server.port)}
    with pytest.raises(InputError) as caught:
        open_meeting(place, 1.0)
    assert caught.value.asked == f"rank 0 cannot open port {server.port} for the other ranks"
