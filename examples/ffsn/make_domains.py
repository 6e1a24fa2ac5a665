"""Writes domains with the DNS records that were seen for them in an hour, as JSON lines.

    python make_domains.py --domains 20000 --seed 1 --labels > training.jsonl
    python make_domains.py --domains 5000 --seed 2 > domains.jsonl

A line has a domain and, for each address, the autonomous system and country of it and the time to live. Of a thousand
domains, 959 are sites with a few addresses, 25 use a content delivery network, 6 are pools of volunteers, such as those
of time servers, and 10 are fluxing: the addresses are those of the computers of a botnet, in the networks of many
providers. `label` is 1 for these. The last line is `astro-travels.net`, a domain of a botnet with 157 systems in 11
countries.
"""

from __future__ import annotations

import argparse
import json
import random
from collections.abc import Iterator
from typing import Any

START = 1_780_272_000_000  # 2026-06-01T00:00:00Z
_WORDS = """
    astro travel book shop cloud media photo garden music sport news home data river paper light stone green north west
    blue city road table chair lamp bread salt sugar coffee tea plant tree lake hill sand snow rain storm wind boat
    train plane wheel clock watch glass metal wood wool silk art film story game puzzle school coach health
"""
_COUNTRIES = """
    US DE FR GB NL PL RU UA BR IN CN JP KR VN TH ID TR IT ES PT SE NO FI DK CZ AT CH BE RO BG GR HU RS HR SK SI LT LV EE
    IE CA MX AR CL CO PE ZA EG NG KE MA IL SA AE PK BD MY SG PH AU NZ TW HK
"""
WORDS, COUNTRIES = _WORDS.split(), _COUNTRIES.split()
SYSTEMS = range(64_512, 65_535)
ADDRESSES = 2**17  # of 198.18.0.0/15
DELIVERY = ((13_335, 0.7), (16_509, 0.2), (20_940, 0.1))

Records = list[tuple[str, int, str, int]]  # address, system, country, time to live


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--domains", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--labels", action="store_true", help="add the field label")
    options = parser.parse_args()
    for domain in make_domains(options.domains, options.seed):
        if not options.labels:
            del domain["label"]
        print(json.dumps(domain))


def make_domains(count: int, seed: int) -> Iterator[dict[str, Any]]:
    """Yield domains, the last of which is `astro-travels.net`."""
    chance = random.Random(seed)
    names: set[str] = set()
    for number in range(count - 1):
        kind = chance.choices((make_site, make_delivered, make_pool, make_fluxing), (959, 25, 6, 10))[0]
        name, records = kind(chance)
        while name in names:
            name = make_name(chance)
        names.add(name)
        yield make_domain(name, records, number, kind is make_fluxing)
    yield make_domain("astro-travels.net", flux(chance, 240, 157, 11), count - 1, True)


def make_domain(name: str, records: Records, number: int, is_fluxing: bool) -> dict[str, Any]:
    addresses, systems, countries, ttls = zip(*records, strict=True)
    return {
        "timestamp": START + number * 100,
        "domain": name,
        "addresses": addresses,
        "systems": systems,
        "countries": countries,
        "ttls": ttls,
        "label": int(is_fluxing),
    }


def make_site(chance: random.Random) -> tuple[str, Records]:
    """A site at one provider."""
    system, country = chance.choice(SYSTEMS), chance.choice(COUNTRIES)
    ttl = chance.choice((300, 900, 3600, 14_400, 86_400))
    records = [(make_address(chance), system, country, ttl) for _ in range(chance.choice((1, 1, 1, 2, 2, 4)))]
    return make_name(chance), records


def make_delivered(chance: random.Random) -> tuple[str, Records]:
    """A site of a content delivery network: many addresses and countries, but few systems."""
    systems, weights = zip(*DELIVERY, strict=True)
    countries = chance.sample(COUNTRIES, chance.randint(3, 25))
    ttl = chance.choice((20, 60, 60, 300))
    number = chance.randint(8, 120)
    return make_name(chance), [
        (make_address(chance), chance.choices(systems, weights)[0], chance.choice(countries), ttl)
        for _ in range(number)
    ]


def make_pool(chance: random.Random) -> tuple[str, Records]:
    """A pool of volunteers: as many systems as a botnet has, but spread evenly over the countries."""
    number = chance.randint(40, 250)
    systems = round(number * chance.uniform(0.4, 0.9))
    records = flux(chance, number, systems, chance.randint(8, 50), evenness=chance.uniform(0.5, 1))
    ttl = chance.choice((150, 300, 900, 3600))
    return make_name(chance), [(*record[:3], ttl) for record in records]


def make_fluxing(chance: random.Random) -> tuple[str, Records]:
    """A domain of a botnet."""
    number = chance.randint(12, 400)
    systems = max(4, round(number * chance.uniform(0.35, 0.95)))
    name = make_name(chance) if chance.random() < 0.5 else make_random_name(chance)
    return name, flux(chance, number, systems, chance.randint(2, 30))


def flux(chance: random.Random, number: int, systems: int, countries: int, evenness: float = 0) -> Records:
    """Return records of addresses in a number of systems, each of which is in one country.

    evenness: 0 if few countries have most systems, 1 if all have as many
    """
    chosen = chance.sample(COUNTRIES, min(countries, systems))
    weights = [rank ** (evenness - 1) for rank in range(1, len(chosen) + 1)]
    spread = chosen + chance.choices(chosen, weights, k=systems - len(chosen))
    located = list(zip(chance.sample(SYSTEMS, systems), spread, strict=True))
    located += chance.choices(located, k=max(0, number - systems))
    ttls = chance.choice(((60,), (150,), (300,), (60, 120, 180), (0, 150, 300)))
    return [(make_address(chance), *place, chance.choice(ttls)) for place in located]


def make_address(chance: random.Random) -> str:
    number = chance.randrange(ADDRESSES)
    return f"198.{18 + (number >> 16)}.{number >> 8 & 255}.{number & 255}"


def make_name(chance: random.Random) -> str:
    words = chance.sample(WORDS, chance.randint(2, 3))
    number = str(chance.randint(1, 99)) if chance.random() < 0.15 else ""
    return f"{chance.choice(('', '-')).join(words)}{number}.{chance.choice(('com', 'net', 'org', 'info'))}"


def make_random_name(chance: random.Random) -> str:
    letters = "".join(chance.choices("abcdefghijklmnopqrstuvwxyz0123456789", k=chance.randint(8, 16)))
    return f"{letters}.{chance.choice(('com', 'net', 'biz', 'info'))}"


if __name__ == "__main__":
    main()
