"""The configuration as data: one frozen struct per section, every key with its bounds, default and meaning.

The docstring under a field is its documentation everywhere: in the JSON Schema, in editors, in `config/example.yaml`.
Durations are seconds (`_s`), sizes bytes (`_bytes`). `None`: not given, and what that means is said with the field.
"""

from enum import StrEnum
from typing import Annotated

from msgspec import Meta, Struct, structs

from proxy.config.secret import Secret, key_digest
from proxy.providers.quirks import Quirks

LITERAL_ALLOWED = {"literal": True}
"""Marks a field that takes text as well as env:NAME and file:PATH."""
WORDS_ALLOWED = {"words": True}
"""Marks a field that takes the words `none` and `caller` as well."""

NAME_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"

Name = Annotated[
    str,
    Meta(
        pattern=NAME_PATTERN,
        extra={"expected": "a name of at most 64 letters, digits, '.', '_' and '-'"},
    ),
]
ModelName = Annotated[str, Meta(min_length=1, max_length=256)]
Text = Annotated[str, Meta(min_length=1, max_length=4096)]
Address = Annotated[
    str,
    Meta(max_length=300, extra={"expected": "HOST:PORT, such as 127.0.0.1:8080", "is_raw": True}),
]
"""`is_raw`: a number is read as text, so that what is wrong with an address can be said better than "a number"."""
FilePath = Annotated[str, Meta(min_length=1, max_length=4096, extra={"is_path": True})]
"""A relative path starts beside the configuration file; what is loaded is the path as it works from here."""
Seconds = Annotated[float, Meta(gt=0, le=86400)]
SecondsOrZero = Annotated[float, Meta(ge=0, le=86400)]
Count = Annotated[int, Meta(ge=1, le=1_000_000)]
CountOrZero = Annotated[int, Meta(ge=0, le=1_000_000)]
Bytes = Annotated[int, Meta(ge=1024, le=1 << 40)]

NO_STORE = "none"
"""As `resume.store`: nothing is kept. As `limits.store`: nothing is shared."""

_REFERENCE = {"pattern": "^(env|file):.+"}
SecretReference = Annotated[Secret, Meta(extra_json_schema=_REFERENCE, extra={})]
ProviderKey = Annotated[
    Secret, Meta(extra_json_schema={"pattern": "^((env|file):.+|none|caller)$"}, extra=WORDS_ALLOWED)
]
TextOrReference = Annotated[Secret, Meta(extra=LITERAL_ALLOWED)]


class OnCut(StrEnum):
    """What to do when an upstream ends in the middle of an answer."""

    ERROR = "error"
    CONTINUE = "continue"
    RESTART = "restart"


class UsageMode(StrEnum):
    """Whether the provider is asked for usage that the caller did not ask for."""

    OBSERVE = "observe"
    INJECT = "inject"


class EventLoop(StrEnum):
    """What runs the process's callbacks."""

    AUTO = "auto"
    ASYNCIO = "asyncio"
    UVLOOP = "uvloop"


class LogFormat(StrEnum):
    """How a log line is written."""

    JSON = "json"
    TEXT = "text"


class LogLevel(StrEnum):
    """The least severe lines that are written."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


class Admin(Struct, frozen=True, forbid_unknown_fields=True):
    """A port of its own for /metrics, /healthz, /readyz and /streams."""

    listen: Address = "127.0.0.1:9090"
    """HOST:PORT of the admin routes. They are read by machines inside; do not publish this port."""


class CallerKey(Struct, frozen=True, forbid_unknown_fields=True):
    """A key that callers may use. Several entries may share a name: that is how a key is rotated without a gap."""

    name: Name
    """Shown in logs in place of the key."""
    key: SecretReference | None = None
    """The key itself, as env:NAME or file:PATH; at least 8 characters. Either this or `sha256`."""
    sha256: Annotated[str, Meta(pattern="^[0-9a-fA-F]{64}$", extra={"expected": "64 hexadecimal digits"})] | None = None
    """The key's SHA-256 in hexadecimal, which may stand in the file. Either this or `key`."""
    models: tuple[ModelName, ...] | None = None
    """Globs of the models that this key may ask for; a glob with a slash is for `provider/model`. Absent: all."""
    max_streams: Count | None = None
    """Calls in progress at the same time; a further one waits in the queue or gets 429. Absent: only the limit for all
    callers."""
    requests_per_minute: Count | None = None
    """In any 60 seconds. Absent: no limit."""
    tokens_per_minute: Annotated[int, Meta(ge=1, le=1_000_000_000)] | None = None
    """Input and output tokens as providers report them when a call ends: calls wait once those of the last 60 seconds
    reach it, so calls in progress may overshoot. Absent: no limit."""

    def digest(self) -> bytes:
        """SHA-256 of the key; empty when the entry has neither form of it."""
        return key_digest(self.key.reveal()) if self.key is not None else bytes.fromhex(self.sha256 or "")


class Auth(Struct, frozen=True, forbid_unknown_fields=True):
    """Who may call."""

    keys: tuple[CallerKey, ...] = ()
    """The keys of callers. None: everybody is anonymous, and `listen` must be a loopback address."""
    anonymous: bool = False
    """Serve callers without a known key, on any address. Only where something else decides who may connect."""


class Tls(Struct, frozen=True, forbid_unknown_fields=True):
    """How an upstream's certificate is checked, and ours shown."""

    ca_file: FilePath | None = None
    """PEM file of the authorities to trust. Absent: the system's."""
    cert_file: FilePath | None = None
    """PEM file of a client certificate; needs `key_file`."""
    key_file: FilePath | None = None
    """PEM file of the client certificate's key."""
    insecure_skip_verify: bool = False
    """Do not check the certificate. Anybody on the way can then read keys and prompts."""


class TimeoutOverrides(Struct, frozen=True, forbid_unknown_fields=True):
    """Deadlines of one provider; what is absent comes from `timeouts`."""

    connect_s: Seconds | None = None
    """As `timeouts.connect_s`, for this provider."""
    headers_s: Seconds | None = None
    """As `timeouts.headers_s`, for this provider."""
    first_event_s: Seconds | None = None
    """As `timeouts.first_event_s`, for this provider."""
    idle_s: Seconds | None = None
    """As `timeouts.idle_s`, for this provider."""
    total_s: Seconds | None = None
    """As `timeouts.total_s`, for this provider."""


class Provider(Struct, frozen=True, forbid_unknown_fields=True):
    """An upstream API. A `name` that is a preset's (`openai`, `groq`, `ollama` …) needs nothing else."""

    name: Name
    """How models, logs and metrics call it; also the first half of `provider/model`."""
    preset: Name | None = None
    """The preset that fills in what is absent here. Absent: the preset of the same name, if there is one."""
    kind: str = ""
    """The API family: openai_chat, openai_responses, anthropic, gemini, vertex, bedrock, cohere, ollama or demo."""
    base_url: Text | None = None
    """What the vendor's own SDK takes as its base URL. Absent: the preset's."""
    api_key: ProviderKey | None = None
    """env:NAME or file:PATH; `none`: no key is sent; `caller` or absent: the caller's own key is forwarded, to callers
    who speak this provider's API. For a preset, absent means its usual variable (such as OPENAI_API_KEY) if that is set."""
    api_key_header: Name | None = None
    """The header that takes the bare key. Absent: as the API family takes it. Azure: `api-key`."""
    headers: dict[str, TextOrReference] = {}
    """Headers added to every request; a value may be env:NAME or file:PATH, and must be where it is a credential."""
    forward_headers: tuple[Name, ...] = ()
    """Further request headers of callers who speak this provider's API, and of raw calls, that go there. Absent: those
    alone that its API is known to read."""
    quirks: Quirks = Quirks()
    """Named deviations of compatible vendors."""
    timeouts: TimeoutOverrides = TimeoutOverrides()
    """Deadlines that differ from the general ones."""
    tls: Tls | None = None
    """Absent: the system's authorities, and no client certificate."""
    proxy: TextOrReference | None = None
    """URL of the HTTP proxy on the way to this provider, env:NAME or file:PATH when it holds a password; `none`: connect
    directly. Absent: HTTPS_PROXY, HTTP_PROXY and NO_PROXY of the environment."""
    max_tokens: Count | None = None
    """Sent where the API requires a limit and the caller gave none (Anthropic). Absent: the API family's default."""
    max_streams: Count | None = None
    """Calls in progress here, of one process; a further one goes to the model's next target, waits in the queue or gets
    503. Absent: only the limit for all calls."""


class ModelTarget(Struct, frozen=True, forbid_unknown_fields=True):
    """A provider and the model name that it knows."""

    provider: Name
    """A name from `providers`."""
    model: ModelName | None = None
    """Absent: the name that the caller used."""
    context_tokens: Annotated[int, Meta(ge=1, le=1_000_000_000)] | None = None
    """The context window: a request that is surely longer skips this target. Absent: not known."""
    prefill: bool = False
    """The model continues a last assistant message, so that `on_cut: continue` can work."""


class Model(Struct, frozen=True, forbid_unknown_fields=True):
    """A name that callers use, or a pattern of names."""

    name: ModelName
    """An exact name, or a glob with `*` and `?`: an exact name wins over a glob, a longer glob over a shorter one."""
    targets: Annotated[tuple[ModelTarget, ...], Meta(min_length=1)]
    """Tried in order, before the first event has gone out."""


class Timeouts(Struct, frozen=True, forbid_unknown_fields=True):
    """Every wait on a peer has a deadline."""

    connect_s: Seconds = 5.0
    """To a provider's open TCP and TLS connection."""
    headers_s: Seconds = 60.0
    """From the sent request to the response headers."""
    first_event_s: Seconds = 60.0
    """From the response headers to the first event with content; pings do not count."""
    idle_s: Seconds = 30.0
    """Between two events with content; pings do not count."""
    total_s: Seconds = 900.0
    """From the request to the end of the answer."""
    caller_stall_s: Seconds = 30.0
    """How long a caller may take nothing of what is there for it."""

    def overridden(self, overrides: TimeoutOverrides) -> "Timeouts":
        """These deadlines with what `overrides` gives."""
        given = {name: value for name, value in structs.asdict(overrides).items() if value is not None}
        return structs.replace(self, **given)


class Retry(Struct, frozen=True, forbid_unknown_fields=True):
    """Asking again, before the first event has gone out."""

    attempts: Annotated[int, Meta(ge=1, le=10)] = 2
    """Attempts for each target, the first included."""
    max_attempts: Annotated[int, Meta(ge=1, le=100)] = 10
    """Attempts of one call, at all of its targets together."""
    budget_s: Seconds = 180.0
    """No attempt begins later than this after the call did (after the cut, for one that goes on with an answer)."""
    base_s: Seconds = 0.3
    """The first pause; each further one doubles, with jitter."""
    max_s: Seconds = 5.0
    """The longest pause."""
    honour_retry_after_s: SecondsOrZero = 20.0
    """The longest `retry-after` that is waited for; a longer one moves on to the next target."""


class Breaker(Struct, frozen=True, forbid_unknown_fields=True):
    """Leaving a failing target alone for a while."""

    failures: CountOrZero = 5
    """Failures within `window_s` that open the breaker; 0 switches it off."""
    window_s: Seconds = 30.0
    """How long a failure counts."""
    open_s: Seconds = 15.0
    """How long the target is skipped before one call tries it again."""


class Coalesce(Struct, frozen=True, forbid_unknown_fields=True):
    """Joining small events into fewer writes."""

    max_delay_ms: Annotated[int, Meta(ge=0, le=1000)] = 0
    """How long an event may wait for others; 0: not at all."""
    max_bytes: Annotated[int, Meta(ge=0, le=1 << 20)] = 0
    """What is joined at most before it is written; 0: no limit but the delay."""


class Limits(Struct, frozen=True, forbid_unknown_fields=True):
    """What callers and upstreams may take."""

    max_streams: Count = 10_000
    """Calls in progress in one process; a further one waits in the queue or gets 503."""
    queue_size: CountOrZero = 0
    """Calls that may wait for a free place; 0: none waits."""
    queue_wait_s: SecondsOrZero = 5.0
    """How long a call waits in the queue."""
    store: TextOrReference | None = None
    """`none`, or a redis:// URL (env:NAME or file:PATH when it holds a password) where replicas and workers count the
    calls and tokens of each key together. While it does not answer, and with `none`, each process counts for itself."""
    max_body_bytes: Bytes = 32 * 1024 * 1024
    """The largest request body."""
    max_frame_bytes: Bytes = 16 * 1024 * 1024
    """The largest single event of an upstream."""
    max_header_bytes: Bytes = 32 * 1024
    """The largest request line, and the largest header."""
    header_timeout_s: Seconds = 10.0
    """For a caller to send its request's headers."""
    body_timeout_s: Seconds = 60.0
    """For a caller to send its request's body."""

    def store_url(self) -> str:
        """`none`, or the URL, which may hold a password."""
        return self.store.reveal() if self.store is not None else NO_STORE


class Resume(Struct, frozen=True, forbid_unknown_fields=True):
    """Keeping streams, so that a caller who lost its connection can go on."""

    store: TextOrReference | None = None
    """`none`, `memory`, or a redis:// URL (env:NAME or file:PATH when it holds a password). Absent: `none`."""
    grace_s: SecondsOrZero = 30.0
    """How long a generation goes on, and costs, after its last caller has left."""
    ttl_s: Seconds = 120.0
    """How long a finished stream can be read again."""
    max_stream_bytes: Bytes = 2 * 1024 * 1024
    """Kept of one stream."""
    max_total_bytes: Bytes = 256 * 1024 * 1024
    """Kept of all streams of one process."""

    def store_url(self) -> str:
        """`none`, `memory`, or the URL, which may hold a password."""
        return self.store.reveal() if self.store is not None else NO_STORE


class Cors(Struct, frozen=True, forbid_unknown_fields=True):
    """Browsers of other origins."""

    origins: tuple[Text, ...] = ()
    """Origins that may call (`https://app.example.com`), or `"*"`. None: browsers of other origins are refused."""


class Log(Struct, frozen=True, forbid_unknown_fields=True):
    """Log lines on standard error."""

    format: LogFormat = LogFormat.JSON
    """`json`: one object a line; `text`: for people."""
    level: LogLevel = LogLevel.INFO
    """debug, info, warning or error."""
    access: bool = True
    """One line for each call, at its end."""


class Metrics(Struct, frozen=True, forbid_unknown_fields=True):
    """What /metrics shows."""

    label_keys: bool = False
    """Count calls and tokens by the name of the caller's key as well."""
    max_label_sets: Annotated[int, Meta(ge=20, le=100_000)] = 200
    """Of one metric; a further provider, model or key is counted as `_other`. What dashboard and alerts need does not
    count: it is there from the start."""


class Traces(Struct, frozen=True, forbid_unknown_fields=True):
    """Spans of calls, sent to an OpenTelemetry collector. Needs the extra `otel`; a change needs a restart."""

    otlp_endpoint: TextOrReference | None = None
    """Base URL of the collector's OTLP/HTTP receiver, such as http://collector:4318 (env:NAME or file:PATH when it holds a
    password). Absent: no spans are made, and a caller's `traceparent` is handed on as it came."""
    sample_ratio: Annotated[float, Meta(ge=0, le=1)] = 1.0
    """Which share of the traces that begin here is kept; a caller's own decision about its trace wins."""
    content: bool = False
    """Send prompts and answers as well, up to 32 KiB each. They then leave the proxy: only where that is allowed."""


class Drain(Struct, frozen=True, forbid_unknown_fields=True):
    """Stopping without cutting streams."""

    lame_duck_s: SecondsOrZero = 5.0
    """After SIGTERM, how long new calls are still accepted while /readyz already says no."""
    deadline_s: SecondsOrZero = 60.0
    """How long running streams may go on after that; then they end with an error event."""


class Config(Struct, frozen=True, forbid_unknown_fields=True):
    """Everything that can be configured. Immutable: a reload makes a new one."""

    listen: Address = "127.0.0.1:8080"
    """HOST:PORT for callers. Anything but a loopback address needs `auth.keys`, or `auth.anonymous: true`."""
    workers: Annotated[int, Meta(ge=0, le=256)] = 1
    """Processes that share the port; 0: one for each CPU."""
    reuse_port: bool = False
    """Let another proxy listen on the same address at the same time: start the new one, then stop the old one, and
    nobody is refused. With several workers that is always so."""
    event_loop: EventLoop = EventLoop.AUTO
    """`auto`: uvloop where the extra `uvloop` is installed, else asyncio's."""
    admin: Admin | None = None
    """Absent: the admin routes are on the main port, and answer loopback callers only."""
    default_model: ModelName | None = None
    """For requests that name no model. Absent: such requests are refused."""
    auth: Auth = Auth()
    """Who may call."""
    providers: tuple[Provider, ...] = ()
    """The upstream APIs. Absent, together with `models`: the demo model, and each vendor whose key is in the environment."""
    models: tuple[Model, ...] = ()
    """The names that callers use. Absent: the usual names of each preset provider. `provider/model` always works."""
    timeouts: Timeouts = Timeouts()
    """Every wait on a peer has a deadline."""
    retry: Retry = Retry()
    """Asking again, before the first event has gone out."""
    breaker: Breaker = Breaker()
    """Leaving a failing target alone for a while."""
    on_cut: OnCut = OnCut.ERROR
    """When an upstream ends in the middle of an answer: `error`; `continue` (with a prefill, where the target can);
    `restart` (only what was not yet sent)."""
    heartbeat_s: SecondsOrZero = 15.0
    """Silence after which the caller gets a heartbeat; 0: never."""
    coalesce: Coalesce = Coalesce()
    """Joining small events into fewer writes. Not built yet: it has no effect, and is warned of."""
    limits: Limits = Limits()
    """What callers and upstreams may take."""
    resume: Resume = Resume()
    """Keeping streams, so that a caller who lost its connection can go on. Not built yet: a store has no effect, and is
    warned of."""
    usage: UsageMode = UsageMode.OBSERVE
    """`inject`: ask the provider for usage even where the caller did not. `observe`: only read what comes."""
    cors: Cors = Cors()
    """Browsers of other origins."""
    log: Log = Log()
    """Log lines on standard error."""
    metrics: Metrics = Metrics()
    """What /metrics shows."""
    traces: Traces = Traces()
    """Spans of calls, sent to an OpenTelemetry collector."""
    drain: Drain = Drain()
    """Stopping without cutting streams."""
