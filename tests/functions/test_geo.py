"""GEO_GET and ASN_GET on generated databases, in each supported file format."""

from __future__ import annotations

import gzip
import io
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from mmdb_writer import MMDBWriter
from netaddr import IPSet

import stellar
from stellar.functions.geo import GeoDatabase
from stellar.language.context import Context, GlobalSettings

LOCATIONS = {
    "8.8.8.0/24": {
        "city": {"geoname_id": 5375480, "names": {"en": "Mountain View", "de": "Bergsicht"}},
        "country": {"iso_code": "US"},
        "postal": {"code": "94035"},
        "location": {"latitude": 37.386, "longitude": -122.0838, "metro_code": 807},
    },
    "9.9.9.0/24": {"country": {"iso_code": "CH"}},
}
SYSTEMS = {"8.8.8.0/24": {"autonomous_system_number": 15169, "autonomous_system_organization": "Example Networks"}}
MOUNTAIN_VIEW = {
    "locID": "5375480",
    "country": "US",
    "city": "Mountain View",
    "postalCode": "94035",
    "dmaCode": "807",
    "latitude": "37.386",
    "longitude": "-122.0838",
    "location_point": "37.386,-122.0838",
}


def write_database(path: Path, kind: str, networks: dict[str, Any]) -> bytes:
    writer = MMDBWriter(ip_version=4, database_type=kind, float_type="f64")
    for network, data in networks.items():
        writer.insert_network(IPSet([network]), data)
    writer.to_db_file(str(path))
    return path.read_bytes()


def leave_plain(data: bytes) -> bytes:
    return data


def pack_tar(data: bytes) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w:gz") as archive:
        entry = tarfile.TarInfo("GeoLite2-City_20261121/GeoLite2-City.mmdb")
        entry.size = len(data)
        archive.addfile(entry, io.BytesIO(data))
    return file.getvalue()


@pytest.fixture(scope="module")
def databases(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("databases")
    write_database(folder / "city.mmdb", "GeoLite2-City", LOCATIONS)
    write_database(folder / "asn.mmdb", "GeoLite2-ASN", SYSTEMS)
    return folder


@pytest.fixture(scope="module")
def context(databases: Path) -> Context:
    settings = {"geo.hdfs.file": str(databases / "city.mmdb"), "asn.hdfs.file": str(databases / "asn.mmdb")}
    return Context({GlobalSettings: GlobalSettings(settings)})


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("GEO_GET('8.8.8.8')", MOUNTAIN_VIEW),
        ("GEO_GET('8.8.8.8', ['country'])", "US"),
        ("GEO_GET('8.8.8.8', ['country', 'planet'])", {"country": "US", "planet": None}),
        ("GEO_GET('8.8.8.8', ['planet'])", None),
        ("GEO_GET('9.9.9.9', ['city', 'location_point'])", {"city": "", "location_point": ""}),
        ("GEO_GET('1.1.1.1')", {}),
        ("GEO_GET('1.1.1.1', ['country'])", None),
        ("GEO_GET('192.168.1.1')", {}),
        ("GEO_GET('127.0.0.1')", {}),
        ("GEO_GET('example.com')", {}),
        ("GEO_GET('::1')", {}),
        ("GEO_GET('  ')", None),
        ("GEO_GET(null)", None),
        ("GEO_GET('8.8.8.8', 'country')", None),
        (
            "ASN_GET('8.8.8.8')",
            {
                "autonomous_system_number": 15169,
                "autonomous_system_organization": "Example Networks",
                "network": "8.8.8.8",
            },
        ),
        ("ASN_GET('8.8.8.8', ['autonomous_system_number'])", 15169),
        ("ASN_GET('1.1.1.1')", {}),
        ("ASN_GET('10.0.0.1', ['network'])", None),
        ("ASN_GET(' ')", None),
        ("ASN_GET('8.8.8.8', ['network', 'planet'])", {"network": "8.8.8.8", "planet": None}),
    ],
)
def test_an_address_is_found_with_the_requested_fields(context: Context, expression: str, value: object) -> None:
    assert stellar.evaluate(expression, {}, context) == value


@pytest.mark.parametrize(
    ("name", "pack"), [("a.mmdb", leave_plain), ("a.mmdb.gz", gzip.compress), ("a.tar.gz", pack_tar)]
)
def test_a_database_is_read_from_each_file_format(
    tmp_path: Path, databases: Path, name: str, pack: Callable[[bytes], bytes]
) -> None:
    (tmp_path / name).write_bytes(pack((databases / "city.mmdb").read_bytes()))
    assert GeoDatabase(str(tmp_path / name)).look_up("8.8.8.8") == MOUNTAIN_VIEW


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({}, "no database configured; set geo.hdfs.file in the global configuration to its path"),
        ({"geo.hdfs.file": "none.mmdb"}, "cannot read the database none.mmdb: [Errno 2] No such file or directory"),
    ],
)
def test_a_missing_database_is_an_error_that_names_the_setting(settings: dict[str, str], message: str) -> None:
    context = Context({GlobalSettings: GlobalSettings(settings)})
    with pytest.raises(stellar.EvaluationError) as refused:
        stellar.evaluate("GEO_GET('8.8.8.8')", {}, context)
    assert refused.value.message.startswith(message)


@pytest.mark.parametrize(
    "data", [b"", b"not a database", gzip.compress(b"nor this")], ids=["empty", "text", "compressed text"]
)
def test_an_invalid_database_is_an_error_that_names_the_file(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "invalid.mmdb"
    path.write_bytes(data)
    with pytest.raises(LookupError, match=r"cannot read the database .*invalid\.mmdb"):
        GeoDatabase(str(path)).look_up("8.8.8.8")


def test_a_missing_asn_database_is_an_error_that_names_the_setting() -> None:
    with pytest.raises(stellar.EvaluationError, match=r"set asn\.hdfs\.file in the global configuration"):
        stellar.evaluate("ASN_GET('8.8.8.8')", {})


def test_more_than_two_arguments_are_rejected() -> None:
    with pytest.raises(stellar.ResolutionError, match="GEO_GET takes at most 2 arguments, not 3"):
        stellar.compile("GEO_GET('8.8.8.8', ['city'], 1)")
