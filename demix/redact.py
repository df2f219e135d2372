"""Credentials in addresses: taken out of everything that is written down, and kept in memory for those who open them.

An address may hold a user with a password (`ftp://user:password@host`), a signature (a signed URL) or a token. What is
written, printed or used as an identity is its public form, with `***` in those places; a process finds the whole
address by it (`whole`). Workers get what the driver knows with their specification. Nothing of it is ever on a disk, so
a command that opens such films has to be given their addresses.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

HIDDEN = "***"

_USER = re.compile(r"(\b[a-zA-Z][a-zA-Z0-9+.\-]*://)[^/\s?#'\"<>|]*@")
_FIELD = re.compile(r"([?&;])([A-Za-z][A-Za-z0-9_.\-]*)=([^&;\s#'\"<>|)\]},]*)")
_SIGNATURES = re.compile(
    r"x-(amz|goog|oss|cos|obs|ms|bce)-.*|q-(sign|ak|key|header|url).*|signature|sig|policy|expires|key-pair-id|"
    r"awsaccesskeyid|googleaccessid|ossaccesskeyid|hmac|hdnts|hdnea|se|st|sp|sv|sr|spr|sip|skoid|sktid|skt|ske|sks|skv"
)
"""Fields that sign an address. They are others each time, and say nothing of which film it is."""
_TOKENS = re.compile(
    r"(.*[_.\-])?(token|auth|authorization|apikey|password|passwd|pwd|secret|jwt|credential|credentials|session|"
    r"sessionid|sid|bearer|code)|((api|access|secret|private|sas)[_.\-]?)?key|sas|accesskeyid"
)
"""Fields that let somebody in. Some servers tell films by nothing else, so a hash of them stays."""

_known: dict[str, str] = {}
"""Public form -> the whole address."""


def redacted(text: str) -> str:
    """`text` with the public form of every address in it. What is public already stays as it is."""
    if "://" in text:
        text = _USER.sub(rf"\1{HIDDEN}@", text)
    return _FIELD.sub(_field, text) if "=" in text else text


def _field(found: re.Match[str]) -> str:
    before, name, value = found.groups()
    if not value or value.startswith(HIDDEN):
        return found[0]
    if _SIGNATURES.fullmatch(name.lower()):
        return f"{before}{name}={HIDDEN}"
    if _TOKENS.fullmatch(name.lower()):
        return f"{before}{name}={HIDDEN}{hashlib.blake2b(value.encode(), digest_size=4).hexdigest()}"
    return found[0]


def public(address: str) -> str:
    """The public form of an address, by which `whole` finds it from now on in this process."""
    form = redacted(address)
    if form != address:
        _known[form] = address
    return form


def whole(form: str) -> str:
    """The address behind a public form; the form itself where nothing was taken out of it, or nobody knows what."""
    return _known.get(form, form)


def is_known(form: str) -> bool:
    """Whether an address can be opened: nothing was taken out of it, or this process knows what."""
    return form in _known or redacted(form) != form or HIDDEN not in form


@dataclass(frozen=True)
class Addresses:
    """What this process knows, as part of what is sent to others that work for it: they know it once it is unpickled.
    Nothing of it is shown."""

    def __reduce__(self) -> tuple[Callable[[Mapping[str, str]], Addresses], tuple[dict[str, str]]]:
        return _learnt, (dict(_known),)


def _learnt(addresses: Mapping[str, str]) -> Addresses:
    _known.update(addresses)
    return Addresses()
