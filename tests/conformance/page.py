"""docs/conformance.md: its tables are made by the tests. `IONDLMS_WRITE_DOCS=1` writes them."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Final

PAGE: Final = Path(__file__).parents[2] / "docs" / "conformance.md"


def part(name: str, text: str) -> None:
    """Hold one made part of the page against what it should be, or write it."""
    page = PAGE.read_text("utf-8")
    marks = re.compile(rf"(<!-- {name} -->\n)(.*?)(<!-- end of {name} -->)", re.DOTALL)
    found = marks.search(page)
    assert found is not None, f"the page has no part {name}"
    if os.environ.get("IONDLMS_WRITE_DOCS"):
        start, end = found.span(2)
        PAGE.write_text(f"{page[:start]}\n{text}\n\n{page[end:]}", "utf-8")
    else:
        assert found[2].strip() == text, "run the tests with IONDLMS_WRITE_DOCS=1"
