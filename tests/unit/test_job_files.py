"""Issue 13: a byte order mark in a file of JSON or TOML is read over, as Windows' editors and shells write
it.
"""

import pytest

from nomad_dask.cli.options import job_options, json_value
from nomad_dask.errors import UserError

MARKED = ["utf-8-sig", "utf-16", "utf-8"]
QUERY = {"results.material.elements": ["Ti", "O"], "authors.name": "Jürgen"}
JSON = '{"results.material.elements": ["Ti", "O"], "authors.name": "Jürgen"}'


@pytest.mark.parametrize("encoding", MARKED)
def test_a_byte_order_mark_is_read_over(tmp_path, encoding):
    (tmp_path / "query.json").write_text(JSON, encoding=encoding)
    assert json_value(f"@{tmp_path}/query.json", "--query") == QUERY
    (tmp_path / "job.json").write_text(f'{{"query": {JSON}, "out": "h"}}', encoding=encoding)
    (tmp_path / "job.toml").write_text('owner = "public"\n', encoding=encoding)
    known = ("query", "out", "owner")
    assert job_options(tmp_path / "job.json", known) == {"query": QUERY, "out": "h"}
    assert job_options(tmp_path / "job.toml", known) == {"owner": "public"}


def test_a_mark_before_what_a_shell_read_from_a_file():
    assert json_value("\ufeff" + JSON, "--query") == QUERY


def test_what_is_no_text_is_said(tmp_path):
    (tmp_path / "query.json").write_bytes(b'{"a": "\xff"}')
    with pytest.raises(UserError, match="--query: cannot read"):
        json_value(f"@{tmp_path}/query.json", "--query")
