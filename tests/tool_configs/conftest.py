import json

import pytest

from dist_epochs.errors import InputError
from dist_epochs.tool_configs.complete import complete
from dist_epochs.tool_configs.detect import read_settings
from dist_epochs.tool_configs.stated import merge


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
