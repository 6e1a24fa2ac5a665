"""Digests agree with their standards; TLSH hashes of similar data are similar."""

from __future__ import annotations

import hashlib
from types import SimpleNamespace

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

import stellar
from stellar.functions.hashing import get_hashes_available, hash_, tlsh, tlsh_dist

FOX = "The quick brown fox jumps over the lazy dog. Pack my box with five dozen liquor jugs; 0123456789 times!"
FOX_TLSH = "60B092CAA62D02A558DE2848138EA9A2A3C896585222E6101068908268582B59CA4190"


@pytest.mark.parametrize("name", [name for name in get_hashes_available() if name != "TLSH"])
def test_the_hash_of_null_is_zeros(name):
    assert hash_(None, name) == "0" * len(hash_("", name))
    assert hash_("é", name.lower()) == hash_("é".encode(), name)


@pytest.mark.parametrize(
    ("string", "digest"),
    [  # the test suite of RFC 1319
        ("", "8350e5a3e24c153df2275c9f80692773"),
        ("abc", "da853b0d3f88d99b30283a69e6ded6bb"),
        ("message digest", "ab4f496bfb2a530b219ff33031fe06b0"),
        ("1234567890" * 8, "d5976f79d83d3a0dc9806c3c66f3efd8"),
    ],
)
def test_md2_agrees_with_the_rfc(string, digest):
    assert hash_(string, "MD2") == digest


@pytest.mark.parametrize(
    ("charset", "octets"),
    [
        *((None, "é".encode()), ("utf8", "é".encode()), ("ISO-8859-1", b"\xe9"), ("us-ascii", b"?")),
        *(("UTF-16", b"\xfe\xff\x00\xe9"), ("utf-16le", b"\xe9\x00"), ("windows-1252", b"\xe9"), ("IBM850", b"\x82")),
    ],
)
def test_a_string_is_hashed_in_the_requested_charset(charset, octets):
    assert hash_("é", "SHA-256", {"charset": charset}) == hashlib.sha256(octets).hexdigest()


@pytest.mark.parametrize("charset", ["bogus", "rot13", "idna", "hex", ""])
def test_an_unknown_charset_is_rejected(charset):
    with pytest.raises(ValueError, match="unknown charset"):
        hash_("a", "MD5", {"charset": charset})


@pytest.mark.parametrize(
    ("value", "json"),
    [
        *(
            (True, "true"),
            (1, "1"),
            (1.5, "1.5"),
            ([1, "é", None], '[1,"é",null]'),
            ({"b": 1, "a": {}}, '{"a":{},"b":1}'),
        ),
        *(({"b", "a"}, '["a","b"]'), ({1: 2, None: [b"x"]}, '{"1":2,"null":["x"]}')),
    ],
)
def test_other_values_are_hashed_as_json(value, json):
    assert hash_(value, "MD5") == hashlib.md5(json.encode()).hexdigest()


@pytest.mark.parametrize("value", [len, object(), [object()]])
def test_a_value_without_json_is_rejected(value):
    with pytest.raises(ValueError, match="cannot hash"):
        hash_(value, "MD5")


def test_a_list_that_contains_itself_is_rejected():
    endless = []
    endless.append(endless)
    with pytest.raises(ValueError, match="more than 64 levels"):
        hash_(endless, "MD5")


def test_tlsh_has_the_requested_size():
    assert hash_(FOX, "TLSH") == FOX_TLSH
    assert len(hash_(FOX, "tlsh", {"bucketSize": 256})) == 134
    assert len(hash_(FOX, "tlsh", {"checksumBytes": "3"})) == 74
    assert hash_(FOX, "tlsh", {"force": False}) is None
    assert len(hash_(FOX * 3, "tlsh", {"force": False, "bucketSize": 256, "checksumBytes": 3})) == 138


def test_tlsh_can_include_short_hashes():
    assert hash_(FOX, "TLSH", {"hashes": 8}) == {"tlsh": FOX_TLSH, "tlsh_bin": "835"}
    both = hash_(FOX, "TLSH", {"hashes": [8, 16]})
    assert both == {"tlsh": FOX_TLSH, "tlsh_bin_8": "835", "tlsh_bin_16": "161042"}
    with pytest.raises(ValueError, match="at most"):
        hash_(FOX, "TLSH", {"hashes": 10**9})


def test_a_similar_string_has_a_smaller_distance():
    near, far = hash_(FOX.replace("lazy", "idle"), "TLSH"), hash_("".join(map(chr, range(32, 120))), "TLSH")
    assert 0 < tlsh_dist(FOX_TLSH, near) < tlsh_dist(FOX_TLSH, far)


def test_the_length_is_included_on_request():
    longer = hash_(FOX * 4, "TLSH")
    assert tlsh_dist(FOX_TLSH, longer, "yes") > tlsh_dist(FOX_TLSH, longer)


@given(
    st.one_of(st.binary(max_size=700), st.binary(min_size=1, max_size=40).map(lambda piece: piece * 40)), st.booleans()
)
@example(bytes(range(256)) * 20, False)
@example(FOX.encode(), True)
@example(FOX.encode(), False)
def test_the_native_tlsh_agrees_with_ours(data: bytes, force: bool) -> None:
    pytest.importorskip("tlsh")
    assert tlsh.hash_bytes(data, force=force) == tlsh.compute(data, force=force)


def test_tlsh_does_not_need_the_native_implementation(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tlsh, "_import_native", lambda: None)
    assert hash_(FOX, "TLSH") == FOX_TLSH


@pytest.mark.parametrize("digits", ["", "TNULL", "00" * 67])
def test_a_native_tlsh_without_a_hash_of_the_expected_size_is_not_used(
    monkeypatch: pytest.MonkeyPatch, digits: str
) -> None:
    native = SimpleNamespace(forcehash=lambda data: digits)
    monkeypatch.setattr(tlsh, "_import_native", lambda: native)
    assert hash_(FOX, "TLSH") == (FOX_TLSH if len(digits) == 134 else None)


@pytest.mark.parametrize("other", ["", "zz", FOX_TLSH[:-2], FOX_TLSH + "0000", "Z" * 70])
def test_an_invalid_or_incompatible_tlsh_is_rejected(other):
    with pytest.raises(ValueError, match="TLSH hash"):
        tlsh_dist(FOX_TLSH, other)


@pytest.mark.parametrize("name", ["MD5", "sha-256", "SHA", "MD2", "CRC"])
@pytest.mark.parametrize("value", ["squid", "é\ud800", b"squid", 1.5, None, {"a": [1]}])
def test_literal_and_variable_hash_names_agree(name: str, value: object) -> None:
    record = {"value": value, "name": name}
    literal, variable = (stellar.compile(f"HASH(value, {it})") for it in (f"'{name}'", "name"))
    assert _outcome(literal, record) == _outcome(variable, record)


def _outcome(expression: stellar.Expression, record: dict[str, object]) -> object:
    try:
        return expression(record)
    except stellar.language.errors.EvaluationError as error:
        return error.message
