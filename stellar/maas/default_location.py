"""Where the registry is of who names none."""

from __future__ import annotations

import os
from pathlib import Path


def home() -> Path:
    """The registry directory of who names none: $MAAS_HOME, else `.maas` in the user's home."""
    return Path(os.environ.get("MAAS_HOME") or Path.home() / ".maas")
