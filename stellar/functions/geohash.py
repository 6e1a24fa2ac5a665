"""Geohashes: short texts that stand for cells on the earth, the longer the smaller."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from itertools import combinations
from typing import Any

from stellar.language.conversions import to_double, to_integer
from stellar.language.library import stellar
from stellar.language.runtime import described

# An argument that was not given, where that is not the same as null
_MISSING: Any = object()
_DIGITS = "0123456789bcdefghjkmnpqrstuvwxyz"
_VALUES = {digit: value for value, digit in enumerate(_DIGITS)}
_LONGEST = 12
_EARTH_RADIUS = 6371.0087714  # kilometres

Place = tuple[float, float]  # latitude and longitude in degrees


@stellar("GEOHASH_FROM_LATLONG")
def geohash_from_latlong(latitude: object = None, longitude: object = None, precision: object = _LONGEST) -> str | None:
    """The geohash of a place.

    latitude: Degrees north, from -90 to 90
    longitude: Degrees east, from -180 to 180
    precision: How many characters, 12 at most
    returns: The geohash; null if the latitude or the longitude is no number

        GEOHASH_FROM_LATLONG(48.669, -4.329)  // 'gbsuv7ztqzpt'
        GEOHASH_FROM_LATLONG('48.669', '-4.329', 5)  // 'gbsuv'
        GEOHASH_FROM_LATLONG(48.669, null)  // null
        GEOHASH_FROM_LATLONG(100, 200)  // error
    """
    north, east = to_double(latitude), to_double(longitude)
    return None if north is None or east is None else _encoded((north, east), _precision(precision))


@stellar("GEOHASH_FROM_LOC")
def geohash_from_loc(location: Mapping[str, Any] | None = None, precision: object = _LONGEST) -> str | None:
    """The geohash of a place that GEO_GET found.

    location: A map with `latitude` and `longitude`
    precision: How many characters, 12 at most
    returns: The geohash; null if the map is null, or one of the two is missing or no number

        GEOHASH_FROM_LOC({'latitude' : '48.669', 'longitude' : '-4.329'})  // 'gbsuv7ztqzpt'
        GEOHASH_FROM_LOC({'latitude' : 48.669})  // null
        GEOHASH_FROM_LOC(null)  // null
        GEOHASH_FROM_LOC({'latitude' : 0, 'longitude' : 0}, 13)  // error
    """
    if location is None:
        return None
    return geohash_from_latlong(location.get("latitude"), location.get("longitude"), precision)


@stellar("GEOHASH_TO_LATLONG")
def geohash_to_latlong(hash_: str | None = None) -> dict[str, float] | None:
    """The place that a geohash stands for: the middle of its cell.

    hash: The geohash
    returns: A map of `latitude` and `longitude` in degrees; null for null

        GEOHASH_TO_LATLONG('gbsuv')  // {'latitude' : 48.66943359375, 'longitude' : -4.32861328125}
        GEOHASH_TO_LATLONG('')  // {'latitude' : 0.0, 'longitude' : 0.0}
        GEOHASH_TO_LATLONG(null)  // null
        GEOHASH_TO_LATLONG('GBSUV')  // error
    """
    if hash_ is None:
        return None
    latitude, longitude = _decoded(hash_)
    return {"latitude": latitude, "longitude": longitude}


@stellar("GEOHASH_DIST")
def geohash_dist(hash1: object = None, hash2: Any = _MISSING, strategy: object = "HAVERSINE") -> float | None:
    """The distance between the middles of two geohashes, on a sphere.

    hash1: A geohash
    hash2: Another one
    strategy: How to calculate: HAVERSINE, LAW_OF_COSINES or VICENTY; they differ by less than a millimetre
    returns: Kilometres; null if one is null

        ROUND(GEOHASH_DIST('gbsuv', 'u4pru'))  // 1393.0
        GEOHASH_DIST('gbsuv', 'gbsuv', 'VICENTY')  // 0.0
        GEOHASH_DIST('gbsuv', null)  // null
        GEOHASH_DIST('gbsuv', 'u4pru', 'BY_ROAD')  // error
    """
    if hash1 is None or hash2 is _MISSING:
        return None
    one = _decoded(hash1)
    return None if hash2 is None else _distance(one, _decoded(hash2), _strategy(strategy))


@stellar("GEOHASH_MAX_DIST")
def geohash_max_dist(hashes: Iterable[Any] | None = None, strategy: object = "HAVERSINE") -> float | None:
    """The greatest distance between two of several geohashes, on a sphere.

    hashes: The list or set of the geohashes; nulls in it are left out
    strategy: How to calculate: HAVERSINE, LAW_OF_COSINES or VICENTY
    returns: Kilometres; 0.0 if there is one geohash, NaN if there is none; null for null

        ROUND(GEOHASH_MAX_DIST(['gbsuv', 'u4pru', 'gbsuw']))  // 1395.0
        GEOHASH_MAX_DIST(['gbsuv'])  // 0.0
        GEOHASH_MAX_DIST([])  // NaN
        GEOHASH_MAX_DIST(null)  // null
        GEOHASH_MAX_DIST(['elsewhere'])  // error
    """
    if hashes is None:
        return None
    angle = _strategy(strategy)
    places = [_decoded(one) for one in hashes if one is not None]
    if not places:
        return math.nan
    return max((_distance(one, other, angle) for one, other in combinations(places, 2)), default=0.0)


@stellar("GEOHASH_CENTROID")
def geohash_centroid(hashes: object = None, precision: object = _LONGEST) -> str | None:
    """The geohash of the middle of several ones.

    hashes: The list or set of the geohashes, or a map of each to its weight
    precision: How many characters, 12 at most
    returns: The geohash; null for null, and if there is none

        GEOHASH_CENTROID(['gbsuv', 'u4pru'])  // 'u13xekujrdf9'
        GEOHASH_CENTROID({'gbsuv' : 1, 'u4pru' : 3}, 5)  // 'u1uk5'
        GEOHASH_CENTROID([])  // null
        GEOHASH_CENTROID(null)  // null
        GEOHASH_CENTROID(['elsewhere'])  // error
    """
    if isinstance(hashes, Mapping):
        weighted = [(_decoded(one), _weight(weight)) for one, weight in hashes.items() if one is not None]
    elif isinstance(hashes, list | tuple | set | frozenset):
        weighted = [(_decoded(one), 1) for one in hashes if one is not None]
    else:
        return None
    if not weighted:
        return None
    if isinstance(precision, bool) or not isinstance(precision, int):
        raise ValueError(f"the precision of a geohash is a whole number, not {described(precision)}")
    return _encoded(_middle(weighted), _precision(precision))


# -- Texts and places -------------------------------------------------------------------------------------------------


def _precision(precision: object) -> int:
    characters = to_integer(precision)
    if characters is None or characters > _LONGEST:
        raise ValueError(f"the precision of a geohash is a whole number up to {_LONGEST}, not {described(precision)}")
    return characters


def _encoded(place: Place, characters: int) -> str:
    latitude, longitude = place
    if abs(latitude) > 90 or abs(longitude) > 180:
        raise ValueError(f"there is no place at latitude {latitude} and longitude {longitude}")
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


def _decoded(geohash: object) -> Place:
    if not isinstance(geohash, str):
        raise ValueError(f"a geohash is a text, not {described(geohash)}")
    ranges = [[-180.0, 180.0], [-90.0, 90.0]]
    for index, digit in enumerate(geohash):
        if digit not in _VALUES:
            raise ValueError(f"{geohash[:40]!r} is no geohash: {digit!r} is none of its digits, {_DIGITS}")
        for place in range(5):
            side = ranges[(index * 5 + place) % 2]
            side[not _VALUES[digit] >> (4 - place) & 1] = sum(side) / 2
    longitude, latitude = (sum(side) / 2 for side in ranges)
    return latitude, longitude


def _weight(weight: object) -> float:
    if isinstance(weight, bool) or not isinstance(weight, int | float):
        raise ValueError(f"the weight of a geohash is a number, not {described(weight)}")
    number = to_double(weight)
    assert number is not None  # any number becomes one
    return number


def _middle(weighted: list[tuple[Place, float]]) -> Place:
    """The direction of the weighted mean of the directions from the middle of the earth."""
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


def _strategy(name: object) -> Angle:
    if not isinstance(name, str) or name not in _STRATEGIES:
        raise ValueError(f"distances are calculated by {', '.join(_STRATEGIES)}, not by {described(name)}")
    return _STRATEGIES[name]


def _distance(one: Place, other: Place, angle: Angle) -> float:
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
    "VICENTY": _vincenty,  # so Metron spells it
}
