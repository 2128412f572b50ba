"""SPEC, "Fetch and download": a query without matches says what is unusual in it."""

import pytest

from nomad_dask.request.no_match import no_match_message


@pytest.mark.parametrize(
    ("query", "advice"),
    [
        ({"results.material.elements": "ti"}, "case-sensitive: 'Ti', not 'ti'"),
        ({"results.material.elements:any": ["O", "TI"]}, "case-sensitive: 'Ti', not 'TI'"),
        ({"results": {"material": {"elements": {"any": ["fe"]}}}}, "case-sensitive: 'Fe', not 'fe'"),
        ({"and": [{"or": [{"results.material.elements": "titanium"}]}]}, "its symbol"),
        ({"results.material.chemical_formula_reduced": "TiO2"}, "alphabetical order: 'O2Ti', not 'TiO2'"),
        ({"results.material.elements": ["Ti", "O"]}, "'results.material.elements:any' means one or more"),
        ({"results.method.method_name": "dft"}, "with upper and lower case"),
    ],
)
def test_what_is_unusual_in_a_query_is_named(query, advice):
    message = no_match_message("visible", query)
    assert message.startswith("no entry matches the query: ") and advice in message


def test_nothing_is_said_of_what_is_usual():
    query = {
        "results.material.elements": ["Ti"],
        "results.material.chemical_formula_reduced": "O2Ti",
        "results.material.n_elements": {"gte": 2, "lte": 3},
        "not": {"results.material.elements": "ti"},
    }
    message = no_match_message("visible", query)
    assert "symbol" not in message and "alphabetical" not in message and ":any" not in message
    assert no_match_message("visible", {}) == "no entry matches the query"


def test_a_cursor_and_an_owner_are_named():
    message = no_match_message("user", {}, "zzz")
    assert (
        "only entries after 'zzz'" in message
        and "owner='user' searches only entries of your login" in message
    )


def test_a_message_names_few_conditions():
    message = no_match_message("visible", {"results.material.elements": [f"x{n}" for n in range(1_000)]})
    assert len(message) < 1_000
