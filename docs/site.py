"""A hook of MkDocs: the site also shows pages that lie elsewhere in the repository.

Links are written as they work in the repository. On the site, one to a page leads to that page,
and one to another file is its text alone.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mkdocs.structure.files import File

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files
    from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[1]
# Where a page lies in the repository, and on the site.
PAGES = {
    "README.md": "index.md",
    "CHANGELOG.md": "changes.md",
    "data/README.md": "demonstration.md",
    "workflows/README.md": "workflow.md",
    "packaging/README.md": "packaging.md",
    "pgf_genome/models/ecoli-yeast-d128/README.md": "bundled_model.md",
}
SOURCES = {page: source for source, page in PAGES.items()}
LINK = re.compile(r"\[([^\]\n]*)\]\(([^)\s#]+)(#[^)\s]*)?\)")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages from elsewhere."""
    for source, page in PAGES.items():
        text = (ROOT / source).read_text(encoding="utf-8")
        files.append(File.generated(config, page, content=text))
    return files


def on_page_markdown(markdown: str, page: Page, **_: Any) -> str:
    """Turn links between files into links between pages."""
    uri = page.file.src_uri
    folder = posixpath.dirname(SOURCES.get(uri, f"docs/{uri}"))

    def turned(link: re.Match[str]) -> str:
        path = posixpath.normpath(posixpath.join(folder, link[2]))
        if not (ROOT / path).exists():
            return link[0]
        target = PAGES.get(path, path.removeprefix("docs/"))
        if target == path:  # a file that the site does not have
            return link[1]
        return f"[{link[1]}]({posixpath.relpath(target, posixpath.dirname(uri))}{link[3] or ''})"

    return LINK.sub(turned, markdown)
