"""Remote services: how their failures are told apart. A clip whose question fails is tried again or quarantined.

The engine tries again what is an `OSError`; anything else quarantines the clip at once, with the message.
"""

from __future__ import annotations


class ServiceBusy(ConnectionError):
    """The service did not answer, was overloaded, or answered nonsense: the same question may succeed later."""


class ServiceRefused(RuntimeError):
    """The service will not answer this question however often it is asked: a wrong key, no credit, a bad request."""


BUSY = frozenset({408, 409, 425, 429})
"""HTTP statuses that pass, besides 500 and above."""


def failure(service: str, status: int | None, said: str) -> Exception:
    """What an answer with an HTTP status (None: no answer) amounts to. `said` is cut to what a person reads."""
    text = " ".join(said.split())[:300]
    if status is None:
        return ServiceBusy(f"{service}: no answer ({text})")
    if status in BUSY or status >= 500 or status < 400:
        return ServiceBusy(f"{service}: status {status} ({text})")
    hints = {401: "; check the key", 402: "; the account has no credit left", 403: "; the key may not do this"}
    return ServiceRefused(f"{service}: status {status}{hints.get(status, '')} ({text})")
