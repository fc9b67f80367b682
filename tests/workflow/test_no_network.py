"""The watch on the network catches what it should, so that an empty record means something."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

WATCH = Path(__file__).parent / "no_network"
ELSEWHERE = {
    "lookup": "import socket; socket.getaddrinfo('example.org', 443)",
    "connection": "import socket; socket.create_connection(('192.0.2.1', 443), timeout=1)",
    "datagram": "import socket; socket.socket(type=socket.SOCK_DGRAM).sendto(b'x', ('192.0.2.1', 53))",
    "ipv6": "import socket; socket.socket(socket.AF_INET6).connect(('2001:db8::1', 443))",
    "urllib": "import urllib.request; urllib.request.urlopen('http://192.0.2.1/')",
    "child": "import subprocess, sys; sys.exit(subprocess.call([sys.executable, '-c', "
    "'import socket; socket.gethostbyname(\"example.org\")']))",
}
HERE = """
import http.server, socket, threading, urllib.request
server = http.server.HTTPServer(("127.0.0.1", 0), http.server.SimpleHTTPRequestHandler)
threading.Thread(target=server.serve_forever, daemon=True).start()
urllib.request.urlopen(f"http://localhost:{server.server_port}/")
left, right = socket.socketpair()
left.sendmsg([b"x"])
server.shutdown()
"""


def run(code: str, tmp_path: Path) -> tuple[subprocess.CompletedProcess[str], str]:
    record = tmp_path / "network.txt"
    environment = {**os.environ, "PYTHONPATH": str(WATCH), "CLINICAL_PEFT_NETWORK_LOG": str(record)}
    result = subprocess.run(
        [sys.executable, "-c", code], env=environment, cwd=tmp_path, text=True, capture_output=True, timeout=60
    )
    return result, record.read_text() if record.exists() else ""


@pytest.mark.parametrize("attempt", ELSEWHERE)
def test_reaching_another_machine_is_refused_and_recorded(attempt: str, tmp_path: Path):
    result, record = run(ELSEWHERE[attempt], tmp_path)
    assert result.returncode != 0
    assert "this test allows no network" in result.stderr
    assert any(host in record for host in ("192.0.2.1", "2001:db8::1", "example.org"))


def test_an_attempt_that_a_library_hides_is_recorded(tmp_path: Path):
    result, record = run("import socket\ntry: socket.gethostbyname('example.org')\nexcept OSError: pass", tmp_path)
    assert result.returncode == 0
    assert "example.org" in record


def test_this_machine_can_be_reached(tmp_path: Path):
    result, record = run(HERE, tmp_path)
    assert result.returncode == 0, result.stderr
    assert record == ""
