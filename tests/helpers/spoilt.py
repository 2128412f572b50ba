"""Errors of every class, and all that may hang on them: long tracebacks, many causes, what cannot be
pickled.
"""

import inspect
import threading
from functools import partial

from nomad_dask.errors import NomadDaskError, ServerError, UserError
from nomad_dask.request import Failure


def classes(root=NomadDaskError):
    """Every class of ours, new ones too."""
    found = [root, *(below for kind in root.__subclasses__() for below in classes(kind))]
    return [kind for kind in dict.fromkeys(found) if kind.__module__.startswith("nomad_dask")]


def made(kind):
    """An error of a class, with arguments by their names."""
    known = {"status": 500, "attempts": 3, "failures": (Failure("E", "U", 500, "poison", 3),)}
    wanted = inspect.signature(kind.__init__).parameters.values()
    given = [
        p for p in wanted if p.kind is not p.VAR_POSITIONAL and p.name != "self" and p.default is p.empty
    ]
    if not given:
        return kind("what happened")
    return kind(**{p.name: known.get(p.name, f"some {p.name}") for p in given if p.kind is not p.VAR_KEYWORD})


def dive(levels, error):
    if levels:
        dive(levels - 1, error)
    raise error


def from_far_below(error, levels=900):
    """An error with a traceback of many frames; Python itself goes about as deep."""
    try:
        dive(levels, error)
    except BaseException as caught:
        return caught


def with_long_traceback(error):
    for _ in range(3):
        error = from_far_below(error, 700)
    assert sum(1 for _ in iter_tb(error)) > 2_000
    return error


def iter_tb(error):
    at = error.__traceback__
    while at:
        yield at
        at = at.tb_next


def with_many_causes(error):
    last = error
    for n in range(2_000):
        cause = KeyError(n) if n % 2 else UserError(f"cause {n}")
        if n % 3:
            last.__cause__ = cause
        else:
            last.__context__ = cause
        last = cause
    return error


def with_itself_as_cause(error):
    other = ValueError("other")
    error.__context__, other.__context__ = other, error
    return error


class WithoutWords(Exception):
    """Neither shown nor pickled."""

    def __str__(self):
        raise RuntimeError

    __repr__ = __str__

    def __reduce__(self):
        raise TypeError("never pickled")


class Unloadable(Exception):
    """Pickled, and not unpickled."""

    def __init__(self, one, two):
        super().__init__(one)


class OurLike(ServerError):
    """Of ours, but nobody else knows it."""


def with_odd_attributes(error):
    error.lock, error.words, error.function = threading.Lock(), WithoutWords(), lambda: 0
    error.loop = error
    error.nested = deep = []
    for _ in range(2_000):
        deep.append(deep := [])
    return error


def with_odd_args(error):
    error.args = (*error.args, threading.Lock(), WithoutWords(), "x" * 10**6, 10**5000)
    return error


def with_groups(error):
    group = ExceptionGroup(
        "all", [ValueError(1), ExceptionGroup("inner", [made(ServerError), WithoutWords()])]
    )
    for n in range(500):
        group = ExceptionGroup(f"around {n}", [group])
    error.__cause__ = group
    return error


SPOILT = [
    with_long_traceback,
    with_many_causes,
    with_itself_as_cause,
    with_odd_attributes,
    with_odd_args,
    with_groups,
]


def _group():
    return ExceptionGroup("all", [ValueError(1), made(ServerError)])


STRANGERS = [
    partial(KeyError, "x"),
    partial(OSError, 28, "No space left on device", "/somewhere"),
    partial(UnicodeDecodeError, "utf-8", b"\xff", 0, 1, "odd"),
    WithoutWords,
    partial(Unloadable, "one", "two"),
    partial(OurLike, "odd", "http://x"),
    _group,
    partial(RecursionError, "maximum recursion depth exceeded"),
    partial(ValueError, "x" * 10**6),
    partial(StopIteration, 3),
]


def fail(kind, spoil):
    """The body of a task: raises one of our errors, or another's, with all that hangs on it."""
    raise spoil(made(kind) if kind in classes() else kind())
