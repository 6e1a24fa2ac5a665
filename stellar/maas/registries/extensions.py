"""Our own nodes next to the registrations, which Metron's programs do not read.

    /maas/ext/instances/<model>/<id>       our own keys of the instance's endpoint.dat: {"hedge":false}, and of a model
                                           that is data its file: {"model":{"kind":"pmml","sha256":"9f…","path":"…"}}
    /maas/ext/wanted/<model>/<version>     the desired state, written by the service: {"instances": 2, ...}
    /maas/ext/traffic/<model>              a traffic plan; see stellar.maas.routing
    /maas/ext/reports/<client>             counts of a client's calls; see stellar.maas.reports

Metron's clients reject registrations with unknown fields, so these can't be part of them. An invalid node counts as
absent, with a warning that names it.
"""

from __future__ import annotations

import json
import logging
from typing import Any

from stellar.maas.schema import read_json
from stellar.maas.snapshots import NO_SETTINGS, Settings
from stellar.util.abbreviate import quote

log = logging.getLogger(__name__)

INSTANCES = "instances"
WANTED = "wanted"


def encode_settings(settings: Settings | None) -> bytes | None:
    """Return the content of the node for an instance's settings; None if there are no settings.

    Raises ValueError for values that JSON can't represent.
    """
    if not settings:
        return None
    return json.dumps(dict(settings), ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()


def parse_settings(where: str, data: bytes) -> Settings:
    """Return the settings in a node at `where`; an empty map, with a warning, if it is invalid."""
    found = _parse_object(where, data, "is ignored")
    return NO_SETTINGS if found is None else found


def parse_desired(where: str, data: bytes) -> int | None:
    """Return the desired number of instances in a node at `where`; None, with a warning, if it is invalid."""
    found = _parse_object(where, data, "is ignored")
    if found is None:
        return None
    instances = found.get("instances")
    if isinstance(instances, bool) or not isinstance(instances, int) or instances < 0:
        log.warning("%s is ignored: instances: expected an integer of at least 0, got %s", where, quote(instances))
        return None
    return instances


def _parse_object(where: str, data: bytes, consequence: str) -> dict[str, Any] | None:
    try:
        found = read_json(data)
    except ValueError as error:
        log.warning("%s %s: %s", where, consequence, error)
        return None
    if not isinstance(found, dict):
        log.warning("%s %s: expected a JSON object, got %s", where, consequence, json.dumps(found)[:80])
        return None
    return found
