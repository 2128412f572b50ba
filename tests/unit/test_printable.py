"""What a server says is printed without control characters, wherever it is printed; data itself is not
altered.
"""

import json
import unicodedata
import warnings

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from nomad_dask import ArchiveQuery
from nomad_dask.archive.archive import Archive
from nomad_dask.cli import app, status_drawing
from nomad_dask.cli.events import print_event
from nomad_dask.client.answers import AnswerError, error_words, listing
from nomad_dask.dataset.status import reasons
from nomad_dask.errors import NomadDaskError, RefusedError, RequiredError, ServerError
from nomad_dask.metainfo.definitions import Definitions
from nomad_dask.query.schema_tree import SchemaTree
from nomad_dask.request import Failure
from nomad_dask.request.check import EmptyPaths, empty_path_warnings, refuse_unknown
from nomad_dask.request.required import parse
from nomad_dask.text import json_text, one_line, printable
from nomad_dask.text.html import facts_card, tag, tree_card

DIRECTIONS = {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"}
NASTY = "\x1b]0;title\x07\x1b[31mred\x1b[0m\r\n\x9b2J\x00\x7f\u202eover\u2066\u200f\u2028\u2029\ufeff\udcff\U000e0041"  # noqa: E501
TEXTS = st.one_of(
    st.text(max_size=30),
    st.lists(st.sampled_from([*NASTY, "a", " ", "\n", "\t", "ü", "日"]), max_size=20).map("".join),
)


def acts(letter):
    """Whether a letter would act on a terminal or a page: written by what Unicode says, not as the code has
    it.
    """
    return (
        unicodedata.category(letter) in ("Cc", "Cs", "Zl", "Zp")
        or unicodedata.bidirectional(letter) in DIRECTIONS
        or letter in "\u200e\u200f\u061c\ufeff"
        or 0xE0000 <= ord(letter) < 0xE0080
    )


def is_clean(text, *, lines=True):
    return not [letter for letter in text if acts(letter) and not (lines and letter in "\n\t")]


@given(TEXTS)
def test_nothing_acts_after(text):
    assert is_clean(printable(text)) and is_clean(one_line(text), lines=False)
    assert len(one_line(text, max_length=10)) <= 10
    assert printable(printable(text)) == printable(text) and one_line(one_line(text)) == one_line(text)
    if is_clean(text, lines=False):
        assert printable(text) == text and one_line(text) == " ".join(text.split())


@given(st.dictionaries(st.text(max_size=30), st.text(max_size=30), max_size=3))
def test_json_says_the_same(tree):
    assert is_clean(json_text(tree), lines=False) and json.loads(json_text(tree)) == tree


@given(TEXTS)
def test_errors_and_pages_are_clean(text):
    body = json.dumps({"detail": text}).encode()
    for said in (error_words(body), error_words(text.encode("utf-8", "replace"))):
        assert is_clean(said, lines=False)
        for error in (ServerError(said, "http://h"), RefusedError(422, "http://h", said)):
            assert is_clean(str(error), lines=False)
    for error in (NomadDaskError(text), RequiredError(text), ServerError(text, text)):
        assert is_clean(str(error)) and is_clean(repr(error))
    for page in (
        tag("p", text, title=text),
        facts_card(text, {text: text}),
        tree_card(text, {text: [text]}),
    ):
        assert is_clean(page)


@given(TEXTS)
def test_what_is_said_of_answers_is_clean(text):
    for answer in (
        {"pagination": {"total": text}},
        {"pagination": {"total": 0}, "data": [{"entry_id": text}]},
    ):
        try:
            listing(answer)
        except AnswerError as error:
            assert is_clean(str(error), lines=False)


SCHEMAS = st.builds(
    lambda name, unit, description, section: {
        "properties": {
            name or "a": {"type": "number", "unit": unit, "description": description, "enum": [description]},
            "inside": {"$ref": f"#/$defs/{section}", "description": unit},
            "again": {"reference_section_def": section},
        },
        "$defs": {section: {"properties": {name or "a": {"type": "string", "description": name}}}},
        "description": description,
        "$id": unit,
    },
    *[TEXTS] * 4,
)


@settings(max_examples=40)
@given(SCHEMAS)
def test_a_schema_is_shown_clean(schema):
    definitions = Definitions(schema)
    tree = SchemaTree(definitions)
    places = [tree, tree["inside"], tree["again"], tree.find("a")]
    for shown in (repr(place) for place in (definitions, definitions.section(), *places)):
        assert is_clean(shown), shown
    assert all(is_clean(place._repr_html_()) for place in places)
    for tried in ({"nope": "*"}, {"inside": {"nope": "*"}}):
        required = parse(tried)
        assert all(
            is_clean(words)
            for words in empty_path_warnings(required, EmptyPaths(required.paths, n_examined=1), definitions)
        )
        try:
            refuse_unknown(required, definitions)
        except RequiredError as error:
            assert is_clean(str(error), lines=False)


@settings(max_examples=40)
@given(TEXTS.filter(lambda text: text and not text.startswith("_")), TEXTS)
def test_an_archive_is_shown_clean(name, value):
    archive = Archive({name: {name: value}} | {"a": [{name: value}]}, "E", "U", None, ())
    for shown in (archive, archive.a, archive.a[0]):
        assert is_clean(repr(shown)), repr(shown)
        assert is_clean(shown._repr_html_())
    with pytest.raises(AttributeError) as caught:
        archive.nope  # noqa: B018
    assert is_clean(str(caught.value), lines=False)


@given(TEXTS, st.sampled_from([None, 500]))
def test_reasons_are_printed_clean_and_the_status_once(words, status):
    (line,) = status_drawing._reasons(reasons([Failure("E", "U", status, words, 3)]))
    assert is_clean(line, lines=False)
    (line,) = status_drawing._reasons(reasons([Failure("E", "U", 500, "status 500: no files", 3)]))
    assert line == "1: status 500: no files"


def test_events_are_printed_clean(capsys):
    print_event("error", {"message": NASTY.replace("\udcff", "")})
    line = capsys.readouterr().out
    assert is_clean(line[:-1], lines=False) and json.loads(line)["message"] == NASTY.replace("\udcff", "")


@pytest.mark.parametrize("how", [[], ["--json"], ["--find", "red"], ["inside"]])
def test_the_command_prints_a_schema_clean(how, monkeypatch):
    quantity = {"type": "number", "unit": NASTY, "description": NASTY, "nomad_type": NASTY}
    schema = {"properties": {NASTY: quantity, "inside": {"$ref": f"#/$defs/{NASTY}"}}, "description": NASTY}
    schema = json.loads(json.dumps(schema).replace("\\udcff", ""))
    monkeypatch.setattr(ArchiveQuery, "schema", SchemaTree(Definitions(schema)))
    done = CliRunner().invoke(app, ["schema", *how])
    assert done.exit_code == 0, done.exception
    assert "red" in done.stdout and is_clean(done.stdout)


def test_a_note_of_the_command_line_is_clean(capsys, monkeypatch):
    import sys

    from nomad_dask import cli

    monkeypatch.setattr(sys, "argv", ["nomad-dask", "--version"])
    monkeypatch.setattr(warnings, "showwarning", warnings.showwarning)
    monkeypatch.setattr("signal.signal", lambda *_: None)
    with pytest.raises(SystemExit):
        cli.main()
    warnings.showwarning(UserWarning(NASTY), UserWarning, "x", 1)
    assert is_clean(capsys.readouterr().err)
