"""Bars with whiskers as plain SVG: the median of the rounds, and from the least to the greatest.

Written only when a benchmark is asked to (`--figure`), into `docs/figures/`.
"""

from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from statistics import median

from bench.tools.machine import ROOT

FOLDER = ROOT / "docs" / "figures"
WIDTH, LABELS, VALUES, ROW, BAR, TOP = 860, 270, 90, 26, 16, 44
OURS = "Jobyard"
# Text takes the colour of the page's theme; the two fills are readable on white and on black.
STYLE = """
  text { font: 13px system-ui, sans-serif; fill: #1f2328 }
  .title { font-weight: 600; font-size: 15px }
  .whisker { stroke: #1f2328; stroke-width: 1.5 }
  .ours { fill: #2f81f7 } .theirs { fill: #8b949e }
  @media (prefers-color-scheme: dark) { text { fill: #e6edf3 } .whisker { stroke: #e6edf3 } }
"""


def draw(name: str, title: str, unit: str, figures: Mapping[str, Sequence[float]]) -> Path:
    """Write `docs/figures/NAME.svg`: one bar for each label, in the order given; return the path."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    path = FOLDER / f"{name}.svg"
    path.write_text(svg(title, unit, figures))
    return path


def svg(title: str, unit: str, figures: Mapping[str, Sequence[float]]) -> str:
    """Return the picture as text."""
    scale = (WIDTH - LABELS - VALUES) / (max(map(max, figures.values())) or 1)
    height = TOP + ROW * len(figures) + 8
    bars = [
        _bar(TOP + ROW * place, label, values, scale) for place, (label, values) in enumerate(figures.items())
    ]
    said = escape(f"{title} ({unit})")
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img">',
            f"<title>{said}</title>",
            f"<style>{STYLE}</style>",
            f'<text class="title" x="8" y="24">{said}</text>',
            *bars,
            "</svg>\n",
        ]
    )


def _bar(top: int, label: str, values: Sequence[float], scale: float) -> str:
    middle, least, most = (value * scale + LABELS for value in (median(values), min(values), max(values)))
    kind = "ours" if label.startswith(OURS) else "theirs"
    line, text = top + BAR / 2, top + BAR - 3
    ends = "".join(f"M{end:.1f} {top + 4}v8" for end in (least, most))
    return (
        f'<text x="{LABELS - 8}" y="{text}" text-anchor="end">{escape(label)}</text>'
        f'<rect class="{kind}" x="{LABELS}" y="{top}" width="{middle - LABELS:.1f}" height="{BAR}" rx="2"/>'
        f'<path class="whisker" d="M{least:.1f} {line}H{most:.1f}{ends}"/>'
        f'<text x="{max(middle, most) + 8:.1f}" y="{text}">{_number(median(values))}</text>'
    )


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:,.1f}"
