"""The schema file is what the settings say, and says as much as they do."""

from pathlib import Path

from proxy.config.json_schema import config_schema, schema_text

SCHEMA_FILE = Path(__file__).parents[2] / "config" / "schema.json"


def test_the_schema_file_is_fresh() -> None:
    assert SCHEMA_FILE.read_text() == schema_text(), "run: python -m proxy schema > config/schema.json"


def definitions() -> dict[str, dict[str, object]]:
    schema = config_schema()
    found = schema["$defs"]
    assert isinstance(found, dict)
    return {"Config": schema, **found}


def test_every_key_is_described() -> None:
    undescribed = [
        f"{name}.{key}"
        for name, definition in definitions().items()
        for key, property_ in definition.get("properties", {}).items()  # type: ignore[attr-defined]
        if not property_.get("description")
    ]

    # Quirks whose name says all have no docstring.
    assert [key for key in undescribed if not key.startswith("Quirks.")] == []


def test_unknown_keys_are_refused_everywhere() -> None:
    open_ones = [name for name, one in definitions().items() if "properties" in one and one["additionalProperties"]]

    assert open_ones == []


def test_it_names_its_dialect_and_resolves_its_references() -> None:
    schema = config_schema()
    text = schema_text()

    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    for reference in {part.split('"')[0] for part in text.split('"#/$defs/')[1:]}:
        assert reference in definitions(), reference


def test_secrets_show_the_form_that_is_accepted() -> None:
    keys = definitions()["CallerKey"]["properties"]
    assert isinstance(keys, dict)

    assert {"type": "string", "pattern": "^(env|file):.+"} in keys["key"]["anyOf"]
