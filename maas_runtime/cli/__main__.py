"""`python -m maas_runtime.cli` runs the command `maas`."""

from __future__ import annotations

import sys

from maas_runtime.cli.main import main

sys.exit(main())
