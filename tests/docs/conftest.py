"""What generates pages is a folder of scripts that import each other; what pages show is read by several tests."""

from __future__ import annotations

import sys
from pathlib import Path

FOLDERS = (Path(__file__).parents[2] / "docs" / "generate", Path(__file__).parent)

sys.path.extend(str(folder) for folder in FOLDERS if str(folder) not in sys.path)
