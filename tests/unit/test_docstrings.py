"""Issue 7: what `nomad_dask` gives, and what its objects have, says what it takes, what it gives, and how it fails.

A docstring may refer to another public name in backticks, as `ArchiveQuery.to_parquet`, and need not repeat what stands there.
"""

import inspect
import re
from functools import cache

import pytest

import nomad_dask
from nomad_dask.pure import errors

ASK_NOTHING = {"ArchiveQuery.clear", "ArchiveQuery.entry_list", "Archive.to_dict"}
"""What neither asks a server nor reads a file, and so has no errors to tell."""
NOUNS = r"^(The|A|An|How|What|Which|Whether|`)"


def public():
    """Every public function, method and property by its name; inherited ones too, where they are ours."""
    for name in nomad_dask.__all__:
        thing = getattr(nomad_dask, name)
        if inspect.isclass(thing):
            yield name, thing
            for member in dir(thing):
                found = inspect.getattr_static(thing, member)
                home = next((c.__module__ for c in thing.__mro__ if member in vars(c)), "")
                told = inspect.isfunction(found) or isinstance(found, property)
                if not member.startswith("_") and told and home.startswith("nomad_dask"):
                    yield f"{name}.{member}", found
        elif callable(thing):
            yield name, thing


PUBLIC = dict(public())
FUNCTIONS = {name: thing for name, thing in PUBLIC.items() if inspect.isfunction(thing)}


@cache
def told(name):
    """The docstring, and those of the public names that it refers to."""
    words = inspect.getdoc(PUBLIC[name]) or ""
    owner = name.partition(".")[0]
    others = {other for found in re.findall(r"`([\w.]+)`", words) for other in (found, f"{owner}.{found}")}
    return words + "".join(told(other) for other in sorted(others & PUBLIC.keys() - {name}))


def parameters(thing):
    target = thing.__init__ if inspect.isclass(thing) else thing
    return [name for name in inspect.signature(target).parameters if name not in ("self", "args", "kwargs")]


@pytest.mark.parametrize("name", PUBLIC)
def test_a_docstring_opens_with_one_sentence(name):
    first = (inspect.getdoc(PUBLIC[name]) or "").partition("\n\n")[0]
    assert re.search(r"[.:)]$", first.strip()), f"{name}: {first!r}"


@pytest.mark.parametrize("name", [name for name in PUBLIC if not isinstance(PUBLIC[name], property)])
def test_a_docstring_names_each_parameter(name):
    thing = PUBLIC[name]
    if inspect.isclass(thing) and issubclass(thing, Exception):
        return
    missing = [parameter for parameter in parameters(thing) if not re.search(rf"\b{parameter}\b", told(name))]
    assert not missing, f"{name} says nothing of {', '.join(missing)}"


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_docstring_tells_what_is_given_back(name):
    if inspect.signature(FUNCTIONS[name]).return_annotation in (None, "None"):
        return
    assert re.search(NOUNS, told(name)) or re.search(r"\b([Rr]eturns?|[Gg]ives?)\b", told(name)), name


@pytest.mark.parametrize("name", sorted(FUNCTIONS.keys() - ASK_NOTHING))
def test_a_docstring_tells_the_errors(name):
    named = set(re.findall(r"\b\w+Error\b", told(name)))
    assert named, f"{name} tells no error"
    builtin = {"ValueError", "AttributeError"}
    assert named - builtin <= {n for n in vars(errors) if n.endswith("Error")}, f"{name}: {named}"


def test_the_tree_of_errors_is_drawn_whole():
    drawn = errors.__doc__
    for name, thing in vars(errors).items():
        if inspect.isclass(thing) and issubclass(thing, Exception):
            assert re.search(rf"── {name}\b|^ +{name}$", drawn, re.M), f"{name} is not in the tree"
