import json

import pytest

from proxy.dialects.base import CallParams, StreamContext
from proxy.dialects.ollama import OllamaDialect
from proxy.hub.errors import HTTP_STATUS, ErrorKind, UpstreamError
from proxy.server.dispatch import pattern_of

DIALECT = OllamaDialect()


@pytest.mark.parametrize(("path", "method"), [("/ollama/api/chat", "chat"), ("/ollama/api/generate", "generate")])
def test_one_route_serves_both_methods(path: str, method: str) -> None:
    (route,) = DIALECT.routes
    found = pattern_of(route.path).fullmatch(path)

    assert found is not None and found["method"] == method


@pytest.mark.parametrize(("method", "variant"), [("chat", ""), ("generate", "generate")])
def test_method_is_the_variant(method: str, variant: str) -> None:
    envelope = DIALECT.envelope(b'{"model":"m"}', CallParams(path={"method": method}))

    assert (envelope.model, envelope.stream, envelope.variant) == ("m", True, variant)
    assert DIALECT.encoder(StreamContext("i", "m", 1, variant=variant)).encode([]) == b""


@pytest.mark.parametrize("kind", ErrorKind)
def test_error_is_its_message(kind: ErrorKind) -> None:
    error = UpstreamError(kind, "What happened.", status=418)

    assert DIALECT.status(error) == HTTP_STATUS[kind]
    assert json.loads(DIALECT.encode_error(error, "r")) == {"error": "What happened."}
