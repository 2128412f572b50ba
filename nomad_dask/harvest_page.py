"""Owns where the harvest page comes from and where it goes: from a dataset's small files to one HTML file."""

from __future__ import annotations

import os
import sys
from datetime import UTC, datetime
from importlib import resources
from urllib.parse import quote

from . import __version__
from .edges.files import absolute, write_alone
from .edges.store import PAGE, Store
from .pure.errors import DatasetError, UserError
from .pure.page.document import document
from .pure.page.figures import host_only, page
from .sides.glimpse import glimpses


def write_page(path: str | os.PathLike[str], out: str | None = None) -> str:
    """Write the page of the dataset at `path`, beside its manifest or at `out`; where it is.

    Reads the manifest, the receipts and a little of some parts; works on a harvest in progress. DatasetError where
    there is no dataset, UserError or StorageError where the page cannot be written, or would stand in the way of one.
    """
    store = Store.at(path)
    if out is not None:
        _refuse_astray(store, absolute(out))
    content = _content(store, None if out is None else absolute(out))
    if out is None:
        store.write_page(content)
        return f"{os.fspath(path).rstrip('/')}/{PAGE}"
    write_alone(out, content)
    return out


def leave_page(path: str) -> str | None:
    """The same beside the manifest, at the end of a harvest; what goes wrong is a note, and never the harvest's trouble."""
    try:
        return write_page(path)
    except DatasetError:  # none was begun
        return None
    except Exception as error:
        print(f"note: no harvest page was written: {error}", file=sys.stderr)
        return None


def _refuse_astray(store: Store, out: str) -> None:
    """A page takes the place of no other file, and lies in no folder that holds parts and receipts alone (SPEC 9)."""
    if not out.lower().endswith((".html", ".htm")):
        raise UserError(f"a harvest page is called something.html, not {out}: nothing is written over")
    if out.startswith(f"{store.url}/") and "/" in out.removeprefix(f"{store.url}/"):
        raise UserError(
            f"{out} lies inside of the dataset, which holds its own files there; choose another place"
        )


def _content(store: Store, out: str | None) -> bytes:
    manifest = store.stored()
    receipts = store.receipts(manifest.id)
    found = page(
        manifest,
        receipts,
        glimpses(store, manifest, receipts),
        name=store.url.rstrip("/").rsplit("/", 1)[-1],
        place=_place(store.url),
        failures=_way_to_failures(store.url, out),
        made=datetime.now(UTC).isoformat(timespec="seconds"),
        version=__version__,
    )
    own = resources.files("nomad_dask.pure.page")
    style, script = ((own / name).read_text(encoding="utf-8") for name in ("page.css", "page.js"))
    return document(found, style, script).encode("utf-8", "replace")


def _place(url: str) -> str:
    """What a command calls the dataset; of a local one the folder's name, as the page may go elsewhere."""
    if "://" not in url:
        return os.path.basename(url)
    return host_only(url)


def _way_to_failures(url: str, out: str | None) -> str | None:
    """A link from the page to failures.parquet: where both lie beside each other, or on one disk."""
    if out is None:
        return "failures.parquet"
    if "://" in url or "://" in out:
        return None
    way = os.path.relpath(f"{url}/failures.parquet", os.path.dirname(out))
    return quote(way.replace(os.sep, "/"))
