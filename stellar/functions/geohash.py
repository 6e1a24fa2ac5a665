"""Geohashes: strings that name cells on the earth; the longer the string, the smaller the cell."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from itertools import combinations
from typing import Any

from stellar.language.conversions import to_double, to_integer
from stellar.language.library import stellar
from stellar.language.runtime import describe
from stellar.util.abbreviate import quote

# Default of arguments for which omitted and null differ
_MISSING: Any = object()
_DIGITS = "0123456789bcdefghjkmnpqrstuvwxyz"
_VALUES = {digit: value for value, digit in enumerate(_DIGITS)}
_LONGEST = 12
_EARTH_RADIUS = 6371.0087714  # kilometers

Coordinates = tuple[float, float]  # latitude and longitude in degrees


@stellar("GEOHASH_FROM_LATLONG", pure=True)
def geohash_from_latlong(latitude: object = None, longitude: object = None, precision: object = _LONGEST) -> str | None:
    """Return the geohash of a latitude and a longitude.

    latitude: Degrees north, from -90 to 90
    longitude: Degrees east, from -180 to 180
    precision: Number of characters, at most 12; 12 by default
    returns: The geohash; null if the latitude or the longitude is not a number

        GEOHASH_FROM_LATLONG(48.669, -4.329)  // 'gbsuv7ztqzpt'
        GEOHASH_FROM_LATLONG('48.669', '-4.329', 5)  // 'gbsuv'
        GEOHASH_FROM_LATLONG(48.669, null)  // null
        GEOHASH_FROM_LATLONG(100, 200)  // error
    """
    north, east = to_double(latitude), to_double(longitude)
    return None if north is None or east is None else _encode((north, east), _require_precision(precision))


@stellar("GEOHASH_FROM_LOC", pure=True)
def geohash_from_loc(location: Mapping[str, Any] | None = None, precision: object = _LONGEST) -> str | None:
    """Return the geohash of a location as GEO_GET returns it.

    location: Map with `latitude` and `longitude`
    precision: Number of characters, at most 12; 12 by default
    returns: The geohash; null if the map is null, or if latitude or longitude is missing or not a number

        GEOHASH_FROM_LOC({'latitude' : '48.669', 'longitude' : '-4.329'})  // 'gbsuv7ztqzpt'
        GEOHASH_FROM_LOC({'latitude' : 48.669})  // null
        GEOHASH_FROM_LOC(null)  // null
        GEOHASH_FROM_LOC({'latitude' : 0, 'longitude' : 0}, 13)  // error
    """
    if location is None:
        return None
    return geohash_from_latlong(location.get("latitude"), location.get("longitude"), precision)


@stellar("GEOHASH_TO_LATLONG", pure=True)
def geohash_to_latlong(hash_: str | None = None) -> dict[str, float] | None:
    """Return the center of a geohash's cell.

    hash: The geohash
    returns: Map with `latitude` and `longitude` in degrees; null for null

        GEOHASH_TO_LATLONG('gbsuv')  // {'latitude' : 48.66943359375, 'longitude' : -4.32861328125}
        GEOHASH_TO_LATLONG('')  // {'latitude' : 0.0, 'longitude' : 0.0}
        GEOHASH_TO_LATLONG(null)  // null
        GEOHASH_TO_LATLONG('GBSUV')  // error
    """
    if hash_ is None:
        return None
    latitude, longitude = _decode(hash_)
    return {"latitude": latitude, "longitude": longitude}


@stellar("GEOHASH_DIST", pure=True)
def geohash_dist(hash1: object = None, hash2: Any = _MISSING, strategy: object = "HAVERSINE") -> float | None:
    """Return the great-circle distance between the centers of two geohashes.

    hash1: The first geohash
    hash2: The second geohash
    strategy: The formula: HAVERSINE (the default), LAW_OF_COSINES or VICENTY; results differ by less than a millimeter
    returns: The distance in kilometers; null if a geohash is null

        ROUND(GEOHASH_DIST('gbsuv', 'u4pru'))  // 1393.0
        GEOHASH_DIST('gbsuv', 'gbsuv', 'VICENTY')  // 0.0
        GEOHASH_DIST('gbsuv', null)  // null
        GEOHASH_DIST('gbsuv', 'u4pru', 'BY_ROAD')  // error
    """
    if hash1 is None or hash2 is _MISSING:
        return None
    one = _decode(hash1)
    return None if hash2 is None else _compute_distance(one, _decode(hash2), _find_strategy(strategy))


@stellar("GEOHASH_MAX_DIST", pure=True)
def geohash_max_dist(hashes: Iterable[Any] | None = None, strategy: object = "HAVERSINE") -> float | None:
    """Return the greatest distance between any two of several geohashes.

    hashes: List or set of geohashes; nulls in it are ignored
    strategy: The formula: HAVERSINE (the default), LAW_OF_COSINES or VICENTY
    returns: The distance in kilometers; 0.0 for a single geohash; NaN if the list is empty; null for null

        ROUND(GEOHASH_MAX_DIST(['gbsuv', 'u4pru', 'gbsuw']))  // 1395.0
        GEOHASH_MAX_DIST(['gbsuv'])  // 0.0
        GEOHASH_MAX_DIST([])  // NaN
        GEOHASH_MAX_DIST(null)  // null
        GEOHASH_MAX_DIST(['elsewhere'])  // error
    """
    if hashes is None:
        return None
    angle = _find_strategy(strategy)
    points = [_decode(one) for one in hashes if one is not None]
    if not points:
        return math.nan
    return max((_compute_distance(one, other, angle) for one, other in combinations(points, 2)), default=0.0)


@stellar("GEOHASH_CENTROID", pure=True)
def geohash_centroid(hashes: object = None, precision: object = _LONGEST) -> str | None:
    """Return the geohash of the centroid of several geohashes.

    hashes: List or set of geohashes, or a map of geohashes to weights
    precision: Number of characters, at most 12; 12 by default
    returns: The geohash; null for null and if there are no geohashes

        GEOHASH_CENTROID(['gbsuv', 'u4pru'])  // 'u13xekujrdf9'
        GEOHASH_CENTROID({'gbsuv' : 1, 'u4pru' : 3}, 5)  // 'u1uk5'
        GEOHASH_CENTROID([])  // null
        GEOHASH_CENTROID(null)  // null
        GEOHASH_CENTROID(['elsewhere'])  // error
    """
    if isinstance(hashes, Mapping):
        weighted = [(_decode(one), _require_weight(weight)) for one, weight in hashes.items() if one is not None]
    elif isinstance(hashes, list | tuple | set | frozenset):
        weighted = [(_decode(one), 1) for one in hashes if one is not None]
    else:
        return None
    if not weighted:
        return None
    if isinstance(precision, bool) or not isinstance(precision, int):
        raise ValueError(f"invalid precision of a geohash: expected an integer, got {describe(precision)}")
    return _encode(_centroid(weighted), _require_precision(precision))


# -- Encoding and decoding --------------------------------------------------------------------------------------------


def _require_precision(precision: object) -> int:
    characters = to_integer(precision)
    if characters is None or characters > _LONGEST:
        raise ValueError(
            f"invalid precision of a geohash: expected an integer up to {_LONGEST}, got {describe(precision)}"
        )
    return characters


def _encode(point: Coordinates, characters: int) -> str:
    latitude, longitude = point
    if abs(latitude) > 90 or abs(longitude) > 180:
        raise ValueError(f"coordinates out of range: latitude {latitude}, longitude {longitude}")
    ranges = [[-180.0, 180.0], [-90.0, 90.0]]
    digits = []
    for index in range(characters):
        value = 0
        for bit in range(index * 5, index * 5 + 5):
            low, high = ranges[bit % 2]
            middle = (low + high) / 2
            upper = (longitude, latitude)[bit % 2] >= middle
            ranges[bit % 2][not upper] = middle
            value = value * 2 + upper
        digits.append(_DIGITS[value])
    return "".join(digits)


def _decode(geohash: object) -> Coordinates:
    if not isinstance(geohash, str):
        raise ValueError(f"expected a string as geohash, got {describe(geohash)}")
    ranges = [[-180.0, 180.0], [-90.0, 90.0]]
    for index, digit in enumerate(geohash):
        if digit not in _VALUES:
            raise ValueError(f"invalid geohash {geohash[:40]!r}: {quote(digit)} is not one of {_DIGITS}")
        for bit in range(5):
            side = ranges[(index * 5 + bit) % 2]
            side[not _VALUES[digit] >> (4 - bit) & 1] = sum(side) / 2
    longitude, latitude = (sum(side) / 2 for side in ranges)
    return latitude, longitude


def _require_weight(weight: object) -> float:
    if isinstance(weight, bool) or not isinstance(weight, int | float):
        raise ValueError(f"expected a number as weight of a geohash, got {describe(weight)}")
    number = to_double(weight)
    assert number is not None  # every number is convertible
    return number


def _centroid(weighted: list[tuple[Coordinates, float]]) -> Coordinates:
    """Return the direction of the weighted mean of the unit vectors from the center of the earth."""
    total = sum(weight for _, weight in weighted)
    if not total or not math.isfinite(total):
        raise ValueError("the weights of the geohashes must have a sum other than 0")
    x = y = z = 0.0
    for (latitude, longitude), weight in weighted:
        north, east = math.radians(latitude), math.radians(longitude)
        x += math.cos(north) * math.cos(east) * weight
        y += math.cos(north) * math.sin(east) * weight
        z += math.sin(north) * weight
    x, y, z = x / total, y / total, z / total
    return math.degrees(math.atan2(z, math.sqrt(x * x + y * y))), math.degrees(math.atan2(y, x))


# -- Distances --------------------------------------------------------------------------------------------------------

Angle = Callable[[float, float, float, float], float]


def _find_strategy(name: object) -> Angle:
    if not isinstance(name, str) or name not in _STRATEGIES:
        raise ValueError(f"unknown strategy {describe(name)}: expected one of {', '.join(_STRATEGIES)}")
    return _STRATEGIES[name]


def _compute_distance(one: Coordinates, other: Coordinates, angle: Angle) -> float:
    if one == other:
        return 0.0
    return angle(*map(math.radians, (*one, *other))) * _EARTH_RADIUS


def _haversine(north_1: float, east_1: float, north_2: float, east_2: float) -> float:
    across = math.sin((east_1 - east_2) * 0.5)
    along = math.sin((north_1 - north_2) * 0.5)
    h = min(1.0, along * along + math.cos(north_1) * math.cos(north_2) * across * across)
    return 2 * math.atan2(math.sqrt(h), math.sqrt(1 - h))


def _law_of_cosines(north_1: float, east_1: float, north_2: float, east_2: float) -> float:
    cosine = math.sin(north_1) * math.sin(north_2) + math.cos(north_1) * math.cos(north_2) * math.cos(east_2 - east_1)
    return math.acos(max(-1.0, min(1.0, cosine)))


def _vincenty(north_1: float, east_1: float, north_2: float, east_2: float) -> float:
    east = east_2 - east_1
    a = math.cos(north_2) * math.sin(east)
    b = math.cos(north_1) * math.sin(north_2) - math.sin(north_1) * math.cos(north_2) * math.cos(east)
    c = math.sin(north_1) * math.sin(north_2) + math.cos(north_1) * math.cos(north_2) * math.cos(east)
    return math.atan2(math.sqrt(a * a + b * b), c)


_STRATEGIES: dict[str, Angle] = {
    "HAVERSINE": _haversine,
    "LAW_OF_COSINES": _law_of_cosines,
    "VICENTY": _vincenty,  # Metron's spelling
}
