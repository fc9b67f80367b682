"""Addresses of MLflow stores and of other servers: which ones a study may name, and how they are shown.

An address is printed, uploaded with the report and kept in Snakemake's metadata. So it holds no password: the
libraries take credentials from the environment. This module imports the standard library alone.
"""

import re
import shlex
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import unquote

SQLITE = "sqlite:///"
WEB = {"http", "https", "databricks"}
SERVERS = WEB | {"postgresql", "mysql", "mssql"}
EXPECTED = "expected sqlite:///FILE or a server's URL"

# In a sentence an address ends at a blank; alone it may hold one.
_USER = re.compile(r"://(?:[^/?#\s]*@|[^/\s]*:\S*@)|^\s*[A-Za-z][\w+.-]*://[^/\s]*:.*@", re.DOTALL)
# User information behind too few or too many slashes, which libraries differ about.
_SLOPPY = re.compile(r"^\s*(?:https?|databricks|postgres\w*|mysql|mssql)(?:\+\w*)?:[/\\\s]*[^/?#\\]*@", re.IGNORECASE)
_TOKEN = re.compile(
    r"(?:\b(?:pw|key|jwt|bearer)|pass(?:word|wd|phrase)?|pwd|secret|token|credentials?|(?:api|access|private|account)[_-]?key|auth|signature|sig)"
    r"\s*[=:]",
    re.IGNORECASE,
)
# A connection string of libpq or ODBC is no address.
_SETTING = re.compile(r"(?:^|[\s;])(?:password|passwd|pwd|secret|token)\s*=\s*\S", re.IGNORECASE)
_KEY = re.compile(r"\b(?:hf_[A-Za-z0-9]{30,}|gh[pousr]_[A-Za-z0-9]{30,}|glpat-[\w-]{16,}|dapi[0-9a-f]{32})")
REMEDIES = {
    "http": "set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN, in the environment",
    "postgresql": "set PGUSER, and PGPASSFILE or ~/.pgpass, instead, or give the address of an MLflow server",
    "mysql": "put them into an option file (?read_default_file=FILE), or give the address of an MLflow server",
    "mssql": "give the address of an MLflow server in front of the database",
}


def holds_credentials(text: str) -> bool:
    """Whether a text is an address with a user's name, a password or a token, or a token itself."""
    # Encoded, a slash of a password does not end the authority; decoded, an encoded @ does.
    plain = unquote(unquote(text))
    if _KEY.search(plain) or _SETTING.search(plain) or any(_SLOPPY.search(form) for form in (text, plain)):
        return True
    if "://" not in plain:
        return False
    authority, _, rest = plain.partition("://")[2].partition("/")
    file = plain.startswith(SQLITE) and not authority
    server = re.sub(r":\d*$", "", authority)  # the server `auth:5000` holds no password
    return bool(_TOKEN.search(f"{server}/{rest}")) or (not file and any(map(_USER.search, (text, plain))))


def credentials_in(config: Any, place: str = "") -> Iterator[tuple[str, str]]:
    """Yield the dotted keys of a configuration whose values hold credentials, with what to do instead.

    Args:
        config: Parsed YAML.
        place: Key of this part.
    """
    if isinstance(config, str):
        if holds_credentials(config):
            yield place, remedy(config, place)
        return
    if isinstance(config, Mapping):
        for key, value in config.items():
            if holds_credentials(str(key)):
                yield f"a key of {place or 'the study'}", remedy(str(key), place)
                continue
            yield from credentials_in(value, f"{place}.{key}".lstrip("."))
    elif isinstance(config, list | tuple):
        for number, value in enumerate(config):
            yield from credentials_in(value, f"{place}[{number}]")


def is_printable(text: str) -> bool:
    """Whether a wrong value of a configuration may be quoted: no address, and nothing like one."""
    return not ("@" in text or "://" in text or holds_credentials(text))


def remedy(uri: str, place: str) -> str:
    """Where credentials go that stand in an address."""
    if not place.startswith("tracking"):
        return "set HF_TOKEN in the environment for the Hugging Face Hub"
    return REMEDIES.get(scheme_of(uri), REMEDIES["http"])


def scheme_of(uri: str) -> str:
    """Kind of a store, in lower case, without its driver."""
    return uri.partition(":")[0].split("+")[0].lower()


def is_store(uri: str) -> bool:
    """Whether an address is one of a store that MLflow can write to."""
    if uri.startswith(SQLITE):
        return len(uri) > len(SQLITE)
    return scheme_of(uri) in SERVERS and "://" in uri


def is_server(uri: str) -> bool:
    """Whether a store is a server, which may be down, and not a file of this machine."""
    return scheme_of(uri) in SERVERS


def shown(uri: str) -> str:
    """An address as it may be printed: that of its server or file alone where it could hold credentials."""
    if not holds_credentials(uri):
        return uri
    address = unquote(unquote(uri)).partition("://")[2].rpartition("@")[2]
    return f"{scheme_of(uri)}://{re.split('[/?#]', address)[0] or '...'}" if address else "..."


def how_to_look(uri: str) -> str:
    """What shows the runs of a store: a server's address, or the command that serves a file or a database."""
    if scheme_of(uri) in WEB:
        return shown(uri)
    return f"mlflow ui --backend-store-uri {shlex.quote(shown(uri))}"
