"""Hooks of mkdocs: the README is the front page of the site, so that it exists once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).resolve().parents[1]
#: Where the README has its pictures from: PyPI knows no relative ones.
RAW = "https://raw.githubusercontent.com/napari-phaset3m/napari-phaset3m/main/"


def on_files(files: Files, config: Any) -> Files:
    """Add index.md: the README, its links seen from docs/."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    text = text.replace(f"]({RAW}docs/", "](").replace("](docs/", "](")
    files.append(File.generated(config, "index.md", content=text))
    return files
