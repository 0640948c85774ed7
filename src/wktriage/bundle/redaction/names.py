"""Which names say that their value is a secret: password, TOKEN_1, secretKey, --manager-token."""

from __future__ import annotations

import re
from functools import lru_cache

_PART = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+")
_NAME_CAP = 120
"""Bytes looked at, from the end: the word that tells stands there."""

# A part of a name that ends in one of these is a secret: also ``pgpassword`` and ``authtoken``.
_WORDS = ("password", "passwd", "passphrase", "passcode", "secret", "token", "credential",
          "requirepass")  # fmt: skip
_SHORT = frozenset({"pwd", "pass", "psw", "pw", "cred", "creds", "passwds"})
_NO_PASS = ("bypass", "compass", "encompass", "trespass", "surpass", "overpass", "underpass")
# Keys of these kinds are secret; public, primary, partition, cache or channel keys are not.
_KEY_KINDS = (
    "api", "access", "private", "priv", "secret", "sign", "signing", "signature", "signer",
    "encryption", "encrypt", "encrypting", "decryption", "decrypt", "crypto", "cipher", "master",
    "session", "auth", "authentication", "authorization", "ssh", "hmac", "jwt", "jwe", "shared",
    "cookie", "aes", "rsa", "ecdsa", "ed25519", "account", "storage", "root", "admin", "manager",
    "license", "subscription", "unseal", "recovery", "deploy", "symmetric", "webhook", "service",
)  # fmt: skip
_KEYS = (*(f"{kind}key" for kind in _KEY_KINDS), "masterauth")
# Words after the telling one that leave the value as secret as it was.
_TAILS = frozenset({
    "value", "val", "text", "plain", "plaintext", "raw", "b64", "base64", "hex", "encoded",
    "old", "new", "current", "previous", "prev", "next", "primary", "secondary", "backup",
    "base", "default", "dev", "prod", "test", "staging", "key", "string", "str", "data",
})  # fmt: skip
_HASHED = frozenset({"hash", "hashed", "digest", "salt"})
_COOKIES = frozenset({"cookie", "cookies"})
_COUNTED = frozenset({"tokens", "secrets", "passes", "keys"})

HINTS: tuple[bytes, ...] = (
    b"pass", b"pwd", b"psw", b"pw", b"secret", b"token", b"cred", b"auth", b"cookie",
)  # fmt: skip
"""One of these, in lower case, or a secret key is in every text with a name that is secret."""

_KINDS = tuple(kind.encode() for kind in _KEY_KINDS)
_ANY_HINT = re.compile("|".join([h.decode() for h in HINTS] + ["key"]), re.I)


def has_secret_key(lower: bytes) -> bool:
    """Tell whether a text in lower case speaks of an API key or another key that is secret."""
    at = lower.find(b"key")
    while at >= 0:
        if lower[max(0, at - 20) : at].rstrip(b"_-. ").endswith(_KINDS):
            return True
        at = lower.find(b"key", at + 3)
    return False


def _parts(name: str) -> list[str]:
    return [part.lower() for part in _PART.findall(name[-_NAME_CAP:])]


@lru_cache(maxsize=4096)
def is_secret(name: bytes) -> bool:
    """Tell whether the value of that name is a secret. The name is as it stands in a file."""
    text = name.decode("latin-1")
    if not _ANY_HINT.search(text):
        return False
    parts = _parts(text)
    while parts:
        if _tells(parts):
            return True
        # TOKEN_1, secretKey, api_key_old: what the end adds changes nothing.
        hashed = parts[-1] in _HASHED and "pass" in "".join(parts[-2:-1])
        if not (hashed or parts[-1] in _TAILS or parts[-1].isdigit()):
            return False
        parts.pop()
    return False


def _tells(parts: list[str]) -> bool:
    last = parts[-1]
    single = last if last in _SHORT else last.removesuffix("s")
    if single.endswith(_WORDS) or last in _SHORT:
        return True
    if last.endswith(("pwd", "pass")) and not last.endswith(_NO_PASS):
        return True
    return "".join([*parts[-2:-1], single]).endswith(_KEYS)


@lru_cache(maxsize=4096)
def is_plural(name: bytes) -> bool:
    """Tell whether a name counts things (``max_tokens``): a number is no secret there."""
    parts = _parts(name.decode("latin-1"))
    return bool(parts) and parts[-1] in _COUNTED


@lru_cache(maxsize=4096)
def is_authorization(name: bytes) -> bool:
    """Tell whether it is a header that carries credentials after the name of their scheme."""
    return name.lower().endswith(b"authorization")


@lru_cache(maxsize=4096)
def is_cookie(name: bytes) -> bool:
    """Tell whether it is a header that carries cookies."""
    parts = _parts(name.decode("latin-1"))
    return bool(parts) and parts[-1] in _COOKIES


def is_working_directory(name: bytes) -> bool:
    """Tell whether it is the shell's own PWD, whose value is a path."""
    return name.upper() in {b"PWD", b"OLDPWD"}
