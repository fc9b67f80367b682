"""The name by which a note's features are found, from which the note cannot be read."""

import hashlib

DIGEST_BYTES = 16


def note_digest(text: str) -> bytes:
    """Return the 16 bytes by which a note's features are found."""
    return hashlib.blake2b(text.encode(), digest_size=DIGEST_BYTES).digest()
