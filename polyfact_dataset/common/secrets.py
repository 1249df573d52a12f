"""Keys: trimmed and checked before use, and removed from every text that is shown, stored or sent to others.

A key is known once it was taken by `usable_key`. Addresses are shown as scheme and host: a key may be in their path.
"""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import urlsplit

from polyfact_dataset.common.errors import ConfigError

HIDDEN = "***"
# Shorter texts, such as the `EMPTY` that local servers accept, cannot be told from words.
_MIN_CHARACTERS = 8
_known: set[str] = set()


def usable_key(value: str, origin: str) -> str:
    """The key without surrounding space, which is known from now on; `origin` names it in messages.

    Raises `ConfigError`, without the key, when it could not be sent in a header.
    """
    key = value.strip()
    if key and not re.fullmatch("[!-~]+", key):
        raise ConfigError(
            f"{origin} contains a space, a control character or a character outside ASCII, so it is not a key; "
            "set it again"
        )
    if len(key) >= _MIN_CHARACTERS:
        _known.add(key)
    return key


def hub_token() -> str | None:
    """The token of the Hugging Face Hub, if there is one. Raises `ConfigError` for one that cannot be sent."""
    from huggingface_hub import get_token

    origin = "the token of the Hub (HF_TOKEN, or the file of `hf auth login`)"
    try:
        token = get_token()
    except UnicodeDecodeError:
        raise ConfigError(f"{origin} is not text; set it again") from None
    return usable_key(token, origin) if token else None


def redacted(text: str) -> str:
    """The text with each known key replaced; the longest first, since one may begin with another."""
    for key in sorted(_known, key=len, reverse=True):
        text = text.replace(key, HIDDEN)
    return text


def redacted_json(value: Any) -> Any:
    """A JSON value with each known key replaced in its texts and names, at any depth."""
    if not _known:
        return value
    if isinstance(value, str):
        return redacted(value)
    if isinstance(value, dict):
        return {redacted_json(name): redacted_json(part) for name, part in value.items()}
    if isinstance(value, list):
        return [redacted_json(part) for part in value]
    return value


def bare_url(url: str | None) -> str | None:
    """An address without credentials. Raises `ValueError`, which does not show it, for any other."""
    try:
        parts = urlsplit(url or "")
        # Computed on access.
        _ = parts.port
    except ValueError:
        raise ValueError("it is not an address") from None
    if re.search(r"[\x00-\x20\x7f]", url or ""):
        raise ValueError("it contains a space or a control character")
    if parts.username or parts.password or parts.query or parts.fragment:
        raise ValueError("it contains a user name, password or query, or a fragment, which may be a key")
    return url


def shown_address(url: str) -> str:
    """Scheme and host of an address: the rest may hold a key."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
