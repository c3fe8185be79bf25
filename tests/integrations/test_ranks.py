"""Which ranks count for which group."""

from types import SimpleNamespace

import pytest

from dist_epochs.errors import InputError
from dist_epochs.integrations.ranks import Topology, topology_of


def test_ranks_that_see_the_same_data_count_once():
    """Two tensor-parallel ranks of each of two groups."""
    topologies = [
        topology_of(SimpleNamespace(rank=rank, size=4), SimpleNamespace(tp_size=2, cp_size=1)) for rank in range(4)
    ]
    assert topologies == [Topology(groups=2, group=rank // 2, counts=rank % 2 == 0) for rank in range(4)]
    with pytest.raises(InputError, match="sequence parallelism of 2"):
        topology_of(SimpleNamespace(rank=0, size=2), SimpleNamespace(tp_size=1, cp_size=1, sp_size=2))
