"""The schema that editors use is that of the recipes, and the shipped recipes fit it."""

import json
import re
from pathlib import Path

import pytest

from dist_epochs.recipe.schema import recipe_schema
from dist_epochs.settings.document import Document

CONFIGS = Path(__file__).parent.parent.parent / "configs"
TYPES = {"string": str, "number": (int, float), "integer": int, "boolean": bool, "object": dict, "array": list}


def fits(data, schema):
    """A few keywords of JSON schema, enough for ours."""
    if "anyOf" in schema:
        return any(fits(data, option) for option in schema["anyOf"])
    if "enum" in schema:
        return data in schema["enum"]
    types = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
    if not any(isinstance(data, TYPES[name]) for name in types):
        return False
    if isinstance(data, str) and not re.search(schema.get("pattern", ""), data):
        return False
    if isinstance(data, int | float) and data < schema.get("minimum", data):
        return False
    if isinstance(data, list):
        return len(data) >= schema.get("minItems", 0) and all(fits(item, schema["items"]) for item in data)
    if not isinstance(data, dict):
        return True
    known, others = schema.get("properties", {}), schema.get("additionalProperties", {})
    if not set(schema.get("required", ())) <= data.keys():
        return False
    return all(fits(value, known[name]) if name in known else others and fits(value, others) for name,
        value in data.items()) \
        or ("properties" not in schema and "additionalProperties" not in schema)  # fmt: skip


def test_the_file_is_up_to_date():
    assert json.loads((CONFIGS / "recipe.schema.json").read_text()) == recipe_schema()


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("*.yaml")), ids=lambda path: path.name)
def test_the_shipped_recipes_fit_and_name_it(path):
    assert path.read_text().startswith("# yaml-language-server: $schema=recipe.schema.json")
    assert fits(Document.read(path).data, recipe_schema())


def test_it_refuses_what_the_reader_refuses():
    data = Document.read(CONFIGS / "bert-base.yaml").data
    assert not fits(data | {"bacth": {}}, recipe_schema())
    assert not fits({name: part for name, part in data.items() if name != "batch"}, recipe_schema())
    for name, value in {"global_batch": -4, "devices": "many", "ramp": "16 8"}.items():
        assert fits(data | {"batch": {"global_batch": 4, "devices": "8", "ramp": "16 8 100"}}, recipe_schema())
        assert not fits(data | {"batch": {name: value}}, recipe_schema())
    assert not fits(data | {"precision": "fp8"}, recipe_schema())


def descriptions(schema, path=""):
    for name, part in schema.get("properties", {}).items():
        yield f"{path}{name}", part.get("description")
        for inner in (part, *part.get("anyOf", ()), part.get("items", {}), part.get("additionalProperties") or {}):
            yield from descriptions(inner, f"{path}{name}.")


def test_every_setting_is_described():
    missing = [name for name, text in descriptions(recipe_schema()) if not text]
    assert missing == []
