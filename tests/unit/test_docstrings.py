"""Issue 7: docstrings of public names are numpydoc, and name parameters, results and errors.

A docstring may refer to another public name in backticks, such as `ArchiveQuery.to_parquet`, instead of
repeating its sections.
"""

import inspect
import re
from functools import cache
from pathlib import Path

import pytest

import nomad_dask
from nomad_dask import errors

NO_ERRORS = {"ArchiveQuery.clear", "ArchiveQuery.entry_list", "Archive.to_dict", "show_versions"}
"""Functions that neither send a request nor read a file, and so raise no errors."""
VALUES = {"Failure", "Plan", "Report"}
"""Values that functions return and users do not make: their fields have their own docstrings."""
ORDER = ["Parameters", "Returns", "Yields", "Raises", "Warns", "See Also", "Notes", "References", "Examples"]


def public():
    """Every public function, method and property by name, including our own inherited ones."""
    for name in nomad_dask.__all__:
        thing = getattr(nomad_dask, name)
        if inspect.isclass(thing):
            yield name, thing
            for member in dir(thing) if name not in VALUES else ():
                found = inspect.getattr_static(thing, member)
                home = next((c.__module__ for c in thing.__mro__ if member in vars(c)), "")
                documented = inspect.isfunction(found) or isinstance(found, property)
                if not member.startswith("_") and documented and home.startswith("nomad_dask"):
                    yield f"{name}.{member}", found
        elif callable(thing):
            yield name, thing


PUBLIC = dict(public())
FUNCTIONS = {name: thing for name, thing in PUBLIC.items() if inspect.isfunction(thing)}


def sections(doc):
    """The numpydoc sections of a docstring, by heading; the text before the first one is under ''."""
    parts = re.split(r"^([A-Z][A-Za-z ]+)\n-{3,}$", doc, flags=re.M)
    return {"": parts[0]} | dict(zip(parts[1::2], parts[2::2], strict=True))


def entries(section):
    """What a section of parameters or errors lists: the names of its unindented lines."""
    lines = [line for line in section.splitlines() if line and not line.startswith(" ")]
    return {name.strip() for line in lines for name in line.partition(" : ")[0].split(",")}


@cache
def documented(name, section):
    """A section of a docstring, with that of the public names that the docstring refers to, and so on."""
    found, to_visit = {}, [name]
    while to_visit:
        one = to_visit.pop()
        if one in found:
            continue
        doc = inspect.getdoc(PUBLIC[one]) or ""
        found[one] = sections(doc).get(section, "")
        owner = one.partition(".")[0]
        names = {n for word in re.findall(r"`([\w.]+)`", doc) for n in (word, f"{owner}.{word}")}
        to_visit += sorted(names & PUBLIC.keys())
    return "".join(found.values())


def parameters(thing):
    target = thing.__init__ if inspect.isclass(thing) else thing
    found = inspect.signature(target).parameters.values()
    return {one.name for one in found if one.name != "self" and one.kind != one.VAR_POSITIONAL}


@pytest.mark.parametrize("name", PUBLIC)
def test_a_docstring_opens_with_one_sentence(name):
    first = (inspect.getdoc(PUBLIC[name]) or "").partition("\n\n")[0].strip()
    assert re.search(r"[.)]$", first) and "\n" not in first, f"{name}: {first!r}"


@pytest.mark.parametrize("name", PUBLIC)
def test_a_docstring_is_numpydoc(name):
    doc = inspect.getdoc(PUBLIC[name]) or ""
    assert not re.search(r"^(Args|Arguments|Returns|Raises|Yields|Examples?):", doc, re.M), name
    headings = list(sections(doc))[1:]
    assert headings == [heading for heading in ORDER if heading in headings], f"{name}: {headings}"
    assert ">>>" not in doc or ">>>" in sections(doc).get("Examples", ""), f"{name}: no section Examples"


@pytest.mark.parametrize("name", [name for name in PUBLIC if not isinstance(PUBLIC[name], property)])
def test_a_docstring_names_each_parameter_and_no_other(name):
    thing = PUBLIC[name]
    if name in VALUES or (inspect.isclass(thing) and issubclass(thing, Exception)):
        return
    own = entries(sections(inspect.getdoc(thing) or "").get("Parameters", ""))
    assert own <= parameters(thing), f"{name} has no {', '.join(own - parameters(thing))}"
    missing = parameters(thing) - entries(documented(name, "Parameters"))
    assert not missing, f"{name} does not document {', '.join(missing)}"


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_docstring_says_what_is_returned(name):
    if inspect.signature(FUNCTIONS[name]).return_annotation in (None, "None"):
        return
    assert documented(name, "Returns").strip(), name


@pytest.mark.parametrize("name", sorted(FUNCTIONS.keys() - NO_ERRORS))
def test_a_docstring_names_the_errors(name):
    named = set(re.findall(r"\b\w+Error\b", documented(name, "Raises")))
    assert named, f"{name} names no error"
    builtin = {"ValueError", "AttributeError"}
    assert named - builtin <= {n for n in vars(errors) if n.endswith("Error")}, f"{name}: {named}"


def test_the_reference_has_every_public_name():
    text = (Path(__file__).resolve().parents[2] / ".github" / "docs" / "reference.md").read_text()
    names = {name.rpartition(".")[2] for name in re.findall(r"^::: (\S+)$", text, re.M)}
    assert {name for name in nomad_dask.__all__ if not name.endswith(("Error", "__"))} <= names


def test_the_tree_of_errors_is_drawn_whole():
    drawn = errors.__doc__
    for name, thing in vars(errors).items():
        if inspect.isclass(thing) and issubclass(thing, Exception):
            assert re.search(rf"── {name}\b|^ +{name}$", drawn, re.M), f"{name} is not in the tree"


def test_the_help_of_a_method_shows_the_choices():
    shown = str(inspect.signature(nomad_dask.ArchiveQuery.to_dask_dataframe))
    assert "layout: Literal['wide', 'nested', 'tables'] = 'wide'" in shown
    assert "on_failure: Literal['raise', 'null'] = 'raise'" in shown
    assert "owner: Literal['visible', 'public'," in str(inspect.signature(nomad_dask.ArchiveQuery))
    assert "layout: Literal['wide'," in str(inspect.signature(nomad_dask.ArchiveQuery.forecast))
