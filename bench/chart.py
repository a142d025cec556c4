"""The ratios to the best peer as an SVG: a row for each pattern, a panel for each metric.

The subject is a bar from 1, each peer a small mark; the axis is logarithmic, so that half and twice
lie equally far from 1.
"""

import math
from xml.sax.saxutils import escape

import svg

ROW = 18  # heights and widths in pixels
LABEL_WIDTH = 130
PANEL_WIDTH = 380
PANEL_GAP = 40
TOP = 92
BOTTOM = 30
TICKS = (0.25, 0.5, 1, 2, 4, 8)  # the axis ends at the outer two; what lies beyond sits on the edge

def _position(value):
    """Where a ratio lies in a panel, in pixels from its left edge."""
    low, high = math.log2(TICKS[0]), math.log2(TICKS[-1])
    place = (min(max(math.log2(value), low), high) - low) / (high - low)
    return place * PANEL_WIDTH


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
    parts += [svg.mark(left + _position(ratios[name]), y, number)
              for number, name in enumerate(peers) if name in ratios]
    return parts


def draw(title, panels, subject, peers):
    """An SVG document. `panels` is a list of (title, {row: {allocator: ratio}}) with equal rows."""
    rows = list(panels[0][1])
    height = TOP + ROW * len(rows) + BOTTOM
    width = LABEL_WIDTH + len(panels) * (PANEL_WIDTH + PANEL_GAP)
    parts = svg.legend(subject, peers, LABEL_WIDTH, 40)
    for number, row in enumerate(rows):
        y = TOP + ROW * number + ROW // 2
        parts.append(f'<text class="end" x="{LABEL_WIDTH - 10}" y="{y + 4}">{escape(row)}</text>')
    for panel, (panel_title, table) in enumerate(panels):
        left = LABEL_WIDTH + panel * (PANEL_WIDTH + PANEL_GAP)
        parts += _axis(left, panel_title, height)
        for number, row in enumerate(rows):
            parts += _row(left, TOP + ROW * number + ROW // 2, table[row], subject, peers)
    return svg.document(title, width, height, LABEL_WIDTH, parts)
