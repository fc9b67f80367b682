"""Refuses and records every attempt of a Python process to reach another machine.

Python imports this file at start when its folder is on PYTHONPATH. Attempts are appended to the file that
CLINICAL_PEFT_NETWORK_LOG names, one line each; without that variable nothing is watched. Loopback and Unix sockets
are free. Programs that are not Python are not seen: a network namespace stops those.
"""

import ipaddress
import os
import sys
from typing import Any

LOG = os.environ.get("CLINICAL_PEFT_NETWORK_LOG")
LOOKUPS = {"socket.getaddrinfo", "socket.gethostbyname", "socket.gethostbyaddr"}
CONNECTIONS = {"socket.connect", "socket.sendto", "socket.sendmsg"}
# Where asking for a name's address stays on this machine, by definition.
LOCAL_NAMES = {"", "localhost", "localhost.localdomain", "ip6-localhost", os.uname().nodename}


def _is_local(host: object) -> bool:
    if host is None:
        return True
    name = host.decode() if isinstance(host, bytes) else str(host)
    if name in LOCAL_NAMES:
        return True
    try:
        address = ipaddress.ip_address(name.split("%")[0])
    except ValueError:
        return False
    return address.is_loopback or address.is_unspecified


def _target(event: str, arguments: tuple[Any, ...]) -> object:
    """Return the host that an audited call would reach; None for one on this machine."""
    if event in LOOKUPS:
        return arguments[0]
    address = arguments[1]
    # Unix sockets have a path, netlink sockets two integers.
    internet = isinstance(address, tuple) and isinstance(address[0], str | bytes)
    return address[0] if internet else None


def _watch(event: str, arguments: tuple[Any, ...]) -> None:
    if event not in LOOKUPS and event not in CONNECTIONS:
        return
    host = _target(event, arguments)
    if _is_local(host):
        return
    line = f"{event} {host!r} from {' '.join(sys.argv[:3])}\n"
    descriptor = os.open(str(LOG), os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.write(descriptor, line.encode())
    os.close(descriptor)
    raise OSError(f"{event} to {host!r} refused: this test allows no network")


if LOG:
    sys.addaudithook(_watch)
