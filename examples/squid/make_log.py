"""Generates an access.log in the format of Squid; equal seeds give equal logs.

    python make_log.py > access.log
    python make_log.py --lines 100000 --seed 3 --garbage 20 --output access.log

Most lines are requests to well-known sites, such as yahoo.com and cnn.com. Some are requests to generated domains, as
made by malware that searches for its command server.
"""

from __future__ import annotations

import argparse
import hashlib
import random
import sys
from collections.abc import Iterator
from typing import NamedTuple

SITES = (
    "yahoo.com", "cnn.com", "amazon.com", "google.com", "google.co.uk", "youtube.com", "wikipedia.org", "facebook.com",
    "twitter.com", "instagram.com", "linkedin.com", "netflix.com", "ebay.com", "bbc.co.uk", "nytimes.com", "reddit.com",
    "github.com", "stackoverflow.com", "microsoft.com", "apple.com", "adobe.com", "wordpress.com", "tumblr.com",
    "pinterest.com", "imdb.com", "weather.com", "espn.com", "paypal.com", "dropbox.com", "spotify.com", "debian.org",
    "python.org", "apache.org", "mozilla.org", "theguardian.com", "lemonde.fr", "spiegel.de", "heise.de", "booking.com",
    "tripadvisor.com", "craigslist.org", "walmart.com", "target.com", "bestbuy.com", "chase.com", "usps.com",
    "fedex.com", "slack.com", "zoom.us", "cloudflare.com",
)  # fmt: skip
SUBDOMAINS = ("", "", "", "www.", "www.", "www.", "m.", "cdn.", "static.", "images.", "api.", "login.", "news.")
PATHS = (
    "/", "/", "/", "/index.html", "/favicon.ico", "/robots.txt", "/news/today", "/search?q=weather", "/img/logo.png",
    "/css/site.css", "/js/app.js?v=12", "/api/v1/items?page=2&size=50", "/login?next=%2Fhome", "/video/watch?id=42",
)  # fmt: skip
KINDS = {
    ".png": "image/png",
    ".ico": "image/x-icon",
    ".css": "text/css",
    ".js": "application/javascript",
    "/api": "application/json",
}
MACHINE_MADE_SUFFIXES = ("com", "net", "org", "info", "biz", "ru")
# Shares of requests to generated domains, and of tunnels
MACHINE_MADE, TUNNELS = 0.04, 0.05
GARBAGE = ("garbage", "", "squid: restarting", "1571163620.277    192", "\x00\x01\x02", "- - - -")


class Line(NamedTuple):
    """An entry of the log, in Squid's order."""

    time: float
    elapsed: int
    client: str
    result: str
    status: int
    size: int
    method: str
    url: str
    peer: str
    kind: str

    def __str__(self) -> str:
        return (
            f"{self.time:.3f} {self.elapsed:6d} {self.client} {self.result}/{self.status:03d} {self.size} "
            f"{self.method} {self.url} - {self.peer} {self.kind}"
        )


def log(lines: int, seed: int, start: float) -> Iterator[Line]:
    """Yield entries in the order of time."""
    rng = random.Random(seed)
    time = start
    for _ in range(lines):
        time += rng.expovariate(5)
        yield entry(rng, time)


def entry(rng: random.Random, time: float) -> Line:
    """Return a random request at a time."""
    client = f"10.0.{rng.randrange(4)}.{rng.randrange(2, 250)}"
    elapsed, size = int(rng.lognormvariate(4.5, 1)), int(rng.lognormvariate(8, 1.5))
    if rng.random() < MACHINE_MADE:
        url = f"http://{machine_made(rng)}/"
        return Line(time, elapsed, client, "TCP_MISS", 503, 340, "GET", url, "HIER_NONE/-", "text/html")
    # The first sites are the most frequent
    site = SITES[min(int(rng.expovariate(0.08)), len(SITES) - 1)]
    host = rng.choice(SUBDOMAINS) + site
    if rng.random() < TUNNELS:
        return Line(time, elapsed, client, "TCP_TUNNEL", 200, size, "CONNECT", f"{host}:443", direct(host), "-")
    path = rng.choice(PATHS)
    result, status, peer = rng.choices(
        [
            ("TCP_MISS", 200, direct(host)),
            ("TCP_MISS", 301, direct(host)),
            ("TCP_MISS", 404, direct(host)),
            ("TCP_HIT", 200, "HIER_NONE/-"),
            ("TCP_REFRESH_UNMODIFIED", 304, direct(host)),
            ("TCP_DENIED", 403, "HIER_NONE/-"),
        ],
        weights=[60, 10, 4, 18, 7, 1],
    )[0]
    method = "POST" if path.startswith("/login") else "GET"
    return Line(time, elapsed, client, result, status, size, method, f"http://{host}{path}", peer, content_type(path))


def machine_made(rng: random.Random) -> str:
    """Return a generated domain name."""
    letters = "".join(rng.choices("abcdefghijklmnopqrstuvwxyz0123456789", k=rng.randint(12, 24)))
    return f"{rng.choice('bcdfghjkmnpqrstvwxz')}{letters}.{rng.choice(MACHINE_MADE_SUFFIXES)}"


def direct(host: str) -> str:
    """Return Squid's code for a direct connection to a host; the address of a host is the same in every log."""
    first, *rest = hashlib.sha256(host.encode()).digest()[:4]
    return f"HIER_DIRECT/{first % 80 + 12}.{rest[0]}.{rest[1]}.{rest[2]}"


def content_type(path: str) -> str:
    """Return the content type for a path."""
    return next((kind for mark, kind in KINDS.items() if mark in path), "text/html")


def insert_garbage(lines: list[str], count: int, seed: int) -> list[str]:
    """Insert lines that Squid does not write."""
    rng = random.Random(seed)
    for _ in range(count):
        lines.insert(rng.randrange(len(lines) + 1), rng.choice(GARBAGE))
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description="Generate an access.log in the format of Squid.")
    parser.add_argument("--lines", type=int, default=4000, help="number of entries (default: 4000)")
    parser.add_argument("--seed", type=int, default=1, help="seed of the random generator (default: 1)")
    parser.add_argument("--start", type=float, default=1571163620.277, help="start of the log, in seconds since 1970")
    parser.add_argument("--garbage", type=int, default=0, help="number of unreadable lines to insert (default: 0)")
    parser.add_argument("--output", help="output file (default: standard output)")
    options = parser.parse_args()
    lines = [str(line) for line in log(options.lines, options.seed, options.start)]
    text = "\n".join(insert_garbage(lines, options.garbage, options.seed)) + "\n"
    if options.output:
        with open(options.output, "w", encoding="utf-8") as file:
            file.write(text)
    else:
        sys.stdout.write(text)


if __name__ == "__main__":
    main()
