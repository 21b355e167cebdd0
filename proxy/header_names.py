"""Headers by what they are: credentials, those of one connection, those of a raw call. All names in lower case."""

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

ACCOUNT_HEADERS = frozenset({"openai-organization", "openai-project"})
"""Request headers that say on whose account a key is used: they go where the caller's own key goes, and only there."""

LIST_HEADERS = frozenset({"connection", "anthropic-beta", "openai-beta"})
"""Request headers with a list for a value: a repeated one goes on with it (RFC 9110 section 5.3)."""

RAW_REQUEST_HEADERS = frozenset(
    {
        *("accept", "accept-language", "content-type", "content-language", "content-disposition", "content-range"),
        *("if-match", "if-none-match", "if-modified-since", "if-unmodified-since", "if-range", "range"),
        *("idempotency-key", "prefer", "http-referer", "x-title", "x-client-request-id"),
        *("x-goog-api-client", "x-goog-request-params", "x-goog-fieldmask", "x-server-timeout"),
        *("x-wait-for-model", "x-use-cache"),
    }
)
"""What goes to a provider of a raw call: what says something of the body, and what vendors' APIs read."""

RAW_REQUEST_PREFIXES = ("anthropic-", "openai-", "x-goog-upload-", "x-amzn-bedrock-", "x-codex-", "x-openrouter-")
"""No vendor's whole `x-` names: gateways put who calls into theirs (`x-goog-iap-…`, `x-amzn-oidc-…`, `x-ms-token-…`)."""

_NOT_RAW = ACCOUNT_HEADERS | {"anthropic-dangerous-direct-browser-access"}

RAW_ANSWER_HEADERS = frozenset(
    {
        *("accept-ranges", "content-type", "content-disposition", "content-language", "content-range"),
        *("etag", "last-modified", "retry-after", "retry-after-ms", "x-should-retry", "request-id"),
        *("openai-processing-ms", "openai-version", "openai-model", "x-amzn-requestid", "x-amzn-errortype"),
    }
)
"""What of a raw answer goes to the caller. Neither what browsers obey (cookies, CORS, HSTS), nor what a web server in front
does (`x-accel-redirect` and `x-sendfile` make it send files of its own), nor whose account it is."""

RAW_ANSWER_PREFIXES = ("x-ratelimit-", "ratelimit", "anthropic-ratelimit-", "x-goog-upload-", "x-amzn-bedrock-")


def goes_raw_upstream(name: str) -> bool:
    """Whether a raw call hands a caller's header on."""
    return name in RAW_REQUEST_HEADERS or (name.startswith(RAW_REQUEST_PREFIXES) and name not in _NOT_RAW)


def goes_raw_to_caller(name: str) -> bool:
    """Whether a raw call hands a provider's header on."""
    return name in RAW_ANSWER_HEADERS or name.startswith(RAW_ANSWER_PREFIXES)
