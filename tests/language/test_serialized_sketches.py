"""The serialized form of sketches: what damaged and hostile bytes give."""

from __future__ import annotations

import base64
import json
import random
import zlib
from pathlib import Path
from struct import pack

import pytest

import stellar
from stellar.cli import main
from stellar.functions.enrichments import SqliteEnrichments
from stellar.language.context import GlobalSettings
from stellar.language.tagged_json import deserialize, encode, serialize, to_json

EXPRESSIONS = {
    "bloom": "BLOOM_ADD(BLOOM_INIT(10, 0.1), 'a', 5, ['b'])",
    "hllp of few": "HLLP_ADD(HLLP_INIT(9), ['a', 'b', 5])",
    "hllp of some": "HLLP_ADD(HLLP_INIT(9), some)",
    "hllp of many": "HLLP_ADD(HLLP_INIT(9), many)",
    "statistics": "STATS_ADD(STATS_INIT(), 1, 2.5, -3)",
    "window": "STATS_ADD(STATS_INIT(2), 1, 2.5, -3)",
    "outliers": "OUTLIER_MAD_ADD(OUTLIER_MAD_STATE_MERGE([]), [1, 2, 3])",
    "sample": "SAMPLE_ADD(SAMPLE_INIT(2), ['a', 5, 2.5, STATS_ADD(null, 1)])",
}
RECORD = {"some": [str(value) for value in range(30)], "many": [str(value) for value in range(900)]}
USES = {
    "$bloom": ["BLOOM_EXISTS(s, 'a')", "BLOOM_ADD(s, 'c')", "BLOOM_MERGE([s, s])"],
    "$hllp": ["HLLP_CARDINALITY(s)", "HLLP_CARDINALITY(HLLP_ADD(s, many))", "HLLP_MERGE([s, s])"],
    "$stats": ["STATS_PERCENTILE(s, 50)", "STATS_ADD(s, 5)", "STATS_KURTOSIS(s)", "STATS_MERGE([s, s])"],
    "$mad": ["OUTLIER_MAD_SCORE(s, 5)", "OUTLIER_MAD_ADD(s, 5)", "OUTLIER_MAD_STATE_MERGE([s], s)"],
    "$sample": ["SAMPLE_GET(s)", "SAMPLE_ADD(s, [1, 2])", "SAMPLE_MERGE([s, s])"],
}


def write(name: str) -> tuple[str, bytes]:
    """Return the tag and the bytes of a sketch."""
    ((tag, content),) = json.loads(serialize(stellar.evaluate(EXPRESSIONS[name], RECORD))).items()
    return tag, base64.b64decode(content)


def read(tag: str, data: bytes) -> object:
    return deserialize(json.dumps({tag: base64.b64encode(data).decode()}))


def seal(kind: int, content: bytes, version: int = 1) -> bytes:
    """Return bytes with a correct length and checksum."""
    data = pack("<BBI", version, kind, len(content)) + content
    return data + pack("<I", zlib.crc32(data))


@pytest.mark.parametrize("name", EXPRESSIONS)
def test_a_sketch_is_restored_from_its_json(name: str) -> None:
    text = serialize(stellar.evaluate(EXPRESSIONS[name], RECORD))
    assert serialize(deserialize(text)) == text == to_json(deserialize(text))


def test_a_sketch_in_a_map_or_multiset_is_restored() -> None:
    value = stellar.evaluate("MULTISET_INIT([STATS_INIT(), 'a', 'a', 5])", {})
    text = serialize({"counts": value})
    assert list(deserialize(text)["counts"].values()) == [1, 2, 1]


@pytest.mark.parametrize("name", EXPRESSIONS)
def test_truncated_bytes_are_rejected_at_any_length(name: str) -> None:
    tag, data = write(name)
    for length in {*range(min(len(data), 64)), len(data) - 1}:
        with pytest.raises(
            ValueError, match=rf"invalid \{tag}: truncated: expected (at least )?\d+ bytes, got {length}$"
        ):
            read(tag, data[:length])


@pytest.mark.parametrize("name", EXPRESSIONS)
def test_a_changed_bit_is_rejected(name: str) -> None:
    tag, data = write(name)
    source = random.Random(3)
    for _ in range(100):
        changed = bytearray(data)
        changed[source.randrange(len(data))] ^= 1 << source.randrange(8)
        with pytest.raises(ValueError, match=rf"invalid \{tag}: "):
            read(tag, bytes(changed))


@pytest.mark.parametrize("name", EXPRESSIONS)
def test_hostile_bytes_with_a_correct_checksum_are_rejected_or_usable(name: str) -> None:
    tag, data = write(name)
    source = random.Random(5)
    rejected = 0
    for _ in range(400):
        content = bytearray(data[6:-4])
        for _ in range(source.randrange(1, 4)):
            content[source.randrange(min(len(content), 60))] = source.choice((0, 1, 2, 127, 128, 255))
        if source.random() < 0.3:
            del content[source.randrange(len(content)) :]
        try:
            sketch = read(tag, seal(data[1], bytes(content)))
        except ValueError as error:
            assert str(error).startswith("invalid $")  # noqa: PT017 (most inputs are rejected, some are valid)
            rejected += 1
            continue
        for expression in USES[tag]:
            try:
                stellar.evaluate(expression, {**RECORD, "s": sketch})
            except stellar.StellarError as error:
                assert "can't be merged" in str(error) or "statistics" in str(error)  # noqa: PT017
    assert rejected


@pytest.mark.parametrize(
    ("tag", "data", "message"),
    [
        ("$stats", seal(2, b"", version=9), "unknown version 9: this release reads version 1"),
        ("$stats", seal(0, b""), "expected the binary form of $stats, got that of $bloom"),
        ("$stats", seal(77, b""), "expected the binary form of $stats, got the unknown kind 77"),
        ("$stats", seal(3, pack("<QQ", 5, 0)) + b"x", "too long: expected 26 bytes, got 27"),
        ("$stats", seal(3, pack("<QQ", 5, 0) + b"x"), "1 unexpected bytes after the content"),
        ("$stats", seal(3, pack("<QQ", 5, 2**60)), f"content too short for {2**60} items"),
        ("$stats", seal(3, pack("<QQdd", 1, 2, 1, 1)), "2 numbers in a window of 1"),
        ("$stats", seal(3, pack("<QQ", 0, 0)), "invalid window 0"),
        ("$stats", seal(2, b"abc"), "content too short: expected 80 more bytes at byte 0"),
        ("$bloom", seal(0, pack("<QI", 2**40, 1)), f"invalid number of bits {2**40}: expected 1 to {2**30}"),
        ("$bloom", seal(0, pack("<QI", 8, 2**31)), f"invalid number of hashes {2**31}: expected 1 to 1100"),
        ("$bloom", seal(0, pack("<QI", 2**30, 3)), f"content too short: expected {2**27} more bytes at byte 12"),
        ("$bloom", seal(0, pack("<QIB", 3, 1, 8)), "a bit after the last one is set"),
        ("$hllp", seal(1, b"\x03\x00"), "invalid precision 3"),
        ("$hllp", seal(1, b"\x0e\x01"), "invalid sparse precision 1"),
        ("$hllp", seal(1, b"\x0e\x00abc"), "sketch truncated"),
        ("$sample", seal(5, pack("<QQQ", 2, 9, 0) + b"[1]"), "invalid number of sampled values"),
        ("$sample", seal(5, pack("<QQQ", 2, 2**63, 0) + b"[1]"), "invalid size or count"),
        ("$sample", seal(5, pack("<QQQ", 2, 1, 2**60) + b"[1]"), "invalid state of the random numbers"),
    ],
)
def test_an_error_says_what_is_wrong(tag: str, data: bytes, message: str) -> None:
    with pytest.raises(ValueError, match=r"invalid \$") as caught:
        read(tag, data)
    assert str(caught.value) == f"invalid {tag}: {message}"


def test_a_sampler_of_more_values_than_java_counts_does_not_hang() -> None:
    sampler = read("$sample", seal(5, pack("<QQQ", 1, 2**62 - 2, 7) + b"[1]"))
    assert len(stellar.evaluate("SAMPLE_GET(SAMPLE_ADD(s, ['a', 'b']))", {"s": sampler})) == 1


def test_nested_samples_are_rejected_when_they_nest_too_deep() -> None:
    value: object = 1
    for _ in range(12):
        value = deserialize(serialize(value))
        value = stellar.evaluate("SAMPLE_ADD(SAMPLE_INIT(1), s)", {"s": value})
    assert serialize(deserialize(serialize(value))) == serialize(value)


def test_a_value_without_a_json_form_is_shown_but_not_serialized() -> None:
    sampler = stellar.evaluate("SAMPLE_ADD(null, [x -> x])", {})
    with pytest.raises(ValueError, match="no JSON form for a lambda"):
        serialize(sampler)
    with pytest.raises(ValueError, match="no JSON form for an object of type object"):
        serialize({"a": [object()]})
    assert encode(object()) == {"$object": "object"}
    assert encode(sampler).keys() == {"$sample"}


def test_sketches_in_records_and_stored_objects_are_read(tmp_path: Path) -> None:
    form = json.loads(serialize(stellar.evaluate("STATS_ADD(null, 1, 3)", {})))
    (tmp_path / "means.json").write_text(json.dumps({"a": {"size": form}}))
    path = str(tmp_path / "means.json")
    assert stellar.evaluate(f"STATS_MEAN(MAP_GET('size', ENRICHMENT_OBJECT_GET('{path}', 'a')))", {}) == 2.0
    assert stellar.evaluate(f"STATS_MEAN(MAP_GET('size', MAP_GET('a', OBJECT_GET('{path}'))))", {}) == 2.0
    store = SqliteEnrichments(str(tmp_path / "store.db"))
    store.put("t", "f", "sizes", "a", {"size": form})
    store.close()
    context = stellar.Context({GlobalSettings: GlobalSettings({"enrichment.store": f"sqlite:{tmp_path}/store.db"})})
    expression = stellar.compile("STATS_MEAN(MAP_GET('size', ENRICHMENT_GET('sizes', 'a', 't', 'f')))")
    assert expression({}, context) == 2.0


def test_a_damaged_sketch_in_a_stored_object_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "means.json"
    path.write_text('{"$stats": "AQI="}')
    with pytest.raises(stellar.EvaluationError, match=r"means.json: invalid \$stats: truncated: expected"):
        stellar.evaluate(f"OBJECT_GET('{path}')", {})


def test_eval_reads_the_sketches_that_it_prints(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["eval", "-e", "{'s' : STATS_ADD(null, 1, 3)}"]) == 0
    (tmp_path / "records.jsonl").write_text(capsys.readouterr().out + '{"s": {"$stats": "AQI="}}\n')
    assert main(["eval", "-e", "STATS_MEAN(s)", "-f", str(tmp_path / "records.jsonl")]) == 1
    printed = capsys.readouterr()
    assert printed.out == "2.0\nnull\n"
    assert printed.err == "record 2: invalid $stats: truncated: expected at least 10 bytes, got 2\n"


def test_invalid_json_is_rejected() -> None:
    with pytest.raises(ValueError, match="Expecting value"):
        deserialize("[")
    with pytest.raises(ValueError, match="nests too deep"):
        deserialize("[" * 100_000)
