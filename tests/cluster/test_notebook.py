"""SPEC, "ArchiveQuery": sync and async calls work alike in a kernel of a notebook, and raise their errors."""

import nbclient
import nbformat
import pytest

from nomad_dask.testing import serve

CELLS = """
from nomad_dask import ArchiveQuery
query = ArchiveQuery(url=URL, required={"results": {"properties": {"n_calculations": "*"}}}, page_size=10, results_max=40)
print(query.fetch(10))
---
print(len(query.download(5)))
---
print(await query.async_fetch(10))
---
print(len(await query.async_download(5)))
---
print(len(query.download()), query.entry_list())
---
try:
    ArchiveQuery(url=URL, query={"nope": 1}).fetch()
except Exception as error:
    print(type(error).__name__)
---
try:
    await ArchiveQuery(url=URL, query={"nope": 1}).async_download()
except Exception as error:
    print(type(error).__name__)
---
frame = query.entries_to_dataframe(query_selection="all")
print(len(frame), list(frame.columns))
"""  # noqa: E501


@pytest.mark.timeout(120)
def test_sync_and_async_calls_in_one_kernel():
    with serve(n_entries=60, seed=2) as url:
        cells = [nbformat.v4.new_code_cell(f"URL = {str(url)!r}")]
        cells += [nbformat.v4.new_code_cell(text.strip()) for text in CELLS.split("---")]
        notebook = nbformat.v4.new_notebook(cells=cells)
        nbclient.NotebookClient(notebook, timeout=60, kernel_name="python3").execute()
    said = [
        "".join(o.text for o in cell.outputs if o.output_type == "stream" and o.name == "stdout").strip()
        for cell in notebook.cells[1:]
    ]
    assert said == [
        "10",
        "5",
        "10",
        "5",
        "10 []",
        "RefusedError",
        "RefusedError",
        "20 ['results.properties.n_calculations']",
    ]
