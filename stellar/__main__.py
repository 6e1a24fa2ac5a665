"""`python -m stellar` is the command `stellar`."""

import sys

from stellar.cli import main

sys.exit(main())
