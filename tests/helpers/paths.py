"""Where the repository is, and what lies beside it where the tests can use it."""

import os
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]
# For processes of their own that import test modules.
PYTHONPATH = os.pathsep.join(map(str, (REPOSITORY, REPOSITORY / "tests" / "helpers")))
SHARED = REPOSITORY.parent / "shared"  # photos and weights that a user does not have
