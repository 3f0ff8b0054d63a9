"""PKCS#11 URIs (RFC 7512)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wardkeys.uri import Uri, UriError, parse

_TEXT = st.none() | st.text(st.characters(codec="utf-8"), max_size=20)
_TYPES = st.sampled_from([None, "private", "cert", "secret-key"])
_URIS = st.builds(Uri, _TEXT, _TEXT, _TEXT, _TEXT, _TEXT, _TYPES, st.none() | st.binary(max_size=20))


@given(_URIS)
def test_what_is_written_is_read_back(uri: Uri) -> None:
    assert parse(str(uri)) == uri


@given(st.text(max_size=80))
def test_any_text_is_a_uri_or_refused(text: str) -> None:
    try:
        parse("pkcs11:" + text)
    except UriError:
        pass


def test_names_are_percent_decoded() -> None:
    # RFC 7512 3: examples of object, id and token
    uri = parse("pkcs11:token=The%20Software%20PKCS%2311%20Softtoken;object=my-certificate;type=cert;id=%69%95%3E%5C%F4%BD%EC%91")
    assert uri.token == "The Software PKCS#11 Softtoken"
    assert uri.id == bytes.fromhex("69953e5cf4bdec91")
    assert uri.type == "cert"


def test_an_empty_uri_means_everything() -> None:
    assert parse("pkcs11:") == Uri()
    assert parse("PKCS11:object=a").object == "a"


@pytest.mark.parametrize(
    "text, why",
    [
        ("http:object=a", "does not begin"),
        ("pkcs11:object=a?pin-value=1234", "pin-value"),
        ("pkcs11:object=a?pin-source=file:/etc/pin", "pin-source"),
        ("pkcs11:object=a?module-path=/tmp/evil.so", "module-path"),
        ("pkcs11:object=a?module-name=evil", "module-name"),
        ("pkcs11:object=a?x-new=1", "query"),
        ("pkcs11:object=a;pin-value=1234", "pin-value"),
        ("pkcs11:slot-id=1;object=a", "slot-id"),
        ("pkcs11:object=a;object=b", "twice"),
        ("pkcs11:object", "without a value"),
        ("pkcs11:object=a;", "without a value"),
        ("pkcs11:colour=red", "not known"),
        ("pkcs11:type=key", "type"),
        ("pkcs11:object=a b", "written as %xx"),
        ("pkcs11:object=%zz", "written as %xx"),
        ("pkcs11:object=%4", "written as %xx"),
        ("pkcs11:object=%ff", "UTF-8"),
        ("pkcs11:object=" + "a" * 1100, "longer"),
    ],
)
def test_a_refused_uri_says_why_and_quotes_no_value(text: str, why: str) -> None:
    with pytest.raises(UriError, match=why) as caught:
        parse(text)
    assert "1234" not in str(caught.value)


def test_a_token_fits_when_everything_asked_is_so() -> None:
    uri = parse("pkcs11:token=ward;serial=01")
    assert uri.fits_token("ward", "01", "any", "any")
    assert not uri.fits_token("ward", "02", "any", "any")
    assert not uri.fits_token("Ward", "01", "any", "any")
    assert parse("pkcs11:object=a").fits_token("x", "y", "z", "m")
