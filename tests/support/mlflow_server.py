"""A real MLflow server with accounts, on a real PostgreSQL, for tests: on the loopback interface, in temporary folders.

Debian has PostgreSQL in the package `postgresql`; `psycopg2` and `flask_wtf` are development dependencies.
"""

import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

PROGRAMS = ("initdb", "postgres")
PACKAGES = ("psycopg2", "flask_wtf")
START_SECONDS = 120.0
ADMIN = "admin"

AUTH_INI = """\
[mlflow]
default_permission = NO_PERMISSIONS
database_uri = sqlite:///{folder}/accounts.db
admin_username = {admin}
authorization_function = mlflow.server.auth:authenticate_request_basic_auth
auth_cache_ttl_seconds = 60
"""


@dataclass(frozen=True)
class MlflowServer:
    """A running server.

    Attributes:
        uri: Its address, without credentials.
        password: The administrator's password.
        artifacts: Folder of its artifacts.
        database: Address of its database, without a password.
        database_password: The database's password.
    """

    uri: str
    password: str
    artifacts: Path
    database: str
    database_password: str

    def add_user(self, name: str, password: str) -> None:
        """Create an account, which may read and write what it has made."""
        self.ask("users/create", {"username": name, "password": password})

    def show(self, name: str, experiment: str) -> None:
        """Let a user read an experiment of another."""
        whose = {"username": name, "resource_type": "experiment", "resource_id": experiment}
        self.ask("users/permissions/grant", {**whose, "permission": "READ"}, version="3.0")

    def ask(self, path: str, content: dict[str, Any], *, version: str = "2.0") -> dict[str, Any]:
        """Send a request to MLflow's REST interface as its administrator."""
        credentials = b64encode(f"{ADMIN}:{self.password}".encode()).decode()
        headers = {"Authorization": f"Basic {credentials}", "Content-Type": "application/json"}
        request = urllib.request.Request(
            f"{self.uri}/api/{version}/mlflow/{path}", data=json.dumps(content).encode(), headers=headers
        )
        with urllib.request.urlopen(request, timeout=60) as response:
            answer: dict[str, Any] = json.loads(response.read() or b"{}")
        return answer


def missing_parts() -> list[str]:
    """Return the programs and packages that a server needs and that are not installed."""
    programs = [name for name in PROGRAMS if _program(name) is None]
    return [*programs, *(name for name in PACKAGES if find_spec(name) is None)]


@contextmanager
def mlflow_server(folder: Path) -> Iterator[MlflowServer]:
    """Start a database and a server, and stop both when the block ends.

    Args:
        folder: Folder of accounts, artifacts and the server's log.
    """
    password, port = secrets.token_hex(16), free_port()
    (folder / "auth.ini").write_text(AUTH_INI.format(folder=folder, admin=ADMIN))
    with postgres() as (database, database_password):
        command = [sys.executable, "-m", "mlflow", "server", "--app-name", "basic-auth", "--workers", "1"]
        command += ["--host", "127.0.0.1", "--port", str(port), "--backend-store-uri", database]
        command += ["--artifacts-destination", str(folder / "artifacts")]
        environment = {
            **os.environ,
            "MLFLOW_AUTH_CONFIG_PATH": str(folder / "auth.ini"),
            "MLFLOW_AUTH_ADMIN_PASSWORD": password,
            "MLFLOW_DISABLE_TELEMETRY": "true",
            "MLFLOW_FLASK_SERVER_SECRET_KEY": secrets.token_hex(16),
            "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
            "PGPASSWORD": database_password,
        }
        with (folder / "server.log").open("wb") as log:
            process = subprocess.Popen(command, env=environment, stdout=log, stderr=log, start_new_session=True)
        uri = f"http://127.0.0.1:{port}"
        try:
            wait_for(f"{uri}/health", process)
            yield MlflowServer(uri, password, folder / "artifacts", database, database_password)
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)  # nothing of it is kept
            process.wait(timeout=60)


@contextmanager
def postgres() -> Iterator[tuple[str, str]]:
    """Start a database of its own; give its address without a password, and the password.

    PostgreSQL refuses to run as root, who starts it as the user `postgres` of Debian's package.
    """
    account = "postgres" if os.getuid() == 0 else None
    home, port, password = Path(tempfile.mkdtemp(prefix="postgres-")), free_port(), secrets.token_hex(16)
    (home / "password").write_text(password)
    if account:
        for path in (home, home / "password"):
            shutil.chown(path, account)
    create = [_required("initdb"), "-D", str(home / "data"), "-U", "mlflow", "-A", "scram-sha-256", "-N"]
    serve = [_required("postgres"), "-D", str(home / "data"), "-p", str(port), "-h", "127.0.0.1", "-k", str(home)]
    try:
        subprocess.run(
            [*create, f"--pwfile={home}/password"], user=account, cwd=home, check=True, capture_output=True, timeout=120
        )
        process = subprocess.Popen(
            [*serve, "-c", "fsync=off"], user=account, cwd=home, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        try:
            _wait_for_port(port, process)
            yield f"postgresql://mlflow@127.0.0.1:{port}/postgres", password
        finally:
            process.send_signal(signal.SIGQUIT)  # at once, without a checkpoint
            process.wait(timeout=60)
    finally:
        shutil.rmtree(home)


def wait_for(url: str, process: subprocess.Popen[bytes]) -> None:
    """Wait until a server answers."""
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        with suppress(urllib.error.URLError, ConnectionError), urllib.request.urlopen(url, timeout=60):
            return
        time.sleep(0.2)
    raise TimeoutError(f"{url}: no answer; exit code {process.poll()}")


def _wait_for_port(port: int, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=60):
            return
        time.sleep(0.05)
    raise TimeoutError(f"port {port}: no answer; exit code {process.poll()}")


def free_port() -> int:
    """Return a port that nothing uses, below those that the system gives to clients."""
    for port in secrets.SystemRandom().sample(range(20_000, 32_000), 50):
        with suppress(OSError), socket.socket() as probe:
            probe.bind(("127.0.0.1", port))
            return port
    raise OSError("no free port from 20000 to 31999")


def _program(name: str) -> str | None:
    folders = [*Path("/usr/lib/postgresql").glob("*/bin")]
    return shutil.which(name) or next((str(folder / name) for folder in folders if (folder / name).exists()), None)


def _required(name: str) -> str:
    found = _program(name)
    assert found is not None
    return found
