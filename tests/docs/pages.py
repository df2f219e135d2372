"""The project's pages: their blocks of code, links and paths."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), ROOT / "cluster" / "README.md", *(ROOT / "docs").glob("*.md")])

_BLOCK = re.compile(r"^```(\S+)(?: +(\S+))?\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Block:
    """A fenced block: its language, and the word after it (`cluster`, `store`: only such a place can run it)."""

    language: str
    mark: str
    code: str

    @property
    def commands(self) -> list[str]:
        """A shell block's lines, without blank ones."""
        return [line for line in self.code.splitlines() if line.strip()]


def blocks(page: Path, language: str) -> list[Block]:
    """The blocks of one language on a page, in order."""
    found = (Block(*(part or "" for part in match)) for match in _BLOCK.findall(page.read_text(encoding="utf-8")))
    return [block for block in found if block.language == language]


def prose(page: Path) -> str:
    """A page without its fenced blocks."""
    return _BLOCK.sub("", page.read_text(encoding="utf-8"))


def name_of(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()
