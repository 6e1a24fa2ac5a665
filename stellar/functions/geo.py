"""Locations and autonomous systems of IP addresses, from databases in MaxMind's format.

Requires the extra `geo`; URLs such as `hdfs://…` and `s3://…` require the extra `files`.
"""

from __future__ import annotations

import gzip
import io
import ipaddress
import tarfile
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from stellar.language.context import Context, GlobalSettings
from stellar.language.conversions import to_string
from stellar.language.library import stellar
from stellar.util.cached_properties import cached_property
from stellar.util.filesystems import read
from stellar.util.optional_imports import import_optional

D = TypeVar("D")

GEO_KEY, ASN_KEY = "geo.hdfs.file", "asn.hdfs.file"


class _Database:
    """A database in MaxMind's format, loaded on first use.

    path: local path, or a URL that fsspec supports, such as `hdfs://…` or `s3://…`, of an `.mmdb` file, plain or in
        `.gz` or `.tar.gz`
    """

    def __init__(self, path: str) -> None:
        self.path = path

    @cached_property
    def _reader(self) -> Any:
        maxminddb = import_optional("maxminddb", "geo")
        try:
            return maxminddb.open_database(io.BytesIO(_read_database(self.path)), maxminddb.MODE_FD)
        except (OSError, EOFError, tarfile.TarError, maxminddb.InvalidDatabaseError) as error:
            raise LookupError(f"cannot read the database {self.path}: {error}") from error

    def load(self) -> None:
        """Load the database. Raises LookupError if it cannot be read."""
        _ = self._reader

    def find(self, ip: str) -> Mapping[str, Any] | None:
        """Return the record of an IPv4 address; None if the address is invalid, not public or unknown."""
        try:
            address = ipaddress.IPv4Address(ip)
        except ValueError:
            return None
        if address.is_unspecified or address.is_loopback or address.is_multicast or _is_site_local(address):
            return None
        record = self._reader.get(address)
        return record if isinstance(record, Mapping) else None


_SITE_LOCAL = tuple(map(ipaddress.IPv4Network, ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16")))


def _is_site_local(address: ipaddress.IPv4Address) -> bool:
    return any(address in network for network in _SITE_LOCAL)


def _read_database(path: str) -> bytes:
    data = read(path)
    if path.endswith((".tar.gz", ".tgz")):
        return _extract_member(data, path)
    return gzip.decompress(data) if path.endswith(".gz") else data


def _extract_member(data: bytes, path: str) -> bytes:
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        for member in archive:
            if member.name.endswith(".mmdb") and (file := archive.extractfile(member)) is not None:
                return file.read()
    raise LookupError(f"no .mmdb file in {path}")


class GeoDatabase(_Database):
    """Locations by IP address, such as GeoLite2-City."""

    def look_up(self, ip: str) -> dict[str, str] | None:
        """Return the location of an address as strings, or None if it is unknown."""
        record = self.find(ip)
        if record is None:
            return None
        location = record.get("location", {})
        latitude, longitude = _to_string(location.get("latitude")), _to_string(location.get("longitude"))
        return {
            "locID": _to_string(record.get("city", {}).get("geoname_id")),
            "country": _to_string(record.get("country", {}).get("iso_code")),
            "city": _to_string(record.get("city", {}).get("names", {}).get("en")),
            "postalCode": _to_string(record.get("postal", {}).get("code")),
            "dmaCode": _to_string(location.get("metro_code")),
            "latitude": latitude,
            "longitude": longitude,
            "location_point": f"{latitude},{longitude}" if latitude and longitude else "",
        }


def _to_string(value: object) -> str:
    return "" if value is None else to_string(value)


class AsnDatabase(_Database):
    """Autonomous systems by IP address, such as GeoLite2-ASN."""

    def look_up(self, ip: str) -> dict[str, Any] | None:
        """Return the autonomous system of an address, or None if it is unknown."""
        record = self.find(ip)
        if record is None:
            return None
        return {
            "autonomous_system_number": record.get("autonomous_system_number"),
            "autonomous_system_organization": record.get("autonomous_system_organization"),
            "network": ip,  # as in Metron
        }


def open_geo(context: Context) -> GeoDatabase:
    """Return the database of a context, which is opened on first use. Raises LookupError if none is configured."""
    return context.get_or_make(GeoDatabase, _make_opener(GeoDatabase, GEO_KEY))


@stellar("GEO_GET", surplus="refuse", blocks=False, check=lambda context: open_geo(context).load())
def geo_get(context: Context, ip: object, fields: object = ()) -> Any:
    """Return the location of an IPv4 address: locID, country, city, postalCode, dmaCode, latitude, longitude and
    location_point.

    ip: The address
    fields: List of the fields to return; all by default
    returns: Map of the fields, all strings; the value itself if a single field is listed. If the address is unknown: an
        empty map, or null if fields are listed. Null if the address is empty or whitespace

    `geo.hdfs.file` in the global configuration is the path of the database.
    """
    return _select_fields(ip, fields, lambda: open_geo(context).look_up)


def _open_asn(context: Context) -> AsnDatabase:
    return context.get_or_make(AsnDatabase, _make_opener(AsnDatabase, ASN_KEY))


@stellar("ASN_GET", surplus="refuse", blocks=False, check=lambda context: _open_asn(context).load())
def asn_get(context: Context, ip: object, fields: object = ()) -> Any:
    """Return the autonomous system of an IPv4 address: autonomous_system_number, autonomous_system_organization and
    network.

    ip: The address
    fields: List of the fields to return; all by default
    returns: Map of the fields; the value itself if a single field is listed. If the address is unknown: an empty map,
        or null if fields are listed. Null if the address is empty or whitespace

    `asn.hdfs.file` in the global configuration is the path of the database. As in Metron, network is the address
    itself.
    """
    return _select_fields(ip, fields, lambda: _open_asn(context).look_up)


def _make_opener(kind: Callable[[str], D], key: str) -> Callable[[GlobalSettings], D]:
    def open_database(settings: GlobalSettings) -> D:
        path = settings.get(key)
        if not isinstance(path, str) or not path:
            raise LookupError(f"no database configured; set {key} in the global configuration to its path")
        return kind(path)

    return open_database


def _select_fields(ip: object, fields: object, look_up: Callable[[], Callable[[str], dict[str, Any] | None]]) -> Any:
    if fields == ():
        if not isinstance(ip, str) or not ip.strip():
            return None
        record = look_up()(ip)
        return {} if record is None else record
    if not isinstance(fields, list) or not isinstance(ip, str):
        return None
    record = look_up()(ip)
    if record is None:
        return None
    return record.get(fields[0]) if len(fields) == 1 else {field: record.get(field) for field in fields}
