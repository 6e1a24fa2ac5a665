"""Identifiers of records."""

from __future__ import annotations

import os
import re
from concurrent.futures import ThreadPoolExecutor
from uuid import RFC_4122, UUID

import pytest

from stellar.util.guids import make_guid

COUNT = 2000


def test_identifiers_are_random_uuids_in_their_canonical_form() -> None:
    for _ in range(COUNT):
        text = make_guid()
        parsed = UUID(text)
        assert (str(parsed), parsed.version, parsed.variant) == (text, 4, RFC_4122)


def test_every_variant_is_made() -> None:
    assert {make_guid()[19] for _ in range(COUNT)} == set("89ab")


def test_threads_get_different_identifiers() -> None:
    with ThreadPoolExecutor(4) as executor:
        made = list(executor.map(lambda _: [make_guid() for _ in range(COUNT)], range(4)))
    assert len({guid for each in made for guid in each}) == 4 * COUNT


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_the_child_of_a_fork_shares_none_with_its_parent() -> None:
    make_guid()
    reading, writing = os.pipe()
    if (child := os.fork()) == 0:  # pragma: no cover (measured in the parent only)
        os.write(writing, "".join(make_guid() for _ in range(100)).encode())
        os._exit(0)
    os.waitpid(child, 0)
    in_child = set(re.findall(".{36}", os.read(reading, 100 * 36).decode()))
    os.close(reading)
    os.close(writing)
    assert len(in_child) == 100
    assert in_child.isdisjoint(make_guid() for _ in range(COUNT))
