"""The ratios to the best peer as an SVG: a row for each pattern, a panel for each metric.

The subject is a bar from 1, each peer a small mark; the axis is logarithmic, so that half and twice
lie equally far from 1. Marks differ in shape as well as in colour, and the colours follow the
reader's light or dark scheme.
"""

import math
from xml.sax.saxutils import escape

ROW = 18  # heights and widths in pixels
LABEL_WIDTH = 130
PANEL_WIDTH = 380
PANEL_GAP = 40
TOP = 92
BOTTOM = 30
TICKS = (0.25, 0.5, 1, 2, 4, 8)  # the axis ends at the outer two; what lies beyond sits on the edge

STYLE = """
text { font: 12px sans-serif; fill: #333 } .title { font-weight: 600; font-size: 14px }
.small { font-size: 11px } .end { text-anchor: end } .middle { text-anchor: middle }
.grid { stroke: #ddd } .one { stroke: #888 } .subject { fill: #4a78b0 }
.mark { stroke: #fff; stroke-width: .5 } .p0 { fill: #777 } .p1 { fill: #c08a3e }
.p2 { fill: #5b9a68 } .p3 { fill: #9a6ba8 } .p4 { fill: #b0605f } .p5 { fill: #4f9a9c }
@media (prefers-color-scheme: dark) {
text { fill: #ccc } .grid { stroke: #3a3a3a } .one { stroke: #888 } .subject { fill: #6f9fd8 }
.mark { stroke: #111 } .p0 { fill: #aaa } .p1 { fill: #d9a95f } .p2 { fill: #7fbf8c }
.p3 { fill: #bd93cb } .p4 { fill: #d58a88 } .p5 { fill: #74bfc1 } }
"""
COLOURS = 6

# Outlines of marks about a centre of 0, 0.
SHAPES = (
    "M-4,0a4,4 0 1,0 8,0a4,4 0 1,0 -8,0z",
    "M-3.5,-3.5h7v7h-7z",
    "M0,-4.5L4.5,3.5H-4.5z",
    "M0,-5L5,0L0,5L-5,0z",
    "M0,4.5L4.5,-3.5H-4.5z",
)


def _position(value):
    """Where a ratio lies in a panel, in pixels from its left edge."""
    low, high = math.log2(TICKS[0]), math.log2(TICKS[-1])
    place = (min(max(math.log2(value), low), high) - low) / (high - low)
    return place * PANEL_WIDTH


def _mark(x, y, number):
    """The mark of peer `number`; shapes and colours repeat at different counts."""
    return (f'<path class="mark p{number % COLOURS}" transform="translate({x:.1f},{y:.1f})" '
            f'd="{SHAPES[number % len(SHAPES)]}"/>')


def _legend(subject, peers):
    """One line that names the bar and the marks."""
    parts, x, y = [], LABEL_WIDTH, 40
    if subject:
        parts.append(f'<rect class="subject" x="{x}" y="{y - 5}" width="16" height="10"/>'
                     f'<text x="{x + 22}" y="{y + 4}">{escape(subject)}</text>')
        x += 40 + 8 * len(subject)
    for number, name in enumerate(peers):
        parts.append(_mark(x + 6, y, number) +
                     f'<text x="{x + 16}" y="{y + 4}">{escape(name)}</text>')
        x += 36 + 8 * len(name)
    return parts


def _axis(left, title, height):
    """A panel's title, grid and labels."""
    parts = [f'<text class="small" x="{left}" y="{TOP - 24}">{escape(title)}</text>']
    for tick in TICKS:
        x = left + _position(tick)
        parts.append(f'<line class="{"one" if tick == 1 else "grid"}" x1="{x:.1f}" x2="{x:.1f}" '
                     f'y1="{TOP - 4}" y2="{height - BOTTOM + 4}"/>'
                     f'<text class="small middle" x="{x:.1f}" y="{TOP - 8}">{tick:g}</text>')
    return parts


def _row(left, y, ratios, subject, peers):
    """One pattern in one panel: the subject's bar below the peers' marks."""
    parts = []
    if subject in ratios:
        begin, end = sorted((_position(1), _position(ratios[subject])))
        parts.append(f'<rect class="subject" x="{left + begin:.1f}" y="{y - 5}" '
                     f'width="{max(end - begin, 1.5):.1f}" height="10">'
                     f"<title>{escape(subject)} {ratios[subject]:.2f}</title></rect>")
    parts += [_mark(left + _position(ratios[name]), y, number)
              for number, name in enumerate(peers) if name in ratios]
    return parts


def draw(title, panels, subject, peers):
    """An SVG document. `panels` is a list of (title, {row: {allocator: ratio}}) with equal rows."""
    rows = list(panels[0][1])
    height = TOP + ROW * len(rows) + BOTTOM
    width = LABEL_WIDTH + len(panels) * (PANEL_WIDTH + PANEL_GAP)
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
             f'viewBox="0 0 {width} {height}">', f"<style>{STYLE}</style>",
             f'<text class="title" x="{LABEL_WIDTH}" y="20">{escape(title)}</text>']
    parts += _legend(subject, peers)
    for number, row in enumerate(rows):
        y = TOP + ROW * number + ROW // 2
        parts.append(f'<text class="end" x="{LABEL_WIDTH - 10}" y="{y + 4}">{escape(row)}</text>')
    for panel, (panel_title, table) in enumerate(panels):
        left = LABEL_WIDTH + panel * (PANEL_WIDTH + PANEL_GAP)
        parts += _axis(left, panel_title, height)
        for number, row in enumerate(rows):
            parts += _row(left, TOP + ROW * number + ROW // 2, table[row], subject, peers)
    return "\n".join(parts + ["</svg>"]) + "\n"
