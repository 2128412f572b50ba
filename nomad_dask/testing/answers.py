"""Answers of the API's endpoints, without HTTP: from the JSON of a request and a user to the JSON of the
answer."""

from collections import OrderedDict
from collections.abc import Callable
from functools import cached_property
from typing import Any

import orjson

from nomad_dask.common.validate import OWNERS
from nomad_dask.metainfo.definitions import Definitions
from nomad_dask.testing.corpus import Corpus, Entry, Json
from nomad_dask.testing.documents import Projection
from nomad_dask.testing.listing import Listing, Pagination, ResultPage
from nomad_dask.testing.quantities import Quantities
from nomad_dask.testing.reading import RequiredReader, read
from nomad_dask.testing.refused import Refused, invalid, unexpected
from nomad_dask.testing.search import Grammar, Query

OWNER_ALL = (
    "The owner=all is not allowed for this operation as it will search for entries\n"
    "that you might now be allowed to access."
)
NOT_THERE = "The entry does not exist or is not visible to you."
NO_ARCHIVE = "The entry does exist, but it has no archive."
WHOLE = "*"
KEPT_BYTES = 128 * 1024 * 1024
NO_TEMPLATE = b""

Hit = Callable[[str], bool]
"""A predicate of entry ids."""


class Answers:
    """Answers requests for one corpus. Not thread-safe.

    Caches rendered archives: one for each shape and `required`, and those without a shape, up to 128 MB each.
    """

    def __init__(self, corpus: Corpus, *, version: str = "2.0") -> None:
        self.corpus = corpus
        self._forget()
        self._quantities = Quantities.of(corpus.quantities)
        self._grammar = Grammar(self._quantities, any_of_nothing=version.startswith("1."))

    @cached_property
    def _definitions(self) -> Definitions | None:
        schema = self.corpus.schema_json
        return Definitions(orjson.loads(schema)) if schema else None

    def _forget(self) -> None:
        self._generation = self.corpus.generation
        self._listing = Listing(self.corpus)
        self._shapes = Kept(KEPT_BYTES)
        self._rendered = Kept(KEPT_BYTES)

    def refresh(self) -> None:
        """Clear the caches if the corpus has changed. Call this before each request."""
        if self.corpus.generation != self._generation:
            self._forget()

    def entries(self, body: Any, user: str | None) -> Json:
        """Answer `POST entries/query`."""
        body, owner = _checked(body, user)
        projection = Projection.parse(body.get("required"), self._quantities)
        query, pagination, page = self._page(body, owner, user)
        if projection.ids_only:
            rows = [_named(self.corpus.entries[i], projection.include or ()) for i in page.positions]
        else:
            canonical = orjson.dumps(projection.given)
            rows = [self._document(i, projection, canonical) for i in page.positions]
        answer = {"owner": owner, "query": query.echo(plain=False), "pagination": page.echo(pagination)}
        if projection.given is not None:
            answer["required"] = projection.given
        return {**answer, "data": rows}

    def archives(self, body: Any, user: str | None, missing: Hit, poison: Hit) -> Json:
        """Answer `POST entries/archive/query`. Its archives are already rendered (`orjson.Fragment`)."""
        body, owner = _checked(body, user)
        if owner == "all":
            raise Refused(403, OWNER_ALL)
        required = RequiredReader.parse(body.get("required"))
        query, pagination, page = self._page(body, owner, user)
        wanted = body.get("required")
        canonical = orjson.dumps(wanted)
        entries = [(i, self.corpus.entries[i]) for i in page.positions]
        for _, entry in entries:
            _check_files(entry, poison)
        rows = [
            self._row(i, entry, required, canonical, user)
            for i, entry in entries
            if entry.has_archive and not missing(entry.entry_id)
        ]
        return {
            "owner": owner,
            "query": query.echo(plain=True),
            "pagination": page.echo(pagination),
            "required": WHOLE if wanted is None else wanted,
            "data": rows,
        }

    def archive(
        self, entry_id: str, upload_id: str | None, user: str | None, missing: Hit, poison: Hit
    ) -> Json:
        """Answer `GET uploads/UPLOAD/archive/ENTRY`, or `GET entries/ENTRY/archive` if `upload_id` is
        None."""
        i = self.corpus.find(entry_id)
        if i is None or not self._listing.sees(i, user):
            raise Refused(404, NOT_THERE)
        entry = self.corpus.entries[i]
        if upload_id not in (None, entry.upload_id):
            raise Refused(404, NOT_THERE)
        _check_files(entry, poison)
        if not entry.has_archive or missing(entry_id):
            raise Refused(404, NO_ARCHIVE)
        row = self._row(i, entry, RequiredReader.parse(WHOLE), orjson.dumps(WHOLE), user)
        return {"entry_id": entry_id, "required": WHOLE, "data": row}

    def _row(
        self, i: int, entry: Entry, required: RequiredReader, canonical: bytes, user: str | None
    ) -> Json:
        return {
            "entry_id": entry.entry_id,
            "upload_id": entry.upload_id,
            "parser_name": entry.parser_name,
            "archive": orjson.Fragment(self._archive(i, entry, required, canonical, user)),
        }

    def _page(self, body: Json, owner: str, user: str | None) -> tuple[Query, Pagination, ResultPage]:
        pagination = Pagination.parse(body.get("pagination"), self._quantities)
        query = self._grammar.parse(body.get("query"))
        return query, pagination, self._listing.page(query, owner, user, pagination)

    def _document(self, i: int, projection: Projection, canonical: bytes) -> Any:
        """Return the requested part of a search document."""
        shape = self.corpus.shape(i)
        if shape is None:
            return projection.of(self.corpus.document(i))
        key = ("document", shape, canonical)
        rendered = self._shapes.get(key)
        if rendered is None:
            template = self.corpus.document_template(shape)
            rendered = NO_TEMPLATE if template is None else orjson.dumps(projection.of(template))
            self._shapes.put(key, rendered)
        if rendered == NO_TEMPLATE:
            return projection.of(self.corpus.document(i))
        return orjson.Fragment(self.corpus.fill(i, rendered))

    def _archive(
        self, i: int, entry: Entry, required: RequiredReader, canonical: bytes, user: str | None
    ) -> bytes:
        """Return the requested part of an archive as JSON, from the rendered template if it has a shape."""
        shape = self.corpus.shape(i)
        if shape is not None:
            key = ("archive", shape, canonical)
            rendered = self._shapes.get(key)
            if rendered is None:
                rendered = self._of_shape(shape, required)
                self._shapes.put(key, rendered)
            if rendered != NO_TEMPLATE:
                return self.corpus.fill(i, rendered)
        alone = (i, canonical, user)
        kept = self._rendered.get(alone)
        if kept is None:
            fetch = self._fetching(user)
            kept = orjson.dumps(
                read(required, self.corpus.archive(i), entry.upload_id, fetch, self._definitions)
            )
            self._rendered.put(alone, kept)
        return kept

    def _of_shape(self, shape: Any, required: RequiredReader) -> bytes:
        """Return the rendered template of a shape; `NO_TEMPLATE` if `required` leads to another entry."""
        try:
            return orjson.dumps(
                read(required, self.corpus.template(shape), "", _leads_out, self._definitions)
            )
        except _LeadsOutError:
            return NO_TEMPLATE

    def _fetching(self, user: str | None) -> Callable[[str, str], Json | None]:
        def fetch(upload_id: str, entry_id: str) -> Json | None:
            i = self.corpus.find(entry_id)
            if i is None or not self._listing.sees(i, user):
                return None
            entry = self.corpus.entries[i]
            readable = entry.has_archive and entry.has_files and entry.upload_id == upload_id
            return self.corpus.archive(i) if readable else None

        return fetch


class _LeadsOutError(Exception):
    """`required` follows a reference of a template to another entry."""


def _leads_out(upload_id: str, entry_id: str) -> Json | None:
    raise _LeadsOutError


class Kept:
    """A cache of the most recently used values, up to `limit` bytes."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._held = 0
        self._values: OrderedDict[Any, bytes] = OrderedDict()

    def get(self, key: Any) -> bytes | None:
        """Return a value, or None."""
        value = self._values.get(key)
        if value is not None:
            self._values.move_to_end(key)
        return value

    def put(self, key: Any, value: bytes) -> None:
        """Add a value, and remove the least recently used ones beyond the limit."""
        self._values[key] = value
        self._held += len(value)
        while self._held > self._limit:
            self._held -= len(self._values.popitem(last=False)[1])


def _check_files(entry: Entry, poison: Hit) -> None:
    if not entry.has_files or poison(entry.entry_id):
        raise unexpected("FileNotFoundError", f"no archive files of upload {entry.upload_id}")


def _checked(body: Any, user: str | None) -> tuple[Json, str]:
    """Return the body and its `owner`. Raises `Refused` if either is invalid or not allowed for the user."""
    if not isinstance(body, dict):
        message = "Input should be a valid dictionary or object to extract fields from"
        raise invalid("model_attributes_type", ["body"], message, body)
    owner = body.get("owner")
    owner = "public" if owner is None else owner
    if owner not in OWNERS:
        expected = "'public', 'all', 'visible', 'shared', 'user', 'staging' or 'admin'"
        message, context = f"Input should be {expected}", {"expected": expected}
        raise invalid("enum", ["body", "owner"], message, owner, ctx=context)
    if owner in ("user", "shared", "staging", "admin") and user is None:
        raise Refused(401, f"Authentication required for owner='{owner}'.")
    if owner == "admin":
        raise Refused(403, "This can only be used by the admin user.")
    return body, owner


def _named(entry: Entry, names: tuple[str, ...]) -> Json:
    return {name: getattr(entry, name) for name in ("upload_id", "entry_id", "parser_name") if name in names}
