"""Scripts, styles and images, each under a URL that changes when its folder does, so that it may be kept for ever.

The digest stands before the name and is that of the whole folder: modules import each other by relative names, and find
each other in the same version without a build.
"""

from __future__ import annotations

import gzip
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

HERE = Path(__file__).parent

_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}


@dataclass(frozen=True, slots=True)
class Asset:
    """A file as it is sent.

    Attributes:
        content_type: its media type.
        plain: its bytes.
        packed: the same through gzip.
        digest: of its bytes, for an ETag.
    """

    content_type: str
    plain: bytes
    packed: bytes
    digest: str


@dataclass(frozen=True, slots=True)
class Bundle:
    """A folder of assets.

    Attributes:
        digest: of all of them.
        assets: by the file's name.
    """

    digest: str
    assets: Mapping[str, Asset]


def read_bundle(folder: Path) -> Bundle:
    """All assets of a folder; a file of another kind, such as a licence, is none."""
    found = {path.name: _read(path) for path in sorted(folder.iterdir()) if path.suffix in _TYPES}
    digest = sha256("".join(f"{name} {asset.digest}\n" for name, asset in found.items()).encode())
    return Bundle(_short(digest.hexdigest()), found)


def _read(path: Path) -> Asset:
    content = path.read_bytes()
    # Without a time in it, so that every worker sends the same bytes.
    packed = gzip.compress(content, mtime=0)
    return Asset(_TYPES[path.suffix], content, packed, _short(sha256(content).hexdigest()))


def _short(digest: str) -> str:
    return digest[:20]
