"""Tables and a plot of results."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from comparison.contenders import CONTENDERS, WORKLOADS, Workload
from comparison.ratios import Verdict

Found = Mapping[str, Mapping[str, Mapping[str, float]]]
"""Figures by workload and contender."""
_FAMILIES = {
    "floor": "#8a8f98",
    "nomad-dask": "#2f81f7",
    "nomad-lab": "#d9822b",
    "dlt": "#a371f7",
    "script": "#3fb950",
}


def table(found: Found, notes: Mapping[str, str]) -> str:
    """Return the figures of all workloads as a Markdown table."""
    columns = [WORKLOADS[name] for name in found]
    head = [
        f"| entries/s (MB/s; CPU ms an entry; peak MB; requests for 1,000) | {' | '.join(w.name for w in columns)} |",  # noqa: E501
        "|---|" + "---:|" * len(columns),
        f"| | {' | '.join(_described(w, found[w.name]) for w in columns)} |",
    ]
    return "\n".join(head + [_row(name, columns, found, notes) for name in CONTENDERS if _in(name, found)])


def _described(workload: Workload, of: Mapping[str, Mapping[str, float]]) -> str:
    most = max((f["entries"] for f in of.values()), default=0)
    size = of["decode"]["n_bytes"] / of["decode"]["entries"] / 1e3 if "decode" in of else 0
    return f"{workload.said}: {most:,.0f} entries" + (f" of {size:.0f} kB" if size else "")


def _in(name: str, found: Found) -> bool:
    return any(name in of for of in found.values())


def _row(name: str, columns: list[Workload], found: Found, notes: Mapping[str, str]) -> str:
    cells = [_cell(found[w.name].get(name)) for w in columns]
    title = CONTENDERS[name].title + (f" ({notes[name]})" if name in notes else "")
    return f"| {title} | {' | '.join(cells)} |"


def _cell(f: Mapping[str, float] | None) -> str:
    if f is None:
        return ""
    asked = 1_000 * f["requests"] / f["entries"]
    costs = (f["mb_per_second"], f["cpu_ms_per_entry"], f["peak"] / 1e6, asked)
    return f"**{_short(f['entries_per_second'])}** ({'; '.join(map(_short, costs))})"


def _short(value: float) -> str:
    """Two figures, and no powers of ten."""
    return f"{value:,.0f}" if value >= 10 else f"{value:.2g}"


def plot(found: Found, path: Path) -> None:
    """Entries a second as bars on a log axis, one panel for each workload; no background, greys that both
    themes show."""
    import matplotlib

    matplotlib.use("svg")
    import matplotlib.pyplot as plt

    grey = "#808791"
    plt.rcParams |= {"svg.fonttype": "none", "svg.hashsalt": "nomad-dask", "font.size": 9, "text.color": grey}
    names = [name for name in CONTENDERS if _in(name, found)][::-1]
    figure, panels = plt.subplots(
        1, len(found), figsize=(11, 0.9 + 0.28 * len(names)), sharey=True, squeeze=False
    )
    for panel, (workload, of) in zip(panels[0], found.items(), strict=True):
        rates = [of.get(name, {}).get("entries_per_second", 0.0) for name in names]
        panel.barh(range(len(names)), rates, color=[_colour(name) for name in names], height=0.72)
        panel.set_xscale("log")
        panel.set_xlim(min(r for r in rates if r) / 2, max(rates) * 6)
        panel.set_yticks(range(len(names)), [CONTENDERS[name].title for name in names])
        panel.set_title(f"{workload} ({WORKLOADS[workload].said.replace('`', '')})", color=grey, fontsize=9)
        panel.tick_params(colors=grey, which="both")
        panel.set_xlabel("entries/s", color=grey)
        for k, rate in enumerate(rates):
            if rate:
                panel.text(
                    rate * 1.12, k, f"{rate:,.0f}" if rate >= 10 else f"{rate:.1f}", va="center", color=grey
                )
        for side in panel.spines.values():
            side.set_color(grey)
            side.set_visible(side is panel.spines["bottom"])
    figure.tight_layout()
    path.parent.mkdir(exist_ok=True)
    figure.savefig(path, transparent=True, metadata={"Date": None})
    plt.close(figure)


def _colour(name: str) -> str:
    title = CONTENDERS[name].title
    return next(colour for family, colour in _FAMILIES.items() if title.startswith(family))


def ratios_table(verdicts: Iterable[Verdict]) -> str:
    """Return the promised ratios by workload as Markdown; those that hold are bold."""
    rows: dict[str, list[Verdict]] = {}
    for one in verdicts:
        rows.setdefault(one.said, []).append(one)
    workloads = list(dict.fromkeys(one.workload for of in rows.values() for one in of))
    lines = [f"| ratio | {' | '.join(workloads)} |", "|---|" + "---:|" * len(workloads)]
    for said, of in rows.items():
        cells = {one.workload: _judged(one) for one in of}
        lines.append(f"| {said} | {' | '.join(cells.get(name, '') for name in workloads)} |")
    return "\n".join(lines)


def _judged(one: Verdict) -> str:
    value = (
        "not measured" if one.ratio is None else f"{one.ratio:.2f}" if one.ratio < 10 else f"{one.ratio:.0f}"
    )
    wanted = f"{'at most' if one.at_most else 'at least'} {one.bar:g}"
    return f"{f'**{value}**' if one.holds else value} ({wanted})"


def context_in_words(context: Mapping[str, Any]) -> str:
    """Return a sentence on date and machine."""
    ours, peers, dlt = (context["versions"].get(name, {}) for name in ("ours", "peers", "dlt"))
    others = [f"nomad-lab {peers['nomad-lab']}" if peers else "", f"dlt {dlt['dlt']}" if dlt else ""]
    said = ", ".join(["nomad-dask " + ours.get("nomad-dask", ""), *filter(None, others)])
    less = f"; {context['scale']:.0%} of the entries" if context["scale"] != 1 else ""
    busy = max(context["load_before"], context["load_after"])
    others_too = f"; others used the machine too (load {busy:.0f})" if busy > 2 * context["cores"] else ""
    return (
        f"{context['date'][:10]}, {context['cores']} cores ({context['processor']}), Python {context['python']}, {said}; "  # noqa: E501
        f"medians of {context['runs']} runs after a warm-up{less}{others_too}."
    )


def limits_table(
    found: Found, titles: Mapping[str, str], notes: Mapping[str, str], context: Mapping[str, Any]
) -> str:
    """Return entries per second with limited requests, as Markdown."""
    share = f" on {context['scale']:.0%} of the entries" if context["scale"] != 1 else ""
    lines = [
        f"Where the server allows {context['limit']} requests a second and takes {context['latency'] * 1e3:.0f} ms to begin an "  # noqa: E501
        f"answer, entries a second (requests), median of {context['runs']} runs"
        f"{share}:",
        "",
        f"| | {' | '.join(found)} |",
        "|---|" + "---:|" * len(found),
    ]
    for name, title in titles.items():
        cells = [
            f"**{of[name]['entries_per_second']:,.4g}** ({of[name]['requests']:,.0f})" if name in of else ""
            for of in found.values()
        ]
        lines.append(f"| {title}{f' ({notes[name]})' if name in notes else ''} | {' | '.join(cells)} |")
    return "\n".join(lines)
