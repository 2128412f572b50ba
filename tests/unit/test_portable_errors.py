"""SPEC, "Errors", "Clusters": whatever a task raises reaches the client as one of our errors."""

import asyncio
import pickle
from concurrent.futures import CancelledError

import pytest
from distributed.core import error_message
from distributed.protocol import pickle as dask_pickle
from spoilt import SPOILT, STRANGERS, classes, from_far_below, iter_tb, made, with_many_causes, with_odd_args

from nomad_dask import cli, errors
from nomad_dask.cli.exit_codes import UNFINISHED
from nomad_dask.common.portable_errors import call, portable
from nomad_dask.errors import (
    CauseError,
    InternalError,
    NomadDaskError,
    ServerError,
    UnfinishedError,
    UserError,
)


def raised(error):
    raise error


def sent(error):
    """An error as a client of Dask gets it."""
    with pytest.raises(NomadDaskError) as caught:
        call(raised, error)
    plain = pickle.loads(pickle.dumps(caught.value))
    message = error_message(caught.value)
    got = dask_pickle.loads(message["exception"].data)
    assert type(got) is type(plain) and str(got) == str(plain) == str(caught.value)
    assert not isinstance(dask_pickle.loads(message["traceback"].data), str | bytes), "a real traceback"
    return got


def chain(error):
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


@pytest.mark.parametrize("kind", classes(), ids=lambda kind: kind.__name__)
def test_our_errors_arrive_whole(kind):
    error = made(kind)
    expected, state = str(error), dict(error.__dict__)
    got = sent(from_far_below(error, 5))
    assert type(got) is kind and str(got) == expected and got.__dict__ == state and got.args == error.args


@pytest.mark.parametrize("spoil", SPOILT, ids=lambda spoil: spoil.__name__)
@pytest.mark.parametrize("kind", classes(), ids=lambda kind: kind.__name__)
def test_our_errors_arrive_whatever_hangs_on_them(kind, spoil):
    error = made(kind)
    expected = str(error)
    got = sent(spoil(error))
    assert type(got) is kind and (str(got) == expected or spoil is with_odd_args)
    assert all(isinstance(one, NomadDaskError) for one in chain(got)) and len([*chain(got)]) <= 12
    assert len(pickle.dumps(got)) < 100_000


@pytest.mark.parametrize("spoil", [lambda error: error, *SPOILT])
@pytest.mark.parametrize("stranger", STRANGERS)
def test_any_other_error_is_told_of_by_one_of_ours(stranger, spoil):
    error = from_far_below(stranger(), 30)
    got = sent(spoil(error))
    assert type(got) is InternalError and got.kind.endswith(type(error).__name__)
    assert type(error).__name__ in str(got) and "please report it" in str(got) and len(str(got)) < 1_000
    assert "in dive" in got.trace and got.trace in got.__notes__[0]
    assert len(pickle.dumps(got)) < 100_000


def test_the_nearest_causes_come_along_and_the_first_of_all():
    got = [*chain(portable(with_many_causes(ServerError("odd", "http://x"))))]
    assert [str(one) for one in got[1:4]] == ["cause 0", "KeyError: 1", "cause 2"]
    assert [type(one) for one in got[1:4]] == [UserError, CauseError, UserError]
    assert str(got[-1]) == "KeyError: 1999" and got[-1].kind == "KeyError"


def test_a_worker_without_memory_says_what_to_do():
    error = portable(MemoryError())
    assert "MemoryError" in str(error) and "partition_size" in str(error) and "report" not in str(error)


@pytest.mark.parametrize(
    "kind", [KeyboardInterrupt, SystemExit, GeneratorExit, asyncio.CancelledError, CancelledError]
)
def test_what_is_no_error_keeps_its_meaning(kind):
    with pytest.raises(kind) as caught:
        call(raised, kind())
    assert type(caught.value) is kind


def test_the_tree_is_drawn_in_the_docstring():
    ours = [kind for kind in classes() if kind.__module__ == errors.__name__]
    assert all(kind.__name__ in errors.__doc__ for kind in ours)


def test_nothing_of_the_original_hangs_on_what_is_sent():
    error = from_far_below(made(ServerError))
    with pytest.raises(ServerError) as caught:
        call(raised, error)
    assert caught.value is not error and caught.value.__context__ is None
    assert sum(1 for _ in iter_tb(caught.value)) < 10


def test_the_command_line_prints_the_last_calls(monkeypatch, capsys):
    def fail():
        raise UnfinishedError("1 of 2 segments are left to do") from portable(
            from_far_below(KeyError("x"), 3)
        )

    monkeypatch.setattr(cli, "app", lambda **how: fail())
    with pytest.raises(SystemExit) as ended:
        cli.main()
    said = capsys.readouterr().err
    assert ended.value.code == UNFINISHED
    assert said.startswith("error: 1 of 2 segments are left to do\nThe last calls of the task:\n")
    assert said.count("in dive") == 4 and said.endswith("KeyError: 'x'\n")
