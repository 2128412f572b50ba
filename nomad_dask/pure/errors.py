"""Owns every exception of the package. Each message says what happened, where, and what to do.

::

    NomadDaskError
    ├── UserError (also ValueError)     what was asked for cannot be done; nothing was downloaded; exit code 2
    │   ├── RequiredError               a malformed `required` tree, refused before any request
    │   ├── RefusedError                the server refused the question (4xx), in its own words
    │   │   └── RemoteReferenceError    a page with a reference to another installation, asked in place
    │   ├── UnreachableError            nothing answers at the url (or at the scheduler's address)
    │   └── DatasetError                the folder holds something else, or no dataset
    ├── ServerError                     the server kept failing: tries, the last status or fault
    ├── ProtocolError                   an answer that breaks the rules: repeated cursor, unasked ids, early end
    ├── EntriesFailedError              entries that were listed could not be delivered, by name
    ├── StorageError                    the target cannot be written: full, read-only, gone
    ├── UnfinishedError                 a harvest stopped before its plan was done; what is done is kept
    └── UnknownValueError               a value outside the schema under `on_new="raise"`

All pickle, so that a worker's error reaches the client whole. No message holds a password or a token.
"""

from __future__ import annotations

import sysconfig
import traceback
from typing import Any

from .amounts import counted


class NomadDaskError(Exception):
    """Root of all errors of nomad-dask."""

    def _render_traceback_(self) -> list[str]:
        """What a notebook shows (IPython asks for it): the user's own lines on the way here, and the message.

        The message is made to suffice; hundreds of lines of Dask's and our own calls would only stand before it.
        """
        name = type(self).__name__
        lines = [line for frame in traceback.extract_tb(self.__traceback__) for line in _own(frame)]
        return [*lines, f"\x1b[31m{name}\x1b[39m: {self}", "", _ALL_CALLS]

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (type(self), self.args, dict(self.__dict__))


def _rebuild(kind: type[NomadDaskError], args: tuple[Any, ...], state: dict[str, Any]) -> NomadDaskError:
    error = kind.__new__(kind, *args)
    error.args = args
    error.__dict__.update(state)
    return error


_ALL_CALLS = "(all calls on the way: import sys, traceback; traceback.print_exception(sys.last_value))"
_LIBRARY = ("stdlib", "platstdlib", "purelib", "platlib")
_OTHERS = (*(sysconfig.get_path(name) for name in _LIBRARY), __file__.rpartition("pure")[0])
"""Folders of Python, of what is installed, and of this package."""


def _own(frame: traceback.FrameSummary) -> list[str]:
    """A call as a notebook shows it, where it stands in the user's own code; else nothing."""
    in_cell = "ipykernel_" in frame.filename or frame.filename.startswith("<ipython-input")
    others = frame.filename.startswith((*_OTHERS, "<")) or "site-packages" in frame.filename
    if others and not in_cell:
        return []
    place = "this notebook" if in_cell else frame.filename
    inside = "" if frame.name == "<module>" else f", in {frame.name}"
    return [f"\x1b[32m{place}, line {frame.lineno}{inside}\x1b[39m", f"    {frame.line}", ""]


class UserError(NomadDaskError, ValueError):
    """What was asked for cannot be done as it was asked."""


class RequiredError(UserError):
    """The `required` tree is malformed; the message names the path of the mistake."""


class RefusedError(UserError):
    """The server refused the question: a 4xx answer, with the server's own words."""

    def __init__(self, status: int, url: str, words: str) -> None:
        self.status, self.url, self.words = status, url, words
        advice = _WRONG_LOGIN if url.endswith(_LOGIN) else _ADVICE.get(status, "")
        super().__init__(f"the server refused ({status}): {words} [{url}]{advice}")


_LOGIN = "/auth/token"
_WRONG_LOGIN = (
    "; give the login's username and password again, or set NOMAD_CLIENT_USER and NOMAD_CLIENT_PASSWORD"
)
_ADVICE = {
    401: "; log in: give username and password, or a token, or set NOMAD_CLIENT_USER and NOMAD_CLIENT_PASSWORD, or "
    "NOMAD_CLIENT_ACCESS_TOKEN",
    403: "; this login may not see that",
    404: "; is the url the api's base, ending in /api/v1?",
    405: "; is the url the api's base, ending in /api/v1?",
}


class RemoteReferenceError(RefusedError):
    """An in-place page holds an entry that refers to another installation (see `references`)."""


class UnreachableError(UserError):
    """Nothing answers there."""


A_PAGE = "a web page"
"""How the words begin of an answer that is HTML."""


def unreachable(url: str, words: str) -> UnreachableError:
    """The error of a url where no NOMAD server answers, with what to do about it."""
    advice = "see that the url is right, and the network is there"
    if url.startswith("https:") and "wrong version number" in words.lower().replace("_", " "):
        advice = f"it seems to speak no https: try http{url.removeprefix('https')}"
    elif words.startswith(A_PAGE):
        advice = "give the api's base, such as https://nomad-lab.eu/prod/v1/api/v1"
    return UnreachableError(f"no NOMAD server answers at {url}: {words}; {advice}")


class DatasetError(UserError):
    """The folder holds another query's dataset, a damaged one, or none."""


class ServerError(NomadDaskError):
    """The server kept failing after every try that the retry policy allows."""

    def __init__(self, reason: str, url: str, *, status: int | None = None, attempts: int = 1) -> None:
        self.reason, self.url, self.status, self.attempts = reason, url, status, attempts
        tries = "once" if attempts == 1 else f"{attempts} times"
        super().__init__(f"the server failed {tries}, last with {reason} [{url}]; try again later")


class ProtocolError(NomadDaskError):
    """The server's answer breaks its own rules; going on could lose or repeat entries."""


class EntriesFailedError(NomadDaskError):
    """Entries that the server listed could not be delivered; the message names the first of them."""

    def __init__(self, failures: tuple[Any, ...]) -> None:
        self.failures = failures
        named = ", ".join(f"{f.entry_id} ({f.reason})" for f in failures[:3])
        more = f" and {len(failures) - 3} more" if len(failures) > 3 else ""
        super().__init__(
            f"{counted(len(failures), 'entry', 'entries')} could not be downloaded: {named}{more}; "
            "try again, or take them as rows of nulls with on_failure='null'"
        )


class StorageError(NomadDaskError):
    """The target cannot be written."""


class UnfinishedError(NomadDaskError):
    """A harvest stopped before its plan was done; finished segments are kept, and the message says how to go on."""


class UnknownValueError(NomadDaskError):
    """A value that the schema does not know, under `on_new="raise"`."""
