"""What Hadoop's configuration says, as its own programs read it."""

from __future__ import annotations

import os
from pathlib import Path

from stellar.net.hadoop.site import read_site


def configuration() -> Path | None:
    """The directory of Hadoop's configuration, if there is one with YARN in it."""
    folder = os.environ.get("HADOOP_CONF_DIR")
    return Path(folder) if folder and Path(folder, "yarn-site.xml").is_file() else None


def configured_urls(folder: Path) -> list[str]:
    """The addresses of the resource managers that yarn-site.xml names.

    Raises ValueError if it names none, OSError if it can't be read.
    """
    site = read_site(folder / "yarn-site.xml")
    secure = site.get("yarn.http.policy") == "HTTPS_ONLY"
    key, scheme, port = ("webapp.https.address", "https", 8090) if secure else ("webapp.address", "http", 8088)
    ids = (
        site.get("yarn.resourcemanager.ha.rm-ids", "") if site.get("yarn.resourcemanager.ha.enabled") == "true" else ""
    )
    found = []
    for suffix in [f".{id.strip()}" for id in ids.split(",") if id.strip()] or [""]:
        host = site.get(f"yarn.resourcemanager.hostname{suffix}")
        address = site.get(f"yarn.resourcemanager.{key}{suffix}") or (host and f"{host}:{port}")
        if address:
            found.append(f"{scheme}://{address.replace('${yarn.resourcemanager.hostname}', host or '')}")
    if not found:
        raise ValueError(f"{folder / 'yarn-site.xml'} does not say where YARN is; give its address: --yarn URL")
    return found
