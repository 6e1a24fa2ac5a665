"""Writes a log of a day of logins, in which one is from an unusual place: user, address, time in milliseconds."""

import random

START = 1_780_272_000_000  # 2026-06-01T00:00:00Z
HOUR = 3_600_000
HOMES = {
    "ann": ["192.0.2.10", "192.0.2.40", "192.0.2.70"],
    "ben": ["198.51.100.10", "198.51.100.40"],
    "cem": ["203.0.113.10", "203.0.113.40", "203.0.113.70"],
}
LIMA = "203.0.113.250"


def main() -> None:
    chance = random.Random(7)
    logins = [
        (START + hour * HOUR + chance.randrange(HOUR), user, chance.choice(addresses))
        for hour in range(24)
        for user, addresses in HOMES.items()
        for _ in range(4)
    ]
    logins.append((START + 24 * HOUR + 60_000, "ann", LIMA))
    logins.append((START + 24 * HOUR + 90_000, "ben", HOMES["ben"][0]))
    for time, user, address in sorted(logins):
        print(user, address, time, sep=",")


if __name__ == "__main__":
    main()
