"""The door to HTTP, against servers that misbehave."""

import io
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import suppress

import pytest

from cdaf.errors import CdafError
from cdaf.net import http, pace, transfers
from tests import loopback, oddregistry
from tests.oddregistry import Fault, Odd

PATH = "/v2/team/orders/blobs/"


@pytest.fixture
def odd(monkeypatch: pytest.MonkeyPatch) -> Iterator[Odd]:
    monkeypatch.setattr(http, "_FIRST_WAIT", 0.001)
    with oddregistry.serving() as found:
        yield found


def blob(odd: Odd, data: bytes = b"hello") -> str:
    return f"{odd.address}{PATH}{odd.put('team/orders', data)}"


def body_of(url: str, **how: dict[str, str]) -> bytes:
    with http.get(url, **how) as response:
        assert response.status == 200
        return http.read(response)


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_a_server_out_of_order_is_asked_again(odd: Odd, status: int) -> None:
    odd.faults.append(Fault("GET", "/blobs/", times=2, status=status))
    assert body_of(blob(odd)) == b"hello"
    assert odd.count("GET", "/blobs/") == 3


def test_a_server_that_stays_out_of_order_is_a_transient_fault_with_its_words(odd: Odd) -> None:
    odd.faults.append(Fault("GET", "/blobs/", times=99, status=503, body=b"under repair"))
    with pytest.raises(CdafError, match="answered 503 5 times") as caught:
        http.get(blob(odd))
    assert caught.value.transient
    assert caught.value.output == "under repair"


def test_retry_after_is_waited_for(odd: Odd, monkeypatch: pytest.MonkeyPatch) -> None:
    waited: list[float] = []
    monkeypatch.setattr("cdaf.net.transfers.wait", waited.append)
    odd.faults.append(Fault("GET", "/blobs/", status=429, headers={"Retry-After": "7"}))
    assert body_of(blob(odd)) == b"hello"
    assert waited == [7.0]


def test_a_server_that_wants_an_hour_is_not_waited_for(odd: Odd) -> None:
    odd.faults.append(Fault("GET", "/blobs/", status=429, headers={"Retry-After": "3600"}))
    with pytest.raises(CdafError, match="answered 429") as caught:
        http.get(blob(odd))
    assert caught.value.transient


@pytest.mark.parametrize(
    ("told", "least", "most"), [("3", 3, 3), ("Wed, 21 Oct 2015 07:28:00 GMT", 0, 1), ("soon", 0, 1)]
)
def test_retry_after_is_a_number_or_a_date(told: str, least: float, most: float) -> None:
    assert least <= http.pause(1, told) <= most


def test_a_body_is_opened_afresh_for_each_attempt(odd: Odd) -> None:
    odd.faults.append(Fault("PUT", "/manifests/", times=2, status=500))
    opened: list[io.BytesIO] = []

    def body() -> io.BytesIO:
        opened.append(io.BytesIO(b"{}"))
        return opened[-1]

    headers = {"Content-Length": "2", "Content-Type": "application/json"}
    with http.send("PUT", f"{odd.address}/v2/team/orders/manifests/1", headers, body) as response:
        assert response.status == 201
    assert len(opened) == 3
    assert all(each.closed for each in opened)
    assert [each.body for each in odd.asked] == [b"{}"] * 3


def test_nobody_listening_is_transient_and_names_no_secret(odd: Odd) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(CdafError, match="connection refused") as caught:
        http.get(f"http://user:geheim@127.0.0.1:{port}/x?token=geheim")
    assert caught.value.transient
    assert "geheim" not in caught.value.message + caught.value.hint + caught.value.output


def test_a_host_that_no_name_server_knows_may_be_misspelt(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "*")
    with pytest.raises(CdafError, match="its host name is not known here") as caught:
        http.get("http://no-such-host.invalid/v2/")
    assert caught.value.transient
    assert "check the name of the host" in caught.value.hint


def test_a_connection_that_breaks_while_reading_is_transient(odd: Odd) -> None:
    odd.faults.append(Fault("GET", "/blobs/", drop_after=3))
    with pytest.raises(CdafError) as caught, http.get(blob(odd)) as response:
        http.read(response)
    assert caught.value.transient


def test_a_redirect_to_another_host_carries_no_credentials(odd: Odd) -> None:
    url = blob(odd)
    with oddregistry.serving() as elsewhere:
        elsewhere.blobs = odd.blobs
        odd.storage = elsewhere.address
        assert body_of(url, headers={"Authorization": "Basic geheim", "X-Kept": "1"}) == b"hello"
    assert odd.asked[0].headers["authorization"] == "Basic geheim"
    assert "authorization" not in elsewhere.asked[0].headers
    assert elsewhere.asked[0].headers["x-kept"] == "1"


def test_a_redirect_on_the_same_host_keeps_them(odd: Odd) -> None:
    url = blob(odd)
    odd.faults.append(Fault("GET", "/first", status=302, headers={"Location": url}))
    assert body_of(f"{odd.address}/first", headers={"Authorization": "Basic x"}) == b"hello"
    assert odd.asked[1].headers["authorization"] == "Basic x"


def test_redirects_in_a_circle_end(odd: Odd) -> None:
    odd.faults.append(Fault("GET", "/first", times=99, status=302, headers={"Location": "/first"}))
    with pytest.raises(CdafError, match="more than 10 redirects"):
        http.get(f"{odd.address}/first")


def test_a_redirect_to_something_else_than_http_is_refused(odd: Odd) -> None:
    odd.faults.append(Fault("GET", "/first", status=302, headers={"Location": "file:///etc/passwd"}))
    with pytest.raises(CdafError, match="not HTTP"):
        http.get(f"{odd.address}/first")


def test_an_answer_longer_than_it_may_be_is_refused(odd: Odd) -> None:
    with pytest.raises(CdafError, match="more than 10 bytes"), http.get(blob(odd, b"x" * 1000)) as response:
        http.read(response, 10)


def test_connections_are_used_again(odd: Odd) -> None:
    url = blob(odd)
    ports = set()
    for _ in range(3):
        with http.get(url) as response:
            ports.add(response.raw.connection.sock.getsockname()[1])
            http.read(response)
    assert len(ports) == 1


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://user:geheim@host:1/p?token=geheim#geheim", "https://host:1/p"),
        ("https://a@b@host/p", "https://host/p"),
        ("http://[::1]:5/p", "http://[::1]:5/p"),
    ],
)
def test_urls_in_messages_hold_no_secret(url: str, shown: str) -> None:
    assert http.clean(url) == shown


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.1.2.3", "::1", "a.localhost"])
def test_loopback_is_told_by_its_form(host: str) -> None:
    assert http.is_loopback(host)
    assert not http.is_loopback("registry.example")


def test_a_proxy_is_used_but_not_for_loopback(odd: Odd, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", odd.address.replace("://", "://name:geheim@"))
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    with http.get("http://registry.example/v2/team/orders/manifests/1") as response:
        assert response.status == 404
    assert odd.asked[0].headers["proxy-authorization"].startswith("Basic ")
    assert body_of(blob(odd)) == b"hello"
    assert "proxy-authorization" not in odd.asked[1].headers


def test_a_certificate_that_nobody_vouches_for_is_not_transient(monkeypatch: pytest.MonkeyPatch) -> None:
    with oddregistry.serving() as plain, pytest.raises(CdafError) as caught:
        http.get(plain.address.replace("http:", "https:"))
    assert not caught.value.transient
    assert "no trusted connection" in caught.value.message


def test_ctrl_c_wakes_who_waits_for_an_answer() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/"
        asked: list[Future[object]] = []

        def interrupted() -> None:
            with transfers.workers(1) as pool:
                asked.append(pool.submit(http.get, url))
                connection = silent.accept()[0]
                connection.recv(1)
                with connection:
                    raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            interrupted()
        assert isinstance(asked[0].exception(), CdafError)


def test_who_connects_while_ctrl_c_ends_the_others_asks_nothing_more() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        transfers._stopping.set()
        try:
            with pytest.raises(CdafError, match="interrupted"):
                http.get(f"http://127.0.0.1:{silent.getsockname()[1]}/")
        finally:
            transfers._stopping.clear()
        with silent.accept()[0] as connection:
            assert connection.recv(1) == b""


class Dripping:
    """A server that answers a byte at a time, for ever: its headers, or its body."""

    def __init__(self, first: bytes) -> None:
        self._first = first
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}/"
        self._over = threading.Event()
        self._accepting = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self) -> "Dripping":
        self._accepting.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        loopback.end(self._listener, self._accepting)

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._drip, args=(client,), daemon=True).start()

    def _drip(self, client: socket.socket) -> None:
        with suppress(OSError), client:
            client.recv(1 << 16)
            client.sendall(self._first)
            while not self._over.wait(0.01):
                client.sendall(b"x")


@pytest.mark.parametrize(
    "first",
    [
        b"HTTP/1.1 200 OK\r\nX-Endless: ",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n100000\r\n",
        b"HTTP/1.1 200 OK\r\n\r\n",
    ],
    ids=["headers", "body", "chunk", "without end"],
)
def test_a_server_that_drips_is_too_slow(monkeypatch: pytest.MonkeyPatch, first: bytes) -> None:
    monkeypatch.setattr(http, "_FIRST_WAIT", 0.001)
    monkeypatch.setattr(pace, "WINDOW", 0.2)
    with Dripping(first) as server, pytest.raises(CdafError, match="sends less than 1000 bytes a second") as caught:
        http.read(http.get(server.url))
    assert caught.value.transient


def test_a_server_that_thinks_before_it_answers_is_not(odd: Odd, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pace, "WINDOW", 0.05)
    url = blob(odd, b"hello" * 100_000)
    monkeypatch.setattr(odd, "delay", 0.2)
    assert body_of(url) == b"hello" * 100_000
