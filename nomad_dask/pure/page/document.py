"""Owns the harvest page as a whole: one HTML document that needs nothing else, neither the network nor scripts."""

from __future__ import annotations

from .. import amounts
from . import details, sections
from .figures import Page, host_only
from .markup import Html, join, tag, void

_PARTS = (
    ("asked", "Asked", sections.asked),
    ("time", "Over time", sections.over_time),
    ("requests", "Requests", sections.requests),
    ("segments", "Segments", details.segments),
    ("failures", "Failures", details.failures),
    ("columns", "Columns", details.schema),
)


def document(page: Page, style: str, script: str) -> str:
    """The page as HTML, with this style sheet and this script in it."""
    links = [tag("a", title, href=f"#{name}") for name, title, _ in _PARTS]
    head = tag(
        "head",
        void("meta", charset="utf-8"),
        void("meta", name="viewport", content="width=device-width, initial-scale=1"),
        void("meta", name="color-scheme", content="light dark"),
        void("meta", http_equiv="Content-Security-Policy", content=_POLICY),
        void("link", rel="icon", href="data:,"),
        tag("title", f"{page.name}: harvest report"),
        tag("style", Html(style)),
    )
    source = f"{host_only(page.manifest.url)}, as of {amounts.moment(page.made)}"
    top = tag(
        "header",
        tag("p", "Harvest report", class_="kind"),
        tag("h1", page.name),
        tag("p", "from ", source, class_="note"),
    )
    main = tag(
        "main",
        sections.state(page),
        sections.tiles(page),
        [write(page) for _, _, write in _PARTS],
        id="main",
    )
    foot = tag("footer", tag("p", f"Written by nomad-dask {page.version} from the dataset's manifest and receipts. "
               "It holds no data but the examples above, and asks for nothing from the network."))  # fmt: skip
    skip = tag("a", "Skip to the report", href="#main", class_="skip")
    body = tag(
        "body", skip, top, tag("nav", links, aria_label="Sections"), main, foot, tag("script", Html(script))
    )
    return str(join(Html("<!doctype html>\n"), tag("html", head, body, lang="en"), Html("\n")))


_POLICY = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:"
"""The browser is told to load nothing, whatever the page may hold."""
