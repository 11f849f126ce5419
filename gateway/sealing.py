"""What the store gets of a call with an Idempotency-Key: two keyed hashes and an encrypted answer.

All of it comes from the operator's pepper, and the answer's cipher key from the caller's key as well, which is not
stored: whoever has a copy of the database and the pepper still needs the caller's key to read an answer.
"""

from __future__ import annotations

import hmac
import re
import secrets
import zlib
from typing import TYPE_CHECKING, NamedTuple

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from gateway.claims import HEADER, Claim
from gateway.errors import InternalError, InvalidRequestError
from gateway.store.kept_rows import Key

if TYPE_CHECKING:
    from collections.abc import Iterable

LONGEST_KEY = 255
LARGEST_ANSWER = 8 << 20
"""Bytes, compressed. A longer answer is not kept: as events, it would have a million tokens or more."""

_KEY = re.compile(rf"[\x21-\x7e]{{1,{LONGEST_KEY}}}")
_NONCE = 12
# A window of 8 KiB finds the repetitions between the events of a stream, and costs a call 32 KB of memory.
_LEVEL, _WINDOW_BITS, _MEMORY = 1, 13, 5


class KeptAnswer(NamedTuple):
    """An answer as it was sent: the media type and the bytes of its body, and the trace id of its request."""

    media_type: str
    body: bytes
    trace_id: str


class Envelope:
    """Seals and opens the answers of one key of one subscription.

    Args:
        secret: 32 bytes, derived from the pepper.
        subscription_id: whose key it is.
        key: as the caller sent it.
        request: what makes a request the same as another: the operation, and the body.

    Raises:
        InvalidRequestError: a key is 1 to 255 visible characters of ASCII.
    """

    def __init__(self, secret: bytes, subscription_id: str, key: str, request: Iterable[bytes]) -> None:
        if _KEY.fullmatch(key) is None:
            raise InvalidRequestError(
                f"The header {HEADER} should be 1 to {LONGEST_KEY} visible ASCII characters, such as a UUID.",
                param=HEADER,
            )
        of_key = b"\0".join((subscription_id.encode(), key.encode()))
        digest = hmac.digest(secret, b"key\0" + of_key, "sha256")
        # With the digest, so that equal requests under different keys do not look equal.
        fingerprint = hmac.new(secret, b"request\0" + digest, "sha256")
        for part in request:
            fingerprint.update(len(part).to_bytes(8) + part)
        self.claim = Claim(Key(subscription_id, digest), fingerprint.digest())
        self._cipher_key = hmac.digest(secret, b"answer\0" + of_key, "sha256")

    def __repr__(self) -> str:
        return "Envelope(…)"

    def seal(self, content: bytes) -> bytes:
        """AES-256-GCM under a key that seals nothing but the answers of this Idempotency-Key."""
        nonce = secrets.token_bytes(_NONCE)
        return nonce + AESGCM(self._cipher_key).encrypt(nonce, content, self.claim.fingerprint)

    def open(self, sealed: bytes, trace_id: str) -> KeptAnswer:
        """The answer in it. Raises InternalError where the stored bytes were damaged or exchanged."""
        try:
            content = AESGCM(self._cipher_key).decrypt(sealed[:_NONCE], sealed[_NONCE:], self.claim.fingerprint)
        except InvalidTag:
            raise InternalError("a kept answer does not open: its row was damaged or exchanged") from None
        media_type, _, body = content.partition(b"\n")
        return KeptAnswer(media_type.decode(), zlib.decompress(body, wbits=_WINDOW_BITS), trace_id)


class Recording:
    """An answer on its way to the caller, piece by piece, until it is whole.

    Attributes:
        sealed: it, once it is whole; None before, and for one that is too large to keep.
    """

    def __init__(self, envelope: Envelope) -> None:
        self.sealed: bytes | None = None
        self._envelope = envelope
        self._size = 0
        self._pieces: list[bytes] = []
        self._compressor = zlib.compressobj(_LEVEL, zlib.DEFLATED, _WINDOW_BITS, _MEMORY)

    def add(self, piece: bytes) -> None:
        """The next piece of the body."""
        if self._size <= LARGEST_ANSWER:
            self._take(self._compressor.compress(piece))

    def finish(self, media_type: str) -> None:
        """It is whole."""
        self._take(self._compressor.flush())
        if self._size <= LARGEST_ANSWER:
            self.sealed = self._envelope.seal(media_type.encode() + b"\n" + b"".join(self._pieces))
        self._pieces.clear()

    def _take(self, compressed: bytes) -> None:
        self._size += len(compressed)
        if self._size <= LARGEST_ANSWER:
            self._pieces.append(compressed)
        else:
            self._pieces.clear()
