"""Prints the quantities of NOMAD's own index as `nomad_dask/testing/quantities.py` has them, in nomad-lab's
environment.
"""

import sys
import textwrap
import warnings

warnings.simplefilter("ignore")

from nomad.datamodel.datamodel import EntryArchive  # noqa: E402
from nomad.metainfo.elasticsearch_extension import entry_type  # noqa: E402

_BY_QUERY = {"match_bool_prefix": "words", "match_phrase_prefix": "phrase"}


def kind_of(annotation) -> str:
    """How a quantity is indexed, in the words of `nomad_dask.testing.kinds`."""
    try:
        mapping = annotation.mapping
    except NotImplementedError:
        return "section"
    kind = mapping["type"]
    if kind == "text":
        return (
            "path" if mapping.get("analyzer") == "path_analyzer" else _BY_QUERY.get(annotation.es_query, kind)
        )
    return "integer" if kind == "long" else kind


def main() -> None:
    """One block for each section."""
    entry_type.create_mapping(EntryArchive.m_def)
    sections: dict[str, dict[str, list[str]]] = {}
    for name, quantity in entry_type.quantities.items():
        if "#" not in name and "__suggestion" not in name:
            section, _, last = name.rpartition(".")
            sections.setdefault(section, {}).setdefault(kind_of(quantity.annotation), []).append(last)
    for section in sorted(sections):
        sys.stdout.write(f"[{section}]{' nested' * (section in entry_type.nested_object_keys)}\n")
        for kind, names in sorted(sections[section].items()):
            line = f"{kind}: {' '.join(sorted(names))}"
            sys.stdout.write(textwrap.fill(line, 105, subsequent_indent="  ", break_on_hyphens=False) + "\n")


main()
