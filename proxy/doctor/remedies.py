"""What to change in front of the proxy, for each ailment and each front."""

from enum import StrEnum


class Ailment(StrEnum):
    """What can be wrong between a caller and the proxy."""

    BUFFERED = "buffered"
    """Events are held back and come in lumps."""
    COMPRESSED = "compressed"
    IDLE_CUT = "idle_cut"
    """The connection is cut when nothing comes for a while."""
    TIME_CUT = "time_cut"
    """An answer is cut after some time although events come."""
    LEAVING_HIDDEN = "leaving_hidden"
    """The proxy does not hear that the caller has left: the provider goes on, and is paid."""
    SWALLOWED = "swallowed"
    """An answer is taken at full speed although the caller does not read."""
    HEADERS_CHANGED = "headers_changed"
    ERRORS_REWRITTEN = "errors_rewritten"
    """Errors do not reach the caller in its dialect: SDKs cannot decide about a retry."""
    BODY_REFUSED = "body_refused"
    HEAD_REFUSED = "head_refused"
    CONTINUE_REFUSED = "continue_refused"


class Front(StrEnum):
    """What may stand in front."""

    NGINX = "nginx"
    HAPROXY = "HAProxy"
    ENVOY = "Envoy"
    CADDY = "Caddy"


REMEDIES: dict[Ailment, dict[Front, str]] = {
    Ailment.BUFFERED: {
        Front.NGINX: "proxy_buffering off;  and no X-Accel-Buffering in proxy_ignore_headers",
        Front.HAPROXY: "option http-no-delay;  no filter that collects responses",
        Front.ENVOY: "no buffer filter (envoy.filters.http.buffer) and no ext_proc with BUFFERED bodies on the route",
        Front.CADDY: "no response_buffers in reverse_proxy, no encode for text/event-stream",
    },
    Ailment.COMPRESSED: {
        Front.NGINX: "gzip off;  or no text/event-stream in gzip_types",
        Front.HAPROXY: "no text/event-stream in `compression type`",
        Front.ENVOY: "no text/event-stream in the compressor's content_type, or CompressorPerRoute {disabled: true}",
        Front.CADDY: "no encode for these paths, or a match block in it without text/event-stream",
    },
    Ailment.IDLE_CUT: {
        Front.NGINX: "proxy_read_timeout 24h;  (heartbeat_s below it helps as well, but only after the first event)",
        Front.HAPROXY: "timeout server 24h  and  timeout client 24h  (heartbeat_s below: only after the first event)",
        Front.ENVOY: "idle_timeout: 300s on the route, stream_idle_timeout: 300s on the connection manager",
        Front.CADDY: "no read_timeout in the transport of reverse_proxy",
    },
    Ailment.TIME_CUT: {
        Front.NGINX: "nginx limits no whole answer: look at what stands before it, and at limits of the cloud",
        Front.HAPROXY: "HAProxy limits no whole answer: look at what stands before it, and at limits of the cloud",
        Front.ENVOY: "timeout: 0s on the route (15 s by default), max_stream_duration unset",
        Front.CADDY: "timeouts { write 0 } of the server, no stream_timeout in reverse_proxy",
    },
    Ailment.LEAVING_HIDDEN: {
        Front.NGINX: "proxy_ignore_client_abort off;",
        Front.HAPROXY: "option abortonclose  in `defaults`, that is for the frontend too",
        Front.ENVOY: "Envoy resets the upstream by itself: look at what stands before it",
        Front.CADDY: "no flush_interval -1 in reverse_proxy",
    },
    Ailment.SWALLOWED: {
        Front.NGINX: "proxy_buffering off;  (with it on: proxy_max_temp_file_size 0;)",
        Front.HAPROXY: "HAProxy holds one buffer a stream: look at what stands before it",
        Front.ENVOY: "per_connection_buffer_limit_bytes as it is by default (1 MiB), on listener and cluster",
        Front.CADDY: "no response_buffers in reverse_proxy",
    },
    Ailment.HEADERS_CHANGED: {
        Front.NGINX: "no proxy_hide_header, expires or add_header for Cache-Control and X-Proxy-*",
        Front.HAPROXY: "no http-response del-header or set-header for Cache-Control and X-Proxy-*",
        Front.ENVOY: "no response_headers_to_remove for Cache-Control and x-proxy-*",
        Front.CADDY: "no header_down for Cache-Control and X-Proxy-*",
    },
    Ailment.ERRORS_REWRITTEN: {
        Front.NGINX: "proxy_intercept_errors off;",
        Front.HAPROXY: "no http-response return and no errorfile for these statuses",
        Front.ENVOY: "no local_reply_config and no custom_response filter for these statuses",
        Front.CADDY: "no handle_response in reverse_proxy",
    },
    Ailment.BODY_REFUSED: {
        Front.NGINX: "client_max_body_size 32m;  (1 MB by default)",
        Front.HAPROXY: "no http-request deny by req.body_size below 32 MB",
        Front.ENVOY: "no buffer filter with max_request_bytes below 32 MiB",
        Front.CADDY: "request_body { max_size 32MB }",
    },
    Ailment.HEAD_REFUSED: {
        Front.NGINX: "large_client_header_buffers 4 32k;",
        Front.HAPROXY: "tune.bufsize 32768",
        Front.ENVOY: "max_request_headers_kb: 60 (its default)",
        Front.CADDY: "servers { max_header_size 1MB } (its default)",
    },
    Ailment.CONTINUE_REFUSED: {
        Front.NGINX: "nginx answers 100 by itself: look at what stands before it",
        Front.HAPROXY: "HAProxy passes 100 on: look at what stands before it",
        Front.ENVOY: "proxy_100_continue as it is by default",
        Front.CADDY: "Caddy passes 100 on: look at what stands before it",
    },
}
"""Total over ailments and fronts."""

_MARKS = {"nginx": Front.NGINX, "openresty": Front.NGINX, "envoy": Front.ENVOY, "caddy": Front.CADDY}


def front_of(server: str, via: str) -> Front | None:
    """The front that a `Server` or `Via` header speaks of; HAProxy says nothing of itself."""
    said = f"{server} {via}".lower()
    return next((front for mark, front in _MARKS.items() if mark in said), None)
