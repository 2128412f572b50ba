"""Citations of the contract, such as `SPEC, "Retries"`, name sections of .github/SPEC.md or
.github/NOMAD_API.md.
"""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
CITATION = re.compile(r"""\b(SPEC|NOMAD_API)((?:,\s+(?:and\s+)?"[^"\n]+")+)""")
NUMBERED = re.compile(r"\bSPEC \d")


def headings(document):
    text = (ROOT / ".github" / f"{document}.md").read_text("utf-8")
    return set(re.findall(r"^#+ (.+)$", text, re.MULTILINE))


def citations(text):
    """Each document and section that a text cites; one citation may name several sections."""
    for document, sections in CITATION.findall(text):
        for section in re.findall(r'"([^"]+)"', sections):
            yield document, section


def files():
    yield from sorted((ROOT / "nomad_dask").rglob("*.py"))
    yield from sorted(path for path in (ROOT / "tests").rglob("*.py") if path != Path(__file__).resolve())


def test_every_cited_section_exists():
    found = [(path, *cited) for path in files() for cited in citations(path.read_text("utf-8"))]
    known = {document: headings(document) for document in ("SPEC", "NOMAD_API")}
    wrong = [
        f"{path.relative_to(ROOT)}: {document}, {section!r}"
        for path, document, section in found
        if section not in known[document]
    ]
    assert not wrong, wrong
    assert len(found) > 50


def test_tests_cite_sections_by_name():
    numbered = [path.name for path in files() if "tests" in path.parts and NUMBERED.search(path.read_text())]
    assert not numbered, numbered


@pytest.mark.parametrize("document", ["SPEC", "NOMAD_API"])
def test_the_contributing_guide_links_to(document):
    assert f"({document}.md)" in (ROOT / ".github" / "CONTRIBUTING.md").read_text("utf-8")


def test_several_sections_in_one_citation_are_found():
    assert [*citations('SPEC, "Types", "Units": and (NOMAD_API, "Archives")')] == [
        ("SPEC", "Types"),
        ("SPEC", "Units"),
        ("NOMAD_API", "Archives"),
    ]
