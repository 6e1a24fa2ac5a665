"""The default registry location."""

from __future__ import annotations

import os
from pathlib import Path


def find_default_registry() -> Path | None:
    """Return the registry directory that commands use if none is specified: `home()` if it exists, otherwise None."""
    return home() if home().is_dir() else None


def home() -> Path:
    """Return the default registry directory: $MAAS_HOME, or else `.maas` in the user's home directory."""
    return Path(os.environ.get("MAAS_HOME") or Path.home() / ".maas")
