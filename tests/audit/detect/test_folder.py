"""A folder of a run: what belongs to it is found, read and compared."""

import json
import shutil
from pathlib import Path

import pytest

SAMPLES = Path(__file__).parents[1] / "readers/samples"


@pytest.fixture
def output(tmp_path, write_state):
    """An output folder of the Trainer: a state, its results, its card, its events."""
    write_state(
        global_step=8, max_steps=8, epoch=2.0, num_train_epochs=2, train_batch_size=4,
        log_history=[{"step": 2, "epoch": 0.6, "loss": 1.0}],
    )  # fmt: skip
    results = {"epoch": 2.0, "train_loss": 3.9, "train_runtime": 0.2272, "train_samples": 37,
               "train_samples_per_second": 325.746, "train_steps_per_second": 35.216}  # fmt: skip
    (tmp_path / "all_results.json").write_text(json.dumps(results, indent=1))
    card = (SAMPLES / "model-card/v5.24-empty-table.md").read_text()
    changes = {
        "train_batch_size: 2": "train_batch_size: 4", "- num_devices: 2\n": "", "num_epochs: 3": "num_epochs: 2",
        "gradient_accumulation_steps: 2": "gradient_accumulation_steps: 3",
        "total_train_batch_size: 8": "total_train_batch_size: 12",
    }  # fmt: skip
    for old, new in changes.items():
        card = card.replace(old, new)
    (tmp_path / "README.md").write_text(card)
    events = tmp_path / "runs/Nov27_00-00-00_vm"
    events.mkdir(parents=True)
    for number in ("1795762075.vm.6438.0", "1795762079.vm.6438.1"):
        shutil.copy(SAMPLES / f"tfevents/events.out.tfevents.{number}", events)
    return tmp_path


def test_the_files_of_a_run_together_tell_more_than_each(ask, output):
    found = ask(output, "--devices", "1", "--epochs", "2", "--samples", "74")
    assert found["verdict"].startswith("consistent")
    record = {name: entry["value"] for name, entry in found["record"].items()}
    assert (record["corpus"], record["global_batch"], record["gradient_accumulation"]) == (37, 12, 3)
    assert found["record"]["corpus"]["file"] == str(output / "all_results.json")
    assert found["record"]["global_batch"]["file"] == str(output / "README.md")
    assert any("README.md (model-card)" in note and "tfevents" in note for note in found["notes"])
    assert ask(output, "--devices", "2", code=1)["verdict"] == "inconsistent"


@pytest.mark.parametrize(
    ("file", "old", "new", "name"),
    [
        ("README.md", "- train_batch_size: 4", "- train_batch_size: 8", "per_device"),
        ("README.md", "num_epochs: 2", "num_epochs: 3", "planned_epochs"),
        ("all_results.json", '"epoch": 2.0', '"epoch": 3.0', "epochs"),
    ],
)
def test_parts_that_contradict_each_other(ask, output, file, old, new, name):
    path = output / file
    path.write_text(path.read_text().replace(old, new))
    found = ask(output, code=1)
    contradicted = [check for check in found["readings"][0]["checks"] if check["agreement"] == "contradicts"]
    assert name in {check["name"] for check in contradicted}
    assert any(file in check["how"] for check in contradicted)


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("README.md", "num_epochs: 2", "num_epochs: 1.5"),  # a state rounds up
        ("README.md", "training_hyperparameters", "anything"),
        ("all_results.json", '"train_steps_per_second": 35.216', '"train_steps_per_second": 17.6'),  # of one call
        ("all_results.json", '"train_loss": 3.9', '"train_loss": 0.0'),
    ],
)
def test_parts_that_differ_with_a_right(ask, output, file, old, new):
    path = output / file
    path.write_text(path.read_text().replace(old, new))
    found = ask(output)
    contradicted = [check for check in found["readings"][0]["checks"] if check["agreement"] == "contradicts"]
    assert not [check for check in contradicted if file in check["how"]]


def test_a_checkpoint_before_the_end_is_not_the_whole_run(ask, output, write_state):
    (output / "trainer_state.json").unlink()
    write_state("checkpoint-4", global_step=4, max_steps=8, epoch=1.0, num_train_epochs=2, train_batch_size=4)
    found = ask(output)
    assert found["record"]["steps"]["value"] == 4
    assert found["record"]["corpus"]["value"] == 37


def test_events_of_another_run_in_the_same_folder_are_said(ask, output):
    state = json.loads((output / "trainer_state.json").read_text())
    (output / "trainer_state.json").write_text(json.dumps(state | {"train_batch_size": 2}))
    (output / "README.md").unlink()
    events = next(output.glob("runs/*"))
    (events / "events.out.tfevents.1795762080.vm.1.0").write_bytes(
        (SAMPLES / "tfevents/events.out.tfevents.cut").read_bytes()
    )
    found = ask(output)
    assert any("is of another run: per_device" in note for note in found["notes"])


def test_a_readme_that_is_no_card_is_no_part(ask, output, logs):
    (output / "README.md").write_text((logs / "megatron.log").read_text())
    assert not any("README.md" in note for note in ask(output)["notes"])


def test_a_damaged_part_is_said_and_passed_over(ask, output):
    (output / "all_results.json").write_text('{"train_runtime": 1.0, "train_loss": ')
    found = ask(output)
    assert any("all_results.json:1" in note and note.startswith("Not read") for note in found["notes"])


@pytest.mark.parametrize(
    ("folder", "place", "kind"),
    [
        ("wandb-files/run", "wandb/run-20230707_1-a/files", "wandb"),
        ("wandb-files/run", "files", "wandb"),
        ("lightning/ddp2", "lightning_logs/version_0", "lightning"),
    ],
)
def test_folders_of_other_trackers(ask, tmp_path, folder, place, kind):
    shutil.copytree(SAMPLES / folder, tmp_path / place)
    assert ask(tmp_path)["kind"] == kind


def test_versions_of_lightning_are_runs(ask, tmp_path):
    for version in ("version_0", "version_1"):
        shutil.copytree(SAMPLES / "lightning/ddp2", tmp_path / version)
    assert "2 runs of Lightning: version_0, version_1" in ask(tmp_path, code=2)["asked"]


def test_a_log_alone_is_read_and_several_are_not(ask, logs, tmp_path):
    shutil.copy(logs / "megatron.log", tmp_path)
    assert ask(tmp_path)["kind"] == "megatron"
    shutil.copy(logs / "olmo.log", tmp_path)
    assert "no finished run" in ask(tmp_path, code=2)["asked"]


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """A cache of the Hub with one model repository, in its own layout."""
    pytest.importorskip("huggingface_hub")
    from huggingface_hub import constants

    root = tmp_path / "hub/models--someone--tiny"
    commit = "0123456789abcdef0123456789abcdef01234567"
    snapshot = root / "snapshots" / commit
    snapshot.mkdir(parents=True)
    (root / "refs").mkdir()
    (root / "refs/main").write_text(commit)
    blobs = root / "blobs"
    blobs.mkdir()
    for name, source in (
        ("README.md", "model-card/v4.44-ddp2.md"),
        ("all_results.json", "hf-results/v4.44-all_results.json"),
    ):
        shutil.copy(SAMPLES / source, blobs / name)
        (snapshot / name).symlink_to(Path("../../blobs") / name)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    return tmp_path


def test_a_model_repository(ask, hub):
    found = ask("hub:someone/tiny", code=1)
    assert found["id"] == "hub:someone/tiny"
    assert "huggingface_hub answered" in ask("hub:someone/else", code=2)["asked"]
    assert ask("hub:tiny", code=2)["fixes"] == ["hub:OWNER/NAME"]


def test_weights_are_never_fetched(monkeypatch, ask, tmp_path):
    huggingface_hub = pytest.importorskip("huggingface_hub")
    import fnmatch

    asked = {}

    def fetch(name, **how):
        asked.update(how, name=name)
        (tmp_path / "README.md").write_text((SAMPLES / "model-card/v4.44-ddp2.md").read_text())
        return str(tmp_path)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", fetch)
    assert ask("hub:someone/tiny@v1.0")["record"]["global_batch"]["value"] == 8
    assert (asked["name"], asked["revision"]) == ("someone/tiny", "v1.0")
    for name in ("model.safetensors", "pytorch_model.bin", "checkpoint-500/optimizer.pt", "training_args.bin"):
        assert not any(fnmatch.fnmatch(name, pattern) for pattern in asked["allow_patterns"])
