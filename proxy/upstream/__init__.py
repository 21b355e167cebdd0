"""The upstream side of the proxy: an HTTP/1.1 client that pushes what it reads.

    pool.send -> connect (resolve, connect_first, open_tunnel, tls) -> connection -> answer -> exchange -> BodyReceiver

`endpoint`, `request`, `answer`, `inflate` and `tls.TlsFilter` are pure; `connection` is driven by asyncio's transports;
`resolve`, `connect` and `pool` wait. HTTP proxies, TLS and every limit are described where they are done.
"""

from proxy.upstream.endpoint import Endpoint, ProxyServer, TlsSettings, parse_endpoint
from proxy.upstream.exchange import BodyReceiver, ConnectTimings, Exchange
from proxy.upstream.faults import FaultCode
from proxy.upstream.pool import UpstreamPool

__all__ = [
    "BodyReceiver",
    "ConnectTimings",
    "Endpoint",
    "Exchange",
    "FaultCode",
    "ProxyServer",
    "TlsSettings",
    "UpstreamPool",
    "parse_endpoint",
]
