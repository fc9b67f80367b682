"""An HTTP server on the loopback interface that passes requests on and counts them, or misbehaves as a test asks."""

import http.client
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

HOP = {"connection", "transfer-encoding", "content-length", "keep-alive", "server", "date"}


class Proxy:
    """What a running proxy has seen, and how it answers.

    Attributes:
        uri: Its address.
        requests: Method and path without a query of every request so far, in order.
        behaviour: Given a request, an answer of status and body, or None to pass it on. It may wait.
    """

    def __init__(self, uri: str, behaviour: Callable[[str, str], tuple[int, str] | None]) -> None:
        self.uri = uri
        self.requests: list[str] = []
        self.behaviour = behaviour
        self.ended = threading.Event()

    def hang(self, method: str, path: str) -> tuple[int, str]:
        """Accept a request and do not answer, as long as the proxy runs."""
        self.ended.wait()
        return 503, ""


def answer(status: int, body: str = "") -> Callable[[str, str], tuple[int, str]]:
    """The behaviour of a server that gives every request one answer."""
    return lambda method, path: (status, body)


@contextmanager
def proxy(behind: str = "", behaviour: Callable[[str, str], Any] = lambda method, path: None) -> Iterator[Proxy]:
    """Start a proxy and stop it when the block ends.

    Args:
        behind: Address of the server that requests are passed on to.
        behaviour: See `Proxy`.
    """

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def handle_one_request(self) -> None:
            try:
                super().handle_one_request()
            except ConnectionError:  # the client gave up
                self.close_connection = True

        def _respond(self) -> None:
            length = int(self.headers.get("Content-Length", 0))
            content = self.rfile.read(length)
            path = urlsplit(self.path).path
            running.requests.append(f"{self.command} {path}")
            told = running.behaviour(self.command, path)
            status, headers, body = (told[0], {}, told[1].encode()) if told else self._passed_on(content)
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _respond

        def _passed_on(self, content: bytes) -> tuple[int, dict[str, str], bytes]:
            connection = http.client.HTTPConnection(urlsplit(behind).netloc, timeout=120)
            kept = {name: value for name, value in self.headers.items() if name.lower() not in HOP}
            connection.request(self.command, self.path, content, kept)
            response = connection.getresponse()
            body = response.read()
            connection.close()
            return response.status, {k: v for k, v in response.getheaders() if k.lower() not in HOP}, body

        def log_message(self, format: str, *args: Any) -> None:
            """Print nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    running = Proxy(f"http://127.0.0.1:{server.server_address[1]}", behaviour)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield running
    finally:
        running.ended.set()
        server.shutdown()
        thread.join()
        server.server_close()
