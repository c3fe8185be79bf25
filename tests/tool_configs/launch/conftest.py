from pathlib import Path

import pytest

from dist_epochs.plan.planner import make_plan
from dist_epochs.recipe import make_recipe
from dist_epochs.recipe.flags import apply_flags
from dist_epochs.settings.document import Document
from dist_epochs.tool_configs.launch.report import check_launch_file

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
        return report(self.write(text), settings, **flags)

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
