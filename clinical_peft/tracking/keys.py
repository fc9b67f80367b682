"""Keys as MLflow takes them: letters, digits and a few marks, in the form of a path, different where they differ."""

import hashlib
import re
from collections.abc import Collection

LONGEST_KEY = 250
DIGEST = 8  # characters that tell keys apart whose names are equal
_OTHER = re.compile(r"[^\w\-. /]", flags=re.ASCII)


def key_name(key: str) -> str:
    """A key in characters that MLflow takes; others become an underscore, and a longer key ends in its checksum."""
    # Refused because they could name another folder: empty parts, one dot, and two dots at the start.
    parts = ["_" if part in ("", ".") else re.sub(r"^\.\.", "__", part) for part in _OTHER.sub("_", key).split("/")]
    name = "/".join(parts)
    return name if len(name) <= LONGEST_KEY else _with_digest(name, key)


def unique_names(keys: Collection[str]) -> dict[str, str]:
    """Names of some keys, by key: those that would be equal end in the checksum of their keys.

    A key that is a name as it is keeps it.

    Args:
        keys: All keys that stand beside each other.
    """
    names = {key: key_name(key) for key in keys}
    counts: dict[str, int] = {}
    for name in names.values():
        counts[name] = counts.get(name, 0) + 1
    return {key: name if counts[name] == 1 or key == name else _with_digest(name, key) for key, name in names.items()}


def _with_digest(name: str, key: str) -> str:
    digest = hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()[:DIGEST]
    return f"{name[: LONGEST_KEY - DIGEST - 1]}_{digest}"
