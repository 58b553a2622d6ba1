"""PKCS#11 URIs (RFC 7512): what is read from them, and what is refused by name."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signers.pkcs11_uri import parse_uri

# Section 3 of the RFC, with a private key instead of a certificate.
RFC_EXAMPLE = (
    "pkcs11:token=The%20Software%20PKCS%2311%20Softtoken;manufacturer=Snake%20Oil,%20Inc.;model=1.0;"
    "object=my-certificate;type=private;id=%69%95%3E%5C%F4%BD%EC%91;serial=?pin-source=file:/etc/token_pin"
)
TEXT = st.text(min_size=1, max_size=32).filter(lambda text: text.isprintable())


@pytest.mark.parametrize(
    ("uri", "fields", "pin_file"),
    [
        ("pkcs11:", {}, None),
        (
            RFC_EXAMPLE,
            {
                "token": "The Software PKCS#11 Softtoken",
                "manufacturer": "Snake Oil, Inc.",
                "model": "1.0",
                "serial": "",
                "label": "my-certificate",
                "key_id": bytes.fromhex("69953e5cf4bdec91"),
            },
            Path("/etc/token_pin"),
        ),
        (
            "PKCS11:slot-id=17;serial=a?module-path=/usr/lib/x.so&pin-source=/run/pin",
            {"slot": 17, "serial": "a", "module": "/usr/lib/x.so"},
            Path("/run/pin"),
        ),
        ("pkcs11:id=%00%FF;object=%C3%BC", {"key_id": b"\0\xff", "label": "ü"}, None),
    ],
)
def test_uris_are_read(uri: str, fields: dict[str, Any], pin_file: Path | None) -> None:
    assert parse_uri(uri) == (fields, pin_file)


@given(TEXT, st.binary(min_size=1, max_size=20))
def test_whatever_is_percent_encoded_comes_back(label: str, key_id: bytes) -> None:
    uri = f"pkcs11:object={quote(label, safe='')};id={quote(key_id, safe='')}"
    assert parse_uri(uri) == ({"label": label, "key_id": key_id}, None)


@pytest.mark.parametrize(
    ("uri", "why"),
    [
        ("file:/x", 'begins with "pkcs11:"'),
        ("pkcs11", 'begins with "pkcs11:"'),
        ("pkcs11:token", "token has no value"),
        ("pkcs11:id=", "id has no value"),
        ("pkcs11:object=a\nb", "characters that cannot be seen"),
        ("pkcs11:token=a;token=b", "token stands in the URI twice"),
        ("pkcs11:object=a?module-path=/a&module-path=/b", "module-path stands in the URI twice"),
        ("pkcs11:object=%zz", "object has a % without two hex digits"),
        ("pkcs11:object=100%", "object has a % without two hex digits"),
        ("pkcs11:object=%FF", "object is not UTF-8"),
        ("pkcs11:slot-id=first", "slot-id is not a number"),
        ("pkcs11:slot-id=²", "slot-id is not a number"),
        ("pkcs11:type=public", 'type must be "private"'),
        ("pkcs11:module-path=/x.so", "module-path is not understood"),
        ("pkcs11:object=a?pin-value=1234", "a PIN does not belong into a command line: use pin-source"),
        ("pkcs11:object=a?module-name=opensc", "module-name is not understood here: name the module's file"),
        ("pkcs11:object=a?pin-source=%7Ccat%20/pin", "pin-source must be the absolute path"),
        ("pkcs11:object=a;x-vendor=1", "x-vendor is not understood"),
    ],
)
def test_what_cannot_be_meant_is_refused_by_name(uri: str, why: str) -> None:
    with pytest.raises(ValueError, match=r"^[^\n]*$") as refused:
        parse_uri(uri)
    assert why in str(refused.value)
    assert "1234" not in str(refused.value)


@given(st.text())
def test_any_text_is_read_or_refused_in_one_line(text: str) -> None:
    with suppress(ValueError):
        parse_uri("pkcs11:" + text)
        return
    with pytest.raises(ValueError, match=r"^[^\n]*$"):
        parse_uri("pkcs11:" + text)
