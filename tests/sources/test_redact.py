"""Guards the public form of addresses: no credentials, still one form a film, and the whole address in memory only."""

from __future__ import annotations

import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from demix import redact
from demix.redact import HIDDEN, Addresses, is_known, public, redacted, whole

SECRET = "s3cr3t-Qx9"
ADDRESSES = (
    f"ftp://reader:{SECRET}@host/film.mp4",
    f"https://{SECRET}@host:8443/film.mp4",
    f"https://bucket.s3.amazonaws.com/film.mp4?X-Amz-Date=2026&X-Amz-Signature={SECRET}&X-Amz-Credential={SECRET}%2Feu",
    f"https://account.blob.core.windows.net/films/film.mp4?sv=2024&se=2027&sp=r&sig={SECRET}",
    f"https://storage.googleapis.com/b/film.mp4?X-Goog-Signature={SECRET}",
    f"https://cdn.example/film.mp4?access_token={SECRET}&part=2",
    f"zip://film.mp4::https://host/films.zip?api_key={SECRET}",
)


@pytest.mark.parametrize("address", ADDRESSES)
def test_no_secret_is_in_the_public_form_and_all_else_is(address: str) -> None:
    form = redacted(address)
    assert SECRET not in form
    assert HIDDEN in form
    assert redacted(form) == form
    assert form.partition("?")[0].endswith(("film.mp4", "films.zip"))
    assert redacted(f"cannot be read: <{address}> (404)") == f"cannot be read: <{form}> (404)"


def test_films_told_apart_by_a_token_alone_stay_apart_and_signatures_do_not_tell_films_apart() -> None:
    one, other = (redacted(f"https://host/film?token={name}") for name in ("one", "other"))
    assert one != other
    one, other = (redacted(f"https://host/film.mp4?sig={name}") for name in ("monday", "tuesday"))
    assert one == other


@given(st.text(alphabet="abc/:?=&;@. ", max_size=40))
def test_it_is_idempotent(text: str) -> None:
    assert redacted(redacted(text)) == redacted(text)


@pytest.mark.parametrize(
    "path", ["films/a=b&key.mp4", "/mnt/films/me@home.mp4", "s3://bucket/film?.mp4", "film (1).mp4"]
)
def test_names_without_credentials_stay(path: str) -> None:
    assert redacted(path) == path
    assert is_known(path)


def test_workers_know_the_whole_address_and_nothing_shows_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redact, "_known", {})
    form = public(ADDRESSES[0])
    assert whole(form) == ADDRESSES[0]
    sent = pickle.dumps(Addresses())
    assert SECRET not in repr(Addresses())
    redact._known.clear()
    assert not is_known(form)
    pickle.loads(sent)
    assert whole(form) == ADDRESSES[0]
