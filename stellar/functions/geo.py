"""Where in the world an address is, and whose network it is in: look-ups in databases in MaxMind's format.

They need the extra `geo`; addresses such as `hdfs://…` and `s3://…`, the extra `files`.
"""

from __future__ import annotations

import gzip
import io
import ipaddress
import tarfile
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from stellar.language.context import Context, GlobalSettings
from stellar.language.conversions import to_text
from stellar.language.library import stellar
from stellar.util.cached_properties import cached_property
from stellar.util.filesystems import read
from stellar.util.optional_imports import needed

D = TypeVar("D")

GEO_KEY, ASN_KEY = "geo.hdfs.file", "asn.hdfs.file"


class _Database:
    """A file in MaxMind's format: `.mmdb`, or that within `.gz` or `.tar.gz`. It is read when first asked.

    path: a local path, or an address that fsspec can open, such as `hdfs://…` or `s3://…`
    """

    def __init__(self, path: str) -> None:
        self.path = path

    @cached_property
    def _reader(self) -> Any:
        maxminddb = needed("maxminddb", "geo")
        try:
            return maxminddb.open_database(io.BytesIO(_contents(self.path)), maxminddb.MODE_FD)
        except (OSError, EOFError, tarfile.TarError, maxminddb.InvalidDatabaseError) as error:
            raise LookupError(f"the database {self.path} can't be read: {error}") from error

    def find(self, ip: str) -> Mapping[str, Any] | None:
        """What the database says of an IPv4 address; None for what is not one, or is of no public network."""
        try:
            address = ipaddress.IPv4Address(ip)
        except ValueError:
            return None
        if address.is_unspecified or address.is_loopback or address.is_multicast or _is_site_local(address):
            return None
        found = self._reader.get(address)
        return found if isinstance(found, Mapping) else None


_SITE_LOCAL = tuple(map(ipaddress.IPv4Network, ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16")))


def _is_site_local(address: ipaddress.IPv4Address) -> bool:
    return any(address in network for network in _SITE_LOCAL)


def _contents(path: str) -> bytes:
    data = read(path)
    if path.endswith((".tar.gz", ".tgz")):
        return _member(data, path)
    return gzip.decompress(data) if path.endswith(".gz") else data


def _member(data: bytes, path: str) -> bytes:
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        for member in archive:
            if member.name.endswith(".mmdb") and (file := archive.extractfile(member)) is not None:
                return file.read()
    raise LookupError(f"there is no .mmdb file in {path}")


class GeoDatabase(_Database):
    """Cities by address, such as GeoLite2-City."""

    def look_up(self, ip: str) -> dict[str, str] | None:
        """The place of an address, all of it texts; None if it is not known."""
        found = self.find(ip)
        if found is None:
            return None
        location = found.get("location", {})
        latitude, longitude = _text(location.get("latitude")), _text(location.get("longitude"))
        return {
            "locID": _text(found.get("city", {}).get("geoname_id")),
            "country": _text(found.get("country", {}).get("iso_code")),
            "city": _text(found.get("city", {}).get("names", {}).get("en")),
            "postalCode": _text(found.get("postal", {}).get("code")),
            "dmaCode": _text(location.get("metro_code")),
            "latitude": latitude,
            "longitude": longitude,
            "location_point": f"{latitude},{longitude}" if latitude and longitude else "",
        }


def _text(value: object) -> str:
    return "" if value is None else to_text(value)


class AsnDatabase(_Database):
    """Autonomous systems by address, such as GeoLite2-ASN."""

    def look_up(self, ip: str) -> dict[str, Any] | None:
        """The autonomous system of an address; None if it is not known."""
        found = self.find(ip)
        if found is None:
            return None
        return {
            "autonomous_system_number": found.get("autonomous_system_number"),
            "autonomous_system_organization": found.get("autonomous_system_organization"),
            "network": ip,  # as in Metron, which gives the address here
        }


@stellar("GEO_GET", surplus="refuse", blocks=False)
def geo_get(context: Context, ip: object, fields: object = ()) -> Any:
    """Where an IPv4 address is: locID, country, city, postalCode, dmaCode, latitude, longitude and location_point.

    ip: The address
    fields: The list of the fields to give; all of them if left out
    returns: A map of the fields, all of them texts; the field itself, if there is but one; an empty map, or null where
        fields are named, if the address is not known; null if it is blank

    The database is the file that `geo.hdfs.file` of the global configuration names.
    """
    return _answer(ip, fields, lambda: context.get_or_make(GeoDatabase, _opener(GeoDatabase, GEO_KEY)).look_up)


@stellar("ASN_GET", surplus="refuse", blocks=False)
def asn_get(context: Context, ip: object, fields: object = ()) -> Any:
    """Whose network an IPv4 address is in: autonomous_system_number, autonomous_system_organization and network.

    ip: The address
    fields: The list of the fields to give; all of them if left out
    returns: A map of the fields; the field itself, if there is but one; an empty map, or null where fields are named,
        if the address is not known; null if it is blank

    The database is the file that `asn.hdfs.file` of the global configuration names. As in Metron, network is
    the address itself.
    """
    return _answer(ip, fields, lambda: context.get_or_make(AsnDatabase, _opener(AsnDatabase, ASN_KEY)).look_up)


def _opener(kind: Callable[[str], D], key: str) -> Callable[[GlobalSettings], D]:
    def opened(settings: GlobalSettings) -> D:
        path = settings.get(key)
        if not isinstance(path, str) or not path:
            raise LookupError(f"this needs a database: set {key} in the global configuration to its path")
        return kind(path)

    return opened


def _answer(ip: object, fields: object, look_up: Callable[[], Callable[[str], dict[str, Any] | None]]) -> Any:
    if fields == ():
        if not isinstance(ip, str) or not ip.strip():
            return None
        found = look_up()(ip)
        return {} if found is None else found
    if not isinstance(fields, list) or not isinstance(ip, str):
        return None
    found = look_up()(ip)
    if found is None:
        return None
    return found.get(fields[0]) if len(fields) == 1 else {field: found.get(field) for field in fields}
