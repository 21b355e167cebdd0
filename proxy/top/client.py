"""The proxy's end of `top`: one thread that asks, and carries out orders in between, so that the screen never waits."""

import http.client
import queue
import ssl
import threading
import time
from collections.abc import Callable
from urllib.parse import quote, urlsplit

import msgspec

from proxy.live import LiveSnapshot
from proxy.top.table import Snapshot

TIMEOUT_S = 5.0
MAX_BODY_BYTES = 64 * 1024 * 1024


class BadUrl(ValueError):
    """Not an address of a proxy. The text says what was expected."""


class ProxyFault(Exception):
    """The proxy did not answer, or not what was asked. The text is for people."""


class _Detail(msgspec.Struct):
    message: str = ""


class _ErrorBody(msgspec.Struct):
    error: _Detail


class _Ended(msgspec.Struct):
    outcome: str


class Client:
    """A proxy's admin routes."""

    def __init__(self, url: str) -> None:
        """Raises BadUrl."""
        parts = urlsplit(url if "://" in url else f"http://{url}")
        try:
            host, port = parts.hostname, parts.port
        except ValueError as fault:
            raise BadUrl(f"expected http://HOST:PORT, got {url!r}") from fault
        if parts.scheme not in ("http", "https") or not host or parts.query or parts.fragment or parts.username:
            raise BadUrl(f"expected http://HOST:PORT, got {url!r}")
        self.url = f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/')}"
        self._base_path = parts.path.rstrip("/")
        self._make: Callable[[], http.client.HTTPConnection]
        if parts.scheme == "https":
            context = ssl.create_default_context()
            self._make = lambda: http.client.HTTPSConnection(host, port, timeout=TIMEOUT_S, context=context)
        else:
            self._make = lambda: http.client.HTTPConnection(host, port, timeout=TIMEOUT_S)

    def raw(self) -> bytes:
        """The JSON of `GET /streams`, on one line. Raises ProxyFault."""
        return self._ask("GET", "/streams")

    def snapshot(self) -> LiveSnapshot:
        """What the proxy does now. Raises ProxyFault."""
        try:
            return msgspec.json.decode(self.raw(), type=LiveSnapshot)
        except msgspec.DecodeError as fault:
            raise ProxyFault(f"{self.url} answered something else than calls") from fault

    def kill(self, stream_id: str) -> str:
        """End a call; its outcome. Raises ProxyFault."""
        try:
            body = self._ask("DELETE", f"/streams/{quote(stream_id, safe='')}")
            return msgspec.json.decode(body, type=_Ended).outcome
        except msgspec.DecodeError as fault:
            raise ProxyFault(f"{self.url} answered something else than an outcome") from fault

    def _ask(self, method: str, path: str) -> bytes:
        connection = self._make()
        try:
            connection.request(method, self._base_path + path)
            answer = connection.getresponse()
            body = answer.read(MAX_BODY_BYTES)
        except (OSError, http.client.HTTPException) as fault:
            raise ProxyFault(f"{self.url} does not answer: {_reason(fault)}") from fault
        finally:
            connection.close()
        if answer.status != 200:
            raise ProxyFault(_refusal(answer.status, body))
        return body


def _reason(fault: Exception) -> str:
    if isinstance(fault, TimeoutError):
        return f"nothing came for {TIMEOUT_S:g} s"
    return (fault.strerror if isinstance(fault, OSError) else None) or type(fault).__name__


def _refusal(status: int, body: bytes) -> str:
    try:
        said = msgspec.json.decode(body, type=_ErrorBody).error.message
    except msgspec.DecodeError:
        said = http.client.responses.get(status, "")
    return f"{status}: {said}"


class Told(msgspec.Struct, frozen=True):
    """News for the screen: a snapshot, a fault of the asking, or what became of an order."""

    snapshot: Snapshot | None = None
    trouble: str = ""
    message: str = ""


class Poller:
    """Asks every `interval_s`, in a thread. `news` is safe to take from another one."""

    def __init__(self, client: Client, interval_s: float) -> None:
        self.news: queue.SimpleQueue[Told] = queue.SimpleQueue()
        self._client = client
        self._interval_s = interval_s
        self._orders: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="top", daemon=True)

    def start(self) -> None:
        """Begin to ask."""
        self._thread.start()

    def kill(self, stream_id: str) -> None:
        """Order the end of a call."""
        self._orders.put(stream_id)

    def stop(self) -> None:
        """Ask no more. Returns at once: an answer that is awaited is not waited for."""
        self._orders.put(None)

    def join(self) -> None:
        """Wait for the thread, after `stop`."""
        self._thread.join()

    def _run(self) -> None:
        while True:
            self.news.put(self._look())
            try:
                order = self._orders.get(timeout=self._interval_s)
            except queue.Empty:
                continue
            if order is None:
                return
            self.news.put(self._carry_out(order))

    def _look(self) -> Told:
        try:
            return Told(Snapshot(self._client.snapshot(), time.monotonic()))
        except ProxyFault as fault:
            return Told(trouble=str(fault))

    def _carry_out(self, stream_id: str) -> Told:
        try:
            return Told(message=f"{stream_id}: outcome {self._client.kill(stream_id)}")
        except ProxyFault as fault:
            return Told(message=f"{stream_id}: {fault}")
