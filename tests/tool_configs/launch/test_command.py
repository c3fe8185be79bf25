from pathlib import Path

import pytest

from dist_epochs.tool_configs.launch.command import asked_processes, is_accelerate_launch


@pytest.mark.parametrize(
    ("line", "processes"),
    [
        ("accelerate launch --cpu --num_processes 2 -m x", 2),
        ("accelerate launch --cpu --num-processes=2 -m x", 2),
        ("accelerate launch --config_file none.yaml -m x", None),
        ("accelerate launch --num_processes 16 --num_machines 2 -m x", None),
    ],
)
def test_what_a_launcher_was_asked_for(line, processes):
    assert asked_processes(line.split(), Path("none.yaml")) == processes


@pytest.mark.parametrize(
    ("line", "is_one"),
    [
        ("python /bin/accelerate launch --cpu x", True),
        ("python /bin/accelerate-launch --cpu x", True),
        ("python -m accelerate.commands.launch --cpu x", True),
        ("python -m torch.distributed.run x", False),
        ("bash launch", False),
    ],
)
def test_launchers_are_recognised(line, is_one):
    assert is_accelerate_launch(line.split()) is is_one


def test_a_configuration_file_asks_too(tmp_path):
    path = tmp_path / "c.yaml"
    path.write_text("distributed_type: MULTI_CPU\nnum_processes: 2\nnum_machines: 1\n")
    named = ["accelerate", "launch", "--config_file", str(path), "x"]
    assert asked_processes(named, Path("none.yaml")) == 2
    assert asked_processes(["accelerate", "launch", "x"], path) == 2
    assert asked_processes(["accelerate", "launch", "--cpu", "x"], path) is None  # then the launcher reads no file
    path.write_text("distributed_type: !mine MULTI_CPU\n")
    assert asked_processes(named, Path("none.yaml")) is None
