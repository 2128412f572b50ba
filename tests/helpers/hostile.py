"""Entries whose archives and search documents are any text at all, among others that are as they should
be.
"""

from nomad_dask.testing.corpus import Corpus
from nomad_dask.testing.generate import PLAIN, generate


class Texts(Corpus):
    """Generated small entries, some of which have the archives and documents that are given as text, by
    position.

    In a document's text, `%s` stands for the members of its names.
    """

    def __init__(self, n_entries, archives=None, documents=None, seed=7):
        self._like = generate(n_entries, seed=seed, kind="small", private_share=0, features=PLAIN)
        self._archives, self._documents = archives or {}, documents or {}

    def __getattr__(self, name):
        return getattr(self._like, name)

    entries = property(lambda self: self._like.entries)
    quantities = property(lambda self: self._like.quantities)
    schema_json = property(lambda self: self._like.schema_json)

    def document(self, i):
        return self._like.document(i)

    def archive(self, i):
        return self._like.archive(i)

    def shape(self, i):
        return ("text", i) if i in self._archives or i in self._documents else self._like.shape(i)

    def template(self, shape):
        return {} if shape[0] == "text" else self._like.template(shape)

    def document_template(self, shape):
        return {} if shape[0] == "text" else self._like.document_template(shape)

    def fill(self, i, rendered):
        if self.shape(i) != ("text", i):
            return self._like.fill(i, rendered)
        if b"m_ref_archives" in rendered:
            return self._archives.get(i, b"{}")
        entry = self.entries[i]
        names = f'"upload_id":"{entry.upload_id}","entry_id":"{entry.entry_id}"'.encode()
        return self._documents.get(i, b"{%s}").replace(b"%s", names)


def deep(levels):
    """Sections and lists within each other."""
    half = levels // 2
    return b'{"a":' * half + b"[" * (levels - half) + b"1" + b"]" * (levels - half) + b"}" * half
