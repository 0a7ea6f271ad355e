"""The frame of every HTML page: title, style, programs and what the page may load."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from html import escape
from importlib.resources import files
from string import Template

from pgf_genome.pages.palette import DARK, LIGHT, Palette

FONT = 'system-ui, "Segoe UI", "Helvetica Neue", Arial, sans-serif'
# Where plotly.js is: compressed in every page, or in one file that lies beside the pages.
PLOTLY = ("inline", "shared")
# nothing is loaded but programs that lie beside the page, if it has any; images are what plotly
# makes of a figure
OFFLINE = (
    "default-src 'none'; script-src 'unsafe-inline'{beside}; style-src 'unsafe-inline'; "
    "img-src data: blob:"
)


def html_page(
    kind: str,
    title: str,
    main: str,
    *,
    lead: str = "",
    styles: Iterable[str] = (),
    scripts: Iterable[str] = (),
    served: bool = False,
    beside: bool = False,
) -> str:
    """Make a page.

    Parameters
    ----------
    kind : str
        What made the page, for the line above the title: ``report``.
    title : str
        Title and first heading, as text, not HTML.
    main, lead : str
        Content, and what stands between heading and content, as HTML.
    styles : iterable of str
        Style sheets beside the theme's.
    scripts : iterable of str
        Script elements; see `script` and `pgf_genome.pages.figures.scripts`.
    served : bool
        The page comes from a server, whose headers say what it may load and run. Without it the
        page loads nothing, and has a button that switches between light and dark.
    beside : bool
        Programs lie beside the page, which may load these then.
    """
    elements = list(scripts)
    if elements:
        lead += '<noscript><p class="note">The figures of this page need JavaScript.</p></noscript>'
    head = '<link rel="icon" href="data:,">'
    if not served:
        early = script(asset("pgf_genome.pages", "theme.js"))
        policy = OFFLINE.format(beside=" 'self' file:" if beside else "")
        head = f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n{early}'
    return Template(asset("pgf_genome.pages", "frame.html")).substitute(
        head=head,
        kind=escape(kind),
        title=escape(title),
        style="\n".join([*_colours(), asset("pgf_genome.pages", "theme.css"), *styles]),
        lead=lead,
        main=main,
        scripts="\n".join(elements),
    )


def script(text: str, **attributes: str) -> str:
    """Make a script element; ``text`` is a program, or data that holds no ``<``."""
    given = "".join(f' {name}="{escape(value)}"' for name, value in attributes.items())
    return f"<script{given}>{text}</script>"


def asset(package: str, name: str) -> str:
    """Read a text file that lies in a package."""
    return files(package).joinpath(name).read_text(encoding="utf-8")


def _colours() -> Iterator[str]:
    """Yield rules that set the variables; paper is always light."""
    yield f":root {{ --font: {FONT}; {_variables('light', LIGHT)} }}"
    dark = _variables("dark", DARK)
    yield (
        "@media screen and (prefers-color-scheme: dark) {\n"
        f':root:not([data-theme="light"]) {{ {dark} }}\n}}'
    )
    yield f'@media screen {{\n:root[data-theme="dark"] {{ {dark} }}\n}}'


def _variables(scheme: str, palette: Palette) -> str:
    """Write the declarations of a palette."""
    named = " ".join(f"--{name}: {colour};" for name, colour in palette.named())
    return f"color-scheme: {scheme}; {named}"
