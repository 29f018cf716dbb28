"""Puts `simulation` on the path, and says how many examples Hypothesis tries.

By default the examples are always the same ones, so that the suite does not fail by chance; for a search, say
python -m pytest tests/sim --hypothesis-profile=long
"""

import sys
from pathlib import Path

from hypothesis import settings

sys.path.insert(0, str(Path(__file__).parent))

settings.register_profile("long", deadline=None, max_examples=3_000, stateful_step_count=80, print_blob=True)
