"""Functions of the library, compared with equivalent hand-written Python code."""

from __future__ import annotations

import base64
import hashlib
import json
import random
import re
import statistics
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from ipaddress import IPv4Network, ip_address
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from benchmarks.language import BY_HAND
from benchmarks.measure import Slice, geometric_mean, interleave, over_next
from benchmarks.peers import Compile, Evaluate
from benchmarks.report import Finding, GroupResult, Limit, Quantity, Table, ratio
from benchmarks.tasks import Record, host, same

if TYPE_CHECKING:
    from publicsuffixlist import PublicSuffixList

RECORDS_A_SLICE = 1000
# More than the caches of the library hold, so that no result is cached
BEYOND_CACHES = 10_000
CACHED = ("URL_", "DOMAIN_", "IN_SUBNET")

GEOMEAN = Limit("geomean of functions, to Python written by hand", must=2, aim=1.5)


@dataclass(frozen=True)
class Pair:
    """An expression, and the equivalent Python function, for known types and with Stellar's treatment of null.

    means: the Python functions that are used, for the table
    needs: fields that must not be null, for which the result depends on the clock, is NaN or an error
    state: fields that accumulate over the records, with their initial values as expressions or Python functions
    afterwards: for such fields, an expression and a Python function whose results must agree after some records; the
        results for single records are not compared then
    """

    stellar: str
    means: str
    by_hand: Callable[[Record], Any]
    needs: tuple[str, ...] = ()
    state: dict[str, str | Callable[[], Any]] = field(default_factory=dict)
    afterwards: tuple[str, Callable[[Record], Any]] | None = None


# -- Regular expressions ----------------------------------------------------------------------------------------------

_NAME = re.compile(r"[a-z0-9.-]+\.(com|org)")
_FAILED = re.compile(r".*sshd.*Failed password.*")
_LABELS = re.compile(r"([a-z0-9-]+\.)+(com|org)")
_USER = re.compile(r".* for (\w+) from .*")
_DIGITS = re.compile(r"\d+")
_FROM = re.compile(r"from (\S+) port (\d+)")


def matches(pattern: re.Pattern[str], field_: str) -> Callable[[Record], bool]:
    def by_hand(record: Record) -> bool:
        text = record.get(field_)
        return text is not None and pattern.fullmatch(text) is not None

    return by_hand


def group(record: Record) -> str | None:
    line = record.get("line")
    match = None if line is None else _USER.fullmatch(line)
    return None if match is None else match[1]


def without_digits(record: Record) -> str | None:
    line = record.get("line")
    return None if line is None else _DIGITS.sub("#", line)


def swap(record: Record) -> str | None:
    line = record.get("line")
    return None if line is None else _FROM.sub(r"\2@\1", line)


# -- Dates and formats ------------------------------------------------------------------------------------------------

_NEW_YORK = ZoneInfo("America/New_York")


def date(record: Record) -> str | None:
    time = record.get("time")
    return None if time is None else datetime.fromtimestamp(time / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S")


def date_there(record: Record) -> str | None:
    time = record.get("time")
    if time is None:
        return None
    return datetime.fromtimestamp(time / 1000, _NEW_YORK).strftime("%a, %d %b %Y %H:%M %Z")


def epoch(record: Record) -> int | None:
    text = record.get("date")
    if text is None:
        return None
    return int(datetime.strptime(text, "%Y-%m-%d %H:%M:%S").replace(tzinfo=UTC).timestamp() * 1000)


def epoch_there(record: Record) -> int | None:
    text = record.get("date")
    if text is None:
        return None
    return int(datetime.strptime(text, "%Y-%m-%d %H:%M:%S").replace(tzinfo=_NEW_YORK).timestamp() * 1000)


def format_pair(record: Record) -> str:
    user, count = record.get("user"), record.get("count")
    return "%s-%s" % ("null" if user is None else user, "null" if count is None else count)  # noqa: UP031


def with_decimals(record: Record) -> str | None:
    user, share = record.get("user"), record.get("share")
    if user is None:
        return "null        |nu| null"
    return "%-12s|%.2f|%05d" % (user, share, record.get("count"))  # noqa: UP031


# -- The network ------------------------------------------------------------------------------------------------------

_TEN = IPv4Network("10.0.0.0/8")
_OFFICE = IPv4Network("192.168.0.0/16")


def url_host(record: Record) -> str | None:
    return host(record.get("url"))


def url_port(record: Record) -> int | None:
    url = record.get("referrer")
    if url is None:
        return None
    parts = urlsplit(url)
    return parts.port or {"http": 80, "https": 443, "ftp": 21}.get(parts.scheme, -1)


def url_path(record: Record) -> str | None:
    url = record.get("location")
    return None if url is None else urlsplit(url).path


@cache
def _suffixes() -> PublicSuffixList:
    from publicsuffixlist import PublicSuffixList  # only this task needs the list

    return PublicSuffixList()


def find_registered_domain(record: Record) -> str | None:
    name = record.get("host")
    return None if name is None else _suffixes().privatesuffix(name)


def in_subnets(record: Record) -> bool:
    text = record.get("ip")
    if text is None:
        return False
    ip = ip_address(text)
    return any(net.network_address < ip < net.broadcast_address for net in (_OFFICE, _TEN) if ip in net)


def is_ip(record: Record) -> bool:
    try:
        ip_address(record.get("ip"))
    except ValueError:
        return False
    return True


# -- Texts ------------------------------------------------------------------------------------------------------------


def digest(algorithm: Callable[..., Any]) -> Callable[[Record], str]:
    zeros = algorithm().digest_size * 2 * "0"

    def by_hand(record: Record) -> str:
        line = record.get("line")
        return zeros if line is None else algorithm(line.encode()).hexdigest()

    return by_hand


def encode(record: Record) -> str | None:
    line = record.get("line")
    return None if line is None else base64.b64encode(line.encode()).decode()


def decode(record: Record) -> str | None:
    text = record.get("base64")
    return None if text is None else base64.b64decode(text).decode()


def hexadecimal(record: Record) -> str | None:
    line = record.get("line")
    return None if line is None else line.encode().hex()


def from_hexadecimal(record: Record) -> str | None:
    text = record.get("hex")
    return None if text is None else bytes.fromhex(text).decode()


def from_json(record: Record) -> Any:
    text = record.get("json")
    return None if text is None else json.loads(text)


def split(record: Record) -> list[str]:
    line = record.get("line")
    return [] if line is None else line.split(" ")


def join(record: Record) -> str:
    words = record.get("words")
    return "" if words is None else ", ".join(words)


def score(record: Record) -> int:
    """Score the characters of a query that occur in a string in order: 1 each, and 2 more if adjacent."""
    term, query = record.get("host"), record.get("user")
    if term is None or query is None:
        return 0
    term, query = term.lower(), query.lower()
    points, at, last = 0, 0, -2
    for letter in query:
        while at < len(term):
            at += 1
            if term[at - 1] == letter:
                points += 3 if last == at - 2 else 1
                last = at - 1
                break
    return points


def geohash(record: Record) -> str | None:
    latitude, longitude = record.get("latitude"), record.get("longitude")
    if latitude is None or longitude is None:
        return None
    south, north, west, east = -90.0, 90.0, -180.0, 180.0
    digits = ""
    bits = value = 0
    while len(digits) < 8:
        if bits % 2 == len(digits) % 2:  # a digit has five bits, so the first coordinate alternates
            middle = (west + east) / 2
            upper = longitude >= middle
            west, east = (middle, east) if upper else (west, middle)
        else:
            middle = (south + north) / 2
            upper = latitude >= middle
            south, north = (middle, north) if upper else (south, middle)
        value = value * 2 + upper
        bits += 1
        if bits == 5:
            digits += "0123456789bcdefghjkmnpqrstuvwxyz"[value]
            bits = value = 0
    return digits


# -- State over many records -------------------------------------------------------------------------------------


class Welford:
    """The running mean and variance, by Welford's algorithm."""

    def __init__(self) -> None:
        self.count = 0
        self.mean = self.squares = 0.0

    def add(self, value: float) -> None:
        self.count += 1
        delta = value - self.mean
        self.mean += delta / self.count
        self.squares += delta * (value - self.mean)


def add_to_welford(record: Record) -> None:
    share = record.get("share")
    if share is not None:
        record["welford"].add(share)


def append(record: Record) -> None:
    share = record.get("share")
    if share is not None:
        record["seen"].append(share)


def describe(record: Record) -> list[list[float]]:
    numbers = record["shares"]
    return [
        [statistics.fmean(numbers), statistics.stdev(numbers), statistics.quantiles(numbers, method="inclusive")[2]]
    ]


def add_to_set(record: Record) -> None:
    name = record.get("host")
    if name is not None:
        record["seen"].add(name)


def in_set(record: Record) -> bool:
    return record.get("host") in record["seen"]


def make_known_hosts() -> set[str]:
    return {record["host"] for record in records()[::2]}


# -- Records ----------------------------------------------------------------------------------------------------------

_WORDS = ("mail", "www", "api", "cdn", "static", "login", "db-1", "news")
_NAMES = ("example", "metron", "apache", "squid", "a-rather-long-name", "shop24")
_ENDS = ("com", "org", "co.uk", "de", "io", "com.au")
_USERS = ("root", "admin", "mary", "ubuntu", "www", "postgres")


@cache
def records() -> list[Record]:
    """Records that differ, the same ones each time."""
    chance = random.Random(7)
    return [_record(chance, count) for count in range(BEYOND_CACHES)]


def _record(chance: random.Random, count: int) -> Record:
    user = chance.choice(_USERS)
    name = f"{chance.choice(_WORDS)}{count}.{chance.choice(_NAMES)}.{chance.choice(_ENDS)}"
    time = 1_500_000_000_000 + chance.randrange(10**11)
    ip = f"{chance.choice((10, 172, 192))}.{chance.choice((168, 16))}.{chance.randrange(256)}.{chance.randrange(256)}"
    service = chance.choice(("sshd", "cron"))
    line = f"Oct 23 10:46:01 {name} {service}[{count}]: Failed password for {user} from {ip} port {40_000 + count} ssh2"
    return {
        "user": user,
        "host": name,
        "time": time,
        "date": f"{datetime.fromtimestamp(time / 1000, UTC):%Y-%m-%d %H:%M:%S}",
        "ip": ip,
        "line": line,
        "words": line.split(" "),
        "base64": base64.b64encode(line.encode()).decode(),
        "hex": line.encode().hex(),
        "json": json.dumps({"user": user, "host": name, "ports": [22, count], "ip": {"source": ip, "known": True}}),
        "count": count,
        "share": chance.uniform(0, 100),
        "shares": [chance.uniform(0, 100) for _ in range(100)],
        "latitude": chance.uniform(-90, 90),
        "longitude": chance.uniform(-180, 180),
        # Three strings, so that no function gets a result that another one has cached
        **{field: _url(chance, name, count, field) for field in ("url", "referrer", "location")},
    }


def _url(chance: random.Random, host: str, count: int, page: str) -> str:
    return f"https://user@{host}{chance.choice(('', ':8443'))}/path/{count}/{page}.html?q={chance.random()}"


PAIRS = (
    Pair(r"REGEXP_MATCH(host, '[a-z0-9.-]+\\.(com|org)')", "re", matches(_NAME, "host")),
    Pair("REGEXP_MATCH(line, '.*sshd.*Failed password.*')", "re", matches(_FAILED, "line")),
    Pair(r"REGEXP_MATCH(host, '([a-z0-9-]+\\.)+(com|org)')", "re", matches(_LABELS, "host")),
    Pair(r"REGEXP_GROUP_VAL(line, '.* for (\\w+) from .*', 1)", "re", group),
    Pair(r"REGEXP_REPLACE(line, '\\d+', '#')", "re", without_digits),
    Pair(r"REGEXP_REPLACE(line, 'from (\\S+) port (\\d+)', '$2@$1')", "re", swap),
    Pair("DATE_FORMAT('yyyy-MM-dd HH:mm:ss', time)", "datetime.strftime", date),
    Pair(
        "DATE_FORMAT('EEE, dd MMM yyyy HH:mm z', time, 'America/New_York')",
        "datetime.strftime, zoneinfo",
        date_there,
        ("time",),
    ),
    Pair("TO_EPOCH_TIMESTAMP(date, 'yyyy-MM-dd HH:mm:ss')", "datetime.strptime", epoch),
    Pair(
        "TO_EPOCH_TIMESTAMP(date, 'yyyy-MM-dd HH:mm:ss', 'America/New_York')",
        "datetime.strptime, zoneinfo",
        epoch_there,
    ),
    Pair("FORMAT('%s-%d', user, count)", "%", format_pair),
    Pair("FORMAT('%-12s|%.2f|%05d', user, share, count)", "%", with_decimals),
    Pair("URL_TO_HOST(url)", "urlsplit", url_host),
    Pair("URL_TO_PORT(referrer)", "urlsplit", url_port),
    Pair("URL_TO_PATH(location)", "urlsplit", url_path),
    Pair("DOMAIN_REMOVE_SUBDOMAINS(host)", "publicsuffixlist", find_registered_domain),
    Pair("IN_SUBNET(ip, '192.168.0.0/16', '10.0.0.0/8')", "ipaddress", in_subnets),
    Pair("IS_IP(ip)", "ipaddress", is_ip),
    Pair("HASH(line, 'MD5')", "hashlib", digest(hashlib.md5)),
    Pair("HASH(line, 'SHA-256')", "hashlib", digest(hashlib.sha256)),
    Pair("ENCODE(line, 'BASE64')", "base64", encode),
    Pair("DECODE(base64, 'BASE64')", "base64", decode),
    Pair("ENCODE(line, 'HEX')", "bytes.hex", hexadecimal),
    Pair("DECODE(hex, 'HEX')", "bytes.fromhex", from_hexadecimal),
    Pair("TO_JSON_MAP(json)", "json.loads", from_json),
    Pair("SPLIT(line, ' ')", "str.split", split),
    Pair("JOIN(words, ', ')", "str.join", join, ("words",)),
    Pair("FUZZY_SCORE(host, user, 'en')", "two loops", score),
    Pair("GEOHASH_FROM_LATLONG(latitude, longitude, 8)", "one loop", geohash),
    Pair(
        "MAP([STATS_ADD(null, shares)], s -> [STATS_MEAN(s), STATS_SD(s), STATS_PERCENTILE(s, 75)])",
        "statistics",
        describe,
        ("shares",),
    ),
    Pair(
        "STATS_ADD(stats, share)",
        "list.append",
        append,
        (),
        {"stats": "STATS_INIT()", "seen": list},
        ("STATS_MEAN(stats)", lambda record: statistics.fmean(record["seen"])),
    ),
    Pair(
        "STATS_ADD(stats, share)",
        "Welford alone",
        add_to_welford,
        (),
        {"stats": "STATS_INIT()", "welford": Welford},
        ("STATS_VARIANCE(stats)", lambda record: record["welford"].squares / (record["welford"].count - 1)),
    ),
    Pair(
        "HLLP_ADD(hllp, host)",
        "set.add",
        add_to_set,
        ("host",),
        {"hllp": "HLLP_INIT()", "seen": set},
        ("HLLP_CARDINALITY(hllp)", lambda record: len(record["seen"])),
    ),
    Pair(
        "BLOOM_ADD(bloom, host)",
        "set.add",
        add_to_set,
        (),
        {"bloom": "BLOOM_INIT()", "seen": set},
        ("BLOOM_EXISTS(bloom, host) and not BLOOM_EXISTS(bloom, 'x')", in_set),
    ),
    Pair(
        "BLOOM_EXISTS(bloom, host)",
        "in a set",
        in_set,
        (),
        {"bloom": "REDUCE(hosts, (bloom, host) -> BLOOM_ADD(bloom, host), BLOOM_INIT())", "seen": make_known_hosts},
    ),
)


def functions(peers: dict[str, Compile | None], share: float) -> GroupResult:
    """Measure each function and the equivalent Python function."""
    compile_rule = peers["stellar"]
    if compile_rule is None:
        return GroupResult(["stellar is not installed\n"], [])
    slices: dict[tuple[int, str], Slice] = {}
    problems: dict[int, str] = {}
    for index, pair in enumerate(PAIRS):
        evaluate = compile_pair(pair, compile_rule)
        if isinstance(evaluate, str):
            problems[index] = evaluate
            continue
        given = make_records(pair, compile_rule, BEYOND_CACHES if pair.stellar.startswith(CACHED) else RECORDS_A_SLICE)
        slices[index, BY_HAND] = over_next(pair.by_hand, given, RECORDS_A_SLICE)
        slices[index, "stellar"] = over_next(evaluate, given, RECORDS_A_SLICE)
    taken = {key: fewest / RECORDS_A_SLICE for key, fewest in interleave(slices, share).items()}
    ratios = {
        index: taken[index, "stellar"] / taken[index, BY_HAND] for index in range(len(PAIRS)) if index not in problems
    }
    rows = [
        [pair.stellar, pair.means, Quantity(taken[index, BY_HAND], "ns"), ratio(ratios[index])]
        if index in ratios
        else [pair.stellar, pair.means, "", problems[index]]
        for index, pair in enumerate(PAIRS)
    ]
    if not problems:
        rows.append(["geomean", "", "", ratio(geometric_mean(ratios.values()))])
    table = Table(
        f"Functions: CPU time relative to hand-written Python, over {RECORDS_A_SLICE:,} records; over "
        f"{BEYOND_CACHES:,} for functions with a cache",
        ["expression", "Python", BY_HAND, "stellar"],
        rows,
    )
    return GroupResult([table], [] if problems else [Finding(GEOMEAN, geometric_mean(ratios.values()))])


def make_records(pair: Pair, compile_rule: Compile, count: int) -> list[Record]:
    """Return records with the state of a pair."""
    everything = {"hosts": sorted(make_known_hosts())}
    state = {name: make() if callable(make) else compile_rule(make)(everything) for name, make in pair.state.items()}
    return [{**record, **state} if state else record for record in records()[:count]]


def compile_pair(pair: Pair, compile_rule: Compile) -> Evaluate | str:
    """Compile an expression and check its results; return the reason if it cannot be compared."""
    try:
        evaluate = compile_rule(pair.stellar)
        sample = make_records(pair, compile_rule, 200)
        nulls = {name: value for name, value in sample[0].items() if name in pair.state or name in pair.needs}
        results = [(evaluate(record), pair.by_hand(record)) for record in [*sample, nulls]]
        if pair.afterwards:
            evaluate_state, by_hand = compile_rule(pair.afterwards[0]), pair.afterwards[1]
            results = [(evaluate_state(record), by_hand(record)) for record in sample[::20]]
    except Exception as error:  # noqa: BLE001  shown in the row
        return f"raises {type(error).__name__}"
    return evaluate if all(same(ours, expected) for ours, expected in results) else "wrong result"
