"""SPEC, "ArchiveQuery": a usual name that the query does not have says where it is."""

import copy
import pickle
import re

import pytest

from nomad_dask import ArchiveQuery
from nomad_dask.query.ways_out import _ELSEWHERE


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("to_dataframe", r"use to_pandas\(\), or entries_to_dataframe\(\)"),
        ("to_ddf", r"use to_dask_dataframe\(\)"),
        ("head", r"use download\(5\)"),
        ("to_json", r"use download\(as_plain_dict=True\)"),
        ("to_panda", "did you mean 'to_pandas'"),
        ("nonsense_zzz", "it has .*to_parquet"),
    ],
)
def test_a_name_that_is_not_there_says_where_it_is(name, words):
    with pytest.raises(AttributeError, match=f"ArchiveQuery has no attribute '{name}'; .*{words}|{words}"):
        getattr(ArchiveQuery(), name)
    assert not hasattr(ArchiveQuery(), name)


def test_the_names_are_not_those_of_the_query():
    assert not [name for name in _ELSEWHERE if hasattr(ArchiveQuery, name)]


def test_places_exist():
    methods = {name for place in _ELSEWHERE.values() for name in re.findall(r"(?<![\w.])(\w+)\(", place)}
    assert len(methods) > 5
    assert not {name for name in methods - {"len", "list"} if not hasattr(ArchiveQuery, name)}


def test_a_query_is_still_copied_and_pickled():
    query = ArchiveQuery(query={"results.material.n_elements": 2})
    for other in (copy.copy(query), copy.deepcopy(query), pickle.loads(pickle.dumps(query))):
        assert other.query == query.query and repr(other) == repr(query)
