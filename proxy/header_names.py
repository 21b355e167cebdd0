"""Request headers by what they are: credentials, and those that belong to one connection. All names in lower case."""

CREDENTIAL_HEADERS = frozenset(
    {
        *("authorization", "x-api-key", "x-goog-api-key", "api-key", "cookie", "proxy-authorization"),
        *("x-amz-security-token", "x-amz-date", "x-amz-content-sha256"),
    }
)
"""Headers that are credentials, or parts of a signature over one request."""

CONNECTION_HEADERS = frozenset(
    {
        *("connection", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade"),
        *("host", "content-length", "accept-encoding", "expect"),
    }
)
"""Headers that belong to one connection: whoever speaks on it writes its own."""
