"""The documentation holds together: every page is in the navigation, every link and picture is there."""

import re
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
PAGES = sorted(DOCS.rglob("*.md"))
#: The README's pictures are absolute, for PyPI.
RAW = "https://raw.githubusercontent.com/napari-phaset3m/napari-phaset3m/main/"
_LINK = re.compile(r"\[[^\]\[]*\]\(([^)\s]+)\)")
_API = re.compile(r"^::: (\S+)$", re.MULTILINE)


def navigation() -> list[str]:
    def walk(item):
        if isinstance(item, str):
            return [item]
        values = item if isinstance(item, list) else list(item.values())
        return [name for value in values for name in walk(value)]

    return walk(yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))["nav"])


def test_navigation_and_pages_are_the_same():
    named = navigation()
    assert len(named) == len(set(named))
    # index.md is made of the README (scripts/docs_hooks.py)
    assert set(named) == {page.relative_to(DOCS).as_posix() for page in PAGES} | {"index.md"}


@pytest.mark.parametrize("page", [*PAGES, ROOT / "README.md"], ids=lambda p: p.relative_to(ROOT).as_posix())
def test_links_and_pictures_are_there(page):
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    text = text.replace(f"]({RAW}", "](")
    links = [link.partition("#")[0] for link in _LINK.findall(text) if "://" not in link]
    missing = [link for link in links if link and not (page.parent / link).exists()]
    assert not missing
    if page.parent != ROOT:  # a site knows nothing outside docs/
        assert not [
            link for link in links if link and not (page.parent / link).resolve().is_relative_to(DOCS)
        ]


def test_no_picture_is_left_over():
    text = "".join(page.read_text(encoding="utf-8") for page in [*PAGES, ROOT / "README.md"])
    assert not [p.name for p in (DOCS / "images").iterdir() if f"images/{p.name}" not in text]


def test_every_documented_name_can_be_imported():
    from importlib import import_module

    for page in (DOCS / "api").glob("*.md"):
        for name in _API.findall(page.read_text(encoding="utf-8")):
            try:
                import_module(name)
            except ModuleNotFoundError:
                module, _, attribute = name.rpartition(".")
                assert getattr(import_module(module), attribute).__doc__, name


def test_pictures_of_the_readme_can_be_seen_on_pypi():
    import tomllib

    text = (ROOT / "README.md").read_text(encoding="utf-8")
    pictures = re.findall(r"!\[[^\]]*\]\(([^)\s]+)\)", text)
    assert pictures and all(link.startswith(RAW) for link in pictures)
    urls = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["urls"]
    owner_and_name = urls["Source Code"].removeprefix("https://github.com/")
    assert f"https://raw.githubusercontent.com/{owner_and_name}/main/" == RAW
