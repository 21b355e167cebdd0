"""The JSON Schema of configuration files, for editors: types, bounds and defaults from the structs, texts from their
docstrings."""

import ast
import inspect
from itertools import pairwise
from typing import cast

import msgspec

from proxy.config import settings
from proxy.config.secret import Secret
from proxy.config.settings import Config
from proxy.providers import quirks

DIALECT = "https://json-schema.org/draft/2020-12/schema"

Json = dict[str, object]


def config_schema() -> Json:
    """JSON Schema 2020-12."""
    # msgspec declares Any; a schema is a JSON object.
    schema = cast(Json, msgspec.json.schema(Config, schema_hook=_secret_schema))
    definitions = cast("dict[str, Json]", schema.pop("$defs"))  # one object for each struct
    for module in (settings, quirks):
        for name, texts in field_texts(module.__file__ or "").items():
            if name in definitions:
                _describe(definitions[name], texts)
    root = definitions.pop("Config")
    root.pop("title", None)
    return {
        "$schema": DIALECT,
        "title": "Configuration of llm-stream-proxy",
        **root,
        "$defs": dict(sorted(definitions.items())),
    }


def schema_text() -> str:
    """The schema as a file."""
    return msgspec.json.format(msgspec.json.encode(config_schema()), indent=2).decode() + "\n"


def _secret_schema(kind: type) -> Json:
    assert kind is Secret
    return {"type": "string"}


def _describe(definition: Json, texts: dict[str, str]) -> None:
    properties = cast("dict[str, Json]", definition.get("properties", {}))  # one object for each field
    for name, schema in properties.items():
        if name in texts:
            schema["description"] = texts[name]
        if "$ref" in schema or schema.get("default", 0) is None:
            # A section's defaults stand with its own keys.
            schema.pop("default", None)


def field_texts(file: str) -> dict[str, dict[str, str]]:
    """The docstrings under the fields of each class in a source file."""
    with open(file, encoding="utf-8") as source:
        tree = ast.parse(source.read())
    return {node.name: _texts_of(node) for node in tree.body if isinstance(node, ast.ClassDef)}


def _texts_of(node: ast.ClassDef) -> dict[str, str]:
    texts: dict[str, str] = {}
    for field, after in pairwise(node.body):
        match field, after:
            case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(text))):
                texts[name] = " ".join(inspect.cleandoc(text).split("\n"))
            case _:
                pass
    return texts
