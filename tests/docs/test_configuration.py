"""docs/configuration.md is what the declarations say. The page itself tells how to write it again."""

from __future__ import annotations

from demix.config import reference
from demix.recipe import BuildSettings
from tests.docs.pages import ROOT

MARK = "<!-- generated: demix config --reference -->\n"


def test_the_page_is_up_to_date() -> None:
    page = (ROOT / "docs/configuration.md").read_text(encoding="utf-8")
    _, mark, generated = page.partition(MARK)
    assert mark
    assert generated == reference(BuildSettings) + "\n", "write it again; docs/configuration.md says how"


def test_every_setting_says_what_it_means() -> None:
    """Settings that are merely names and numbers in a row are explained by the group above them."""
    rows = [line for line in reference(BuildSettings).splitlines() if line.startswith("| `")]
    assert len(rows) > 100
    assert not [row for row in rows if row.endswith("|  |")]
