"""The exceptions of nomad-dask. Each message says what happened, where, and what to do.

::

    NomadDaskError
    ├── UserError (also ValueError)     an invalid argument or request; nothing was downloaded; exit code 2
    │   ├── RequiredError               an invalid `required`, rejected before any request
    │   ├── RefusedError                the server rejected the request (4xx)
    │   │   └── RemoteReferenceError    a page with a reference to another installation
    │   ├── DatasetError                the folder holds another query's dataset, a damaged one, or none
    │   └── StructureError              an entry without atoms, or with ones that ASE or pymatgen cannot hold
    ├── UnreachableError                no server at the url, or no scheduler at its address; exit code 4
    ├── ServerError                     the server kept failing after all retries
    │   └── AnswerTooLargeError         a response larger than the limit
    ├── ProtocolError                   an invalid response: a repeated cursor, unrequested ids, an early end
    ├── EntriesFailedError              listed entries that could not be downloaded
    ├── StorageError                    the target cannot be written: full, read-only, gone
    ├── UnfinishedError                 a harvest stopped before it was complete (finished segments are kept),
    │                                   or the workers of a lazy frame's computation were missing or died
    ├── UnknownValueError               a value outside the schema under `on_new="raise"`
    ├── InternalError                   a bug in nomad-dask, or in a library that it uses, in a task
    └── CauseError                      the foreign exception that caused an error in a task

All of them pickle, so an error on a worker reaches the client complete. No message contains a password, a
token, or control characters from a server.
"""

from __future__ import annotations

import sysconfig
import traceback
from typing import Any

from nomad_dask.text import printable
from nomad_dask.text.humanize import counted


class NomadDaskError(Exception):
    """Base class of all exceptions of nomad-dask."""

    def __str__(self) -> str:
        """The message. The middle of a message longer than 4,000 characters is left out."""
        text = super().__str__()
        if len(text) > _LONGEST:
            text = f"{text[: _LONGEST // 2]} … {text[-_LONGEST // 2 :]}"
        return printable(text)

    def _render_traceback_(self) -> list[str]:
        """The traceback that IPython shows: the calls in the user's own code, and the message.

        Hundreds of lines of Dask's and our own calls would hide the message.
        """
        name = type(self).__name__
        lines = [line for frame in traceback.extract_tb(self.__traceback__) for line in _user_call(frame)]
        return [
            *lines,
            f"\x1b[31m{name}\x1b[39m: {self}",
            *getattr(self, "__notes__", ()),
            "",
            _FULL_TRACEBACK,
        ]

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (type(self), self.args, dict(self.__dict__))


_LONGEST = 4_000


def _rebuild(kind: type[NomadDaskError], args: tuple[Any, ...], state: dict[str, Any]) -> NomadDaskError:
    error = kind.__new__(kind, *args)
    error.args = args
    error.__dict__.update(state)
    return error


_FULL_TRACEBACK = "(full traceback: import sys, traceback; traceback.print_exception(sys.last_value))"
_LIBRARY = ("stdlib", "platstdlib", "purelib", "platlib")
_NOT_USER_CODE = (*(sysconfig.get_path(name) for name in _LIBRARY), __file__.rpartition("errors")[0])
"""Folders of the standard library, of installed packages, and of this package."""


def _user_call(frame: traceback.FrameSummary) -> list[str]:
    """The lines that show a call in the user's own code; empty for any other call."""
    in_cell = "ipykernel_" in frame.filename or frame.filename.startswith("<ipython-input")
    is_library = frame.filename.startswith((*_NOT_USER_CODE, "<")) or "site-packages" in frame.filename
    if is_library and not in_cell:
        return []
    location = "this notebook" if in_cell else frame.filename
    inside = "" if frame.name == "<module>" else f", in {frame.name}"
    return [f"\x1b[32m{location}, line {frame.lineno}{inside}\x1b[39m", f"    {frame.line}", ""]


class UserError(NomadDaskError, ValueError):
    """An argument or a request is invalid. Nothing was downloaded."""


class RequiredError(UserError):
    """`required` is invalid; the message names the path of the mistake."""


class StructureError(UserError):
    """An entry has no structure, or one that ASE or pymatgen cannot represent; the message says which."""


class RefusedError(UserError):
    """The server rejected the request (a 4xx response); the message quotes the server's reason.

    Attributes
    ----------
    status : int
        The HTTP status.
    url : str
        The url of the request.
    words : str
        The server's reason.
    """

    def __init__(self, status: int, url: str, words: str) -> None:
        self.status, self.url, self.words = status, url, words
        advice = _WRONG_LOGIN if url.endswith(_LOGIN) else _ADVICE.get(status, "")
        super().__init__(f"the server refused ({status}): {words} [{url}]{advice}")


_LOGIN = "/auth/token"
_WRONG_LOGIN = (
    "; give the login's username and password again, or set NOMAD_CLIENT_USER and NOMAD_CLIENT_PASSWORD"
)
_ADVICE = {
    401: "; log in: give username and password, or a token, or set NOMAD_CLIENT_USER and "
    "NOMAD_CLIENT_PASSWORD, or NOMAD_CLIENT_ACCESS_TOKEN (and "
    "NOMAD_CLIENT_URL, unless it is the public server)",
    403: "; this login is not allowed to see it",
    404: "; is the url the API base, ending in /api/v1?",
    405: "; is the url the API base, ending in /api/v1?",
}


class RemoteReferenceError(RefusedError):
    """A page resolved in place contains an entry that refers to another installation (see `references`)."""


class UnreachableError(NomadDaskError):
    """No server answers at the url, or no scheduler at its address: a wrong address, or an outage."""


A_PAGE = "a web page"
"""The start of the message for an HTML response."""


def unreachable(url: str, words: str) -> UnreachableError:
    """The error for a url at which no NOMAD server answers, with advice."""
    advice = "check the url and the network connection"
    if url.startswith("https:") and "wrong version number" in words.lower().replace("_", " "):
        advice = f"the server does not seem to use https: try http{url.removeprefix('https')}"
    elif words.startswith(A_PAGE):
        advice = "give the API base, such as https://nomad-lab.eu/prod/v1/api/v1"
    return UnreachableError(f"no NOMAD server answers at {url}: {words}; {advice}")


class DatasetError(UserError):
    """The folder contains the dataset of another query, a damaged dataset, or none."""


class ServerError(NomadDaskError):
    """The server failed at every attempt that the retry policy allows.

    Attributes
    ----------
    reason : str
        The most informative failure of the attempts.
    url : str
        The url of the request.
    status : int or None
        The HTTP status of that failure; None without a response.
    attempts : int
        The number of attempts.
    """

    def __init__(self, reason: str, url: str, *, status: int | None = None, attempts: int = 1) -> None:
        self.reason, self.url, self.status, self.attempts = reason, url, status, attempts
        tries = "once" if attempts == 1 else f"{attempts} times"
        super().__init__(f"the server failed {tries}: {reason} [{url}]; try again later")


class AnswerTooLargeError(ServerError):
    """A response is larger than the limit, and was not read to its end."""

    def __init__(self, bound: str, url: str, *, attempts: int = 1) -> None:
        self.bound = bound
        super().__init__(f"an answer larger than {bound}", url, attempts=attempts)
        self.args = (f"the server's answer is larger than {bound} [{url}]",)


class ProtocolError(NomadDaskError):
    """The server's response is invalid; continuing could lose or repeat entries."""


class EntriesFailedError(NomadDaskError):
    """Entries that the server listed could not be downloaded; the message names the first of them.

    Attributes
    ----------
    failures : tuple
        The failures, with ``entry_id``, ``upload_id``, ``status``, ``reason`` and ``attempts``.
    """

    def __init__(self, failures: tuple[Any, ...]) -> None:
        self.failures = failures
        named = ", ".join(f"{f.entry_id} ({f.reason})" for f in failures[:3])
        more = f" and {len(failures) - 3} more" if len(failures) > 3 else ""
        super().__init__(
            f"{counted(len(failures), 'entry', 'entries')} could not be downloaded: {named}{more}; "
            "try again, or use on_failure='null' to get rows of nulls for them"
        )


class StorageError(NomadDaskError):
    """The target cannot be written."""


class UnfinishedError(NomadDaskError):
    """A harvest stopped before it was complete, or the workers of a computation were missing or died.

    Finished segments are kept.
    """


class UnknownValueError(NomadDaskError):
    """A value does not fit the schema, with `on_new="raise"`."""


class InternalError(NomadDaskError):
    """A task raised an exception that is not a NomadDaskError: its class, message and last calls as text."""

    def __init__(self, kind: str, words: str, trace: str = "", *, out_of_memory: bool = False) -> None:
        self.kind, self.words, self.trace = kind, words, trace
        advice = _OUT_OF_MEMORY if out_of_memory else _REPORT
        super().__init__(f"a task failed with {words}; {advice}")
        if trace:
            self.add_note(f"The last calls of the task:\n{trace}\n{words}")


_REPORT = "this is a bug in nomad-dask: please report it, with the traceback below"
_OUT_OF_MEMORY = "the worker has too little memory: use smaller partitions (partition_size) or fewer workers"


class CauseError(NomadDaskError):
    """The exception of Python or another library that caused a NomadDaskError in a task, as text."""

    def __init__(self, kind: str, words: str) -> None:
        self.kind = kind
        super().__init__(words)


def error_summary(error: BaseException) -> str:
    """An exception's class and message, in one line of at most 400 characters."""
    try:
        words = " ".join(str(error).split())
    except Exception:  # any class may have any `__str__`
        words = ""
    text = f"{type(error).__name__}: {words}" if words else type(error).__name__
    return text if len(text) <= 400 else f"{text[:399]}…"


def notes_of(error: BaseException) -> list[str]:
    """The notes of an error and of its causes, such as the last calls of an InternalError."""
    notes, visited, one = list[str](), set[int](), error
    while one is not None and id(one) not in visited:
        visited.add(id(one))
        notes += getattr(one, "__notes__", ())
        one = one.__cause__ or one.__context__  # type: ignore[assignment]
    return notes
