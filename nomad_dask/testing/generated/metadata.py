"""Section `metadata` of generated archives and search documents."""

from typing import Any

from nomad_dask.testing.generated.features import FAILED, UNUSUAL
from nomad_dask.testing.generated.profiles import Access, Profile

Json = dict[str, Any]


def metadata_section(p: Profile, access: Access, feature: str | None) -> Json:
    """People by their ids."""
    unusual, published = feature == UNUSUAL, access not in ("staging", "shared")
    folder = "Läufe" if unusual else "calc"
    kind = f"{p.program.name} {'DFT ' if p.workflow == 'SinglePoint' else ''}{p.workflow}"
    metadata: Json = {
        "upload_id": "<upload_id>",
        "upload_name": "<upload_name>",
        "upload_create_time": "<upload_time>",
        "entry_id": "<entry_id>",
        "entry_name": f"<hill> {p.program.name} {p.workflow} simulation",
        "entry_type": kind,
        "entry_hash": "<entry_hash>",
        "entry_create_time": "<entry_time>",
        "parser_name": p.parser_name,
        "mainfile": f"{folder}/<serial>/{p.program.mainfile}",
        "published": published,
        **({"publish_time": "<publish_time>"} if published else {}),
        "with_embargo": access == "embargo",
        "embargo_length": 36 if access == "embargo" else 0,
        "license": "CC BY 4.0",
        "processed": feature != FAILED,
        "last_processing_time": "<processing_time>",
        "processing_errors": ["unsupported something"] if feature == FAILED else [],
        "nomad_version": "2.0.0",
        "nomad_commit": "",
        "main_author": "<author_id>",
        "coauthors": ["<coauthor_id>"] if access in ("coauthored", "shared") else [],
        "domain": "dft",
    }
    if unusual:
        metadata["comment"] = 'Übergangszustand, Ångström-Skala 🧪\u2028反応経路の計算\t"&"'
        metadata["references"] = ['https://example.org/ü?q=%20"', "doi:10.0/…"]
    if p.detail:
        metadata["files"] = [metadata["mainfile"], f"{folder}/<serial>/POTCAR.stripped"]
        metadata["text_search_contents"] = ["dft", metadata["entry_name"]]
    return metadata
