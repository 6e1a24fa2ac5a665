"""Hadoop's configuration, as its own programs read it."""

from __future__ import annotations

import os
from pathlib import Path

from stellar.net.hadoop.site import read_site


def find_configuration() -> Path | None:
    """Return Hadoop's configuration directory; None if it does not configure YARN."""
    folder = os.environ.get("HADOOP_CONF_DIR")
    return Path(folder) if folder and Path(folder, "yarn-site.xml").is_file() else None


def read_resource_manager_urls(folder: Path) -> list[str]:
    """Return the URLs of the resource managers in yarn-site.xml.

    Raises ValueError if it lists no resource manager, OSError if it cannot be read.
    """
    site = read_site(folder / "yarn-site.xml")
    secure = site.get("yarn.http.policy") == "HTTPS_ONLY"
    key, scheme, port = ("webapp.https.address", "https", 8090) if secure else ("webapp.address", "http", 8088)
    ids = (
        site.get("yarn.resourcemanager.ha.rm-ids", "") if site.get("yarn.resourcemanager.ha.enabled") == "true" else ""
    )
    urls = []
    for suffix in [f".{id.strip()}" for id in ids.split(",") if id.strip()] or [""]:
        host = site.get(f"yarn.resourcemanager.hostname{suffix}")
        address = site.get(f"yarn.resourcemanager.{key}{suffix}") or (host and f"{host}:{port}")
        if address:
            urls.append(f"{scheme}://{address.replace('${yarn.resourcemanager.hostname}', host or '')}")
    if not urls:
        raise ValueError(f"{folder / 'yarn-site.xml'} has no address of a resource manager; add --yarn URL")
    return urls
