import json
from pathlib import Path

import pytest

from dist_epochs.errors import InputError
from dist_epochs.plan.planner import make_plan
from dist_epochs.recipe import make_recipe
from dist_epochs.recipe.flags import apply_flags
from dist_epochs.settings.document import Document
from dist_epochs.tool_configs.complete import complete
from dist_epochs.tool_configs.detect import read_settings
from dist_epochs.tool_configs.launch.report import check_launch_file
from dist_epochs.tool_configs.stated import merge

collect_ignore_glob = ["samples/*"]
"""Other people's configurations, some in Python: they are read, and never executed."""


class Folder:
    """A folder of settings files, read as one launch; messages without the folder."""

    def __init__(self, path):
        self.path = path

    def write(self, name, content):
        text = content if isinstance(content, str) else json.dumps(content, indent=1)
        (self.path / name).write_text(text, encoding="utf-8")
        return self

    def read(self, *names):
        return merge([read_settings(self.path / name) for name in names])

    def values(self, *names):
        return {name: stated.value for name, stated in self.read(*names).stated().items()}

    def notes(self, *names):
        return [note.replace(f"{self.path}/", "") for note in self.read(*names).notes]

    def completed(self, *names):
        return {name: stated.value for name, stated in complete(self.read(*names)).stated().items()}

    def error(self, *names):
        with pytest.raises(InputError) as caught:
            complete(self.read(*names))
        return str(caught.value).replace(f"{self.path}/", "")


@pytest.fixture
def folder(tmp_path):
    return Folder(tmp_path)


RECIPE = {"steps": "100", "global_batch": "64", "per_device": "4", "sequence_length": "128"}


def report(path, settings=(), **flags):
    """A launch file beside a recipe of flags."""
    document = Document("flags")
    apply_flags(document, {**RECIPE, **{name: str(value) for name, value in flags.items()}})
    for setting in settings:
        document.override(setting)
    return check_launch_file(path, document, Path("r.yaml"), lambda made: make_plan(make_recipe(made, Path("r.yaml"))))


class Launches:
    """Launch files in a folder, checked; messages without the folder."""

    def __init__(self, folder):
        self.folder = folder

    def write(self, text):
        path = self.folder / "acc.yaml"
        path.write_text(text, encoding="utf-8")
        return path

    def report(self, text, settings=(), **flags):
        return self.report_of(self.write(text), settings, **flags)

    def report_of(self, path, settings=(), **flags):
        return report(path, settings, **flags)

    def found(self, text, settings=(), **flags):
        """Findings by rule, as `where: message → fix`."""
        lines = {}
        for found in self.report(text, settings, **flags).findings:
            line = f"{found.where}: {found.message} → {found.fix}".replace(f"{self.folder}/", "")
            lines.setdefault(found.rule, line)
        return lines


@pytest.fixture
def launches(tmp_path):
    return Launches(tmp_path)


@pytest.fixture(scope="session")
def launches_of_session(tmp_path_factory):
    """The same for property tests, which want a fixture that lasts."""
    return Launches(tmp_path_factory.mktemp("launches"))
