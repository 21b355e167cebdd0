import json

import pytest

from proxy.dialects.own_errors import error_body
from proxy.hub.errors import RETRYABLE, ErrorKind, UpstreamError


@pytest.mark.parametrize("kind", ErrorKind)
def test_every_kind_is_named(kind: ErrorKind) -> None:
    assert json.loads(error_body(UpstreamError(kind, "What happened.", status=418))) == {
        "error": {"type": kind.value, "message": "What happened.", "retryable": kind in RETRYABLE}
    }
