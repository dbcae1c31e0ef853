"""`python -m entrol` is the command `entrol`."""

import sys

from _entrol_command import main

sys.exit(main())
