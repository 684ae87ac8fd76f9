"""Lets the tests of this folder import the modules that make their images."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
