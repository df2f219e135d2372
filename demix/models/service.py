"""Remote services: how their failures are told apart. A clip whose question fails is tried again or quarantined.

The engine tries again what is an `OSError`, and stops at a `ConfigError`; anything else quarantines the clip at once,
with the message.
"""

from __future__ import annotations

from demix.config import ConfigError


class ServiceBusy(ConnectionError):
    """The service did not answer, was overloaded, or answered nonsense: the same question may succeed later."""

    wait: float | None = None
    """Seconds after which it says that it may be asked again."""


class ServiceRefused(RuntimeError):
    """The service will not answer this question however often it is asked: a bad request."""


class ServiceClosed(ConfigError):
    """The service will answer no question at all: a wrong key, no credit. The build stops, and goes on once that is put
    right; quarantining every clip would only have to be undone."""


BUSY = frozenset({408, 409, 425, 429})
"""HTTP statuses that pass, besides 500 and above."""
CLOSED = {401: "check the key", 402: "give the account credit", 403: "check what the key may do"}
"""HTTP statuses that every question gets alike, and what to do."""


def failure(service: str, status: int | None, said: str) -> Exception:
    """What an answer with an HTTP status (None: no answer) amounts to. `said` is cut to what a person reads."""
    text = " ".join(said.split())[:300]
    if status is None:
        return ServiceBusy(f"{service}: no answer ({text})")
    if status in BUSY or status >= 500 or status < 400:
        return ServiceBusy(f"{service}: status {status} ({text})")
    if status in CLOSED:
        return ServiceClosed(f"{service}: status {status}; {CLOSED[status]}, then give the same command again ({text})")
    return ServiceRefused(f"{service}: status {status} ({text})")
