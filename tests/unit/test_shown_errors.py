"""Issue 7: an error in a notebook is the user's own lines and its message, not the insides of libraries."""

import linecache

from hypothesis import given
from hypothesis import strategies as st

from nomad_dask import ArchiveQuery
from nomad_dask.errors import EntriesFailedError, NomadDaskError, RequiredError
from nomad_dask.request import Failure
from nomad_dask.text import printable

CELL = "def mine():\n    return work()\n\nmine()\n"


def shown(work, filename="/tmp/ipykernel_7/1.py"):
    """What a notebook shows of the error that a cell's work raises."""
    linecache.cache[filename] = (len(CELL), None, CELL.splitlines(keepends=True), filename)
    try:
        exec(compile(CELL, filename, "exec"), {"work": work})
    except NomadDaskError as error:
        return "\n".join(error._render_traceback_())
    raise AssertionError("nothing was raised")


def test_the_users_lines_and_the_message_are_shown_and_no_insides():
    words = shown(lambda: ArchiveQuery(required={"run": {"x": 5}}))
    assert "this notebook, line 4" in words and "line 2, in mine" in words and "    return work()" in words
    assert "required: a number (5) at run.x" in words and "RequiredError" in words
    assert "nomad_dask/" not in words.replace(__file__, "") and "required.py" not in words


def test_a_module_of_the_users_own_is_named():
    assert f"{__file__}, line" in shown(lambda: ArchiveQuery(required={"run": {"x": 5}}))


@given(st.text())
def test_any_error_can_be_shown(message):
    def work():
        raise RequiredError(message)

    assert printable(message) in shown(work)


def test_an_error_that_was_never_raised_can_be_shown():
    failed = EntriesFailedError((Failure("E", "U", 500, "poison", 3),))
    assert any("E (poison)" in line for line in failed._render_traceback_())
