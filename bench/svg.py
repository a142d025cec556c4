"""What the charts share: style, marks, the legend and the document around them.

Allocators differ in shape as well as in colour, and the colours follow the reader's light or dark
scheme.
"""

from xml.sax.saxutils import escape

STYLE = """
text { font: 12px sans-serif; fill: #333 } .title { font-weight: 600; font-size: 14px }
.small { font-size: 11px } .end { text-anchor: end } .middle { text-anchor: middle }
.grid { stroke: #ddd } .one { stroke: #888 } .subject { fill: #4a78b0 }
.mark { stroke: #fff; stroke-width: .5 } .p0 { fill: #777 } .p1 { fill: #c08a3e }
.p2 { fill: #5b9a68 } .p3 { fill: #9a6ba8 } .p4 { fill: #b0605f } .p5 { fill: #4f9a9c }
.area { fill: #eee } .line { fill: none; stroke-width: 1.5 }
.subject-line { stroke: #4a78b0; stroke-width: 2.5 }
.l0 { stroke: #777 } .l1 { stroke: #c08a3e } .l2 { stroke: #5b9a68 } .l3 { stroke: #9a6ba8 } .l4 { stroke: #b0605f } .l5 { stroke: #4f9a9c }
@media (prefers-color-scheme: dark) {
text { fill: #ccc } .grid { stroke: #3a3a3a } .one { stroke: #888 } .subject { fill: #6f9fd8 }
.mark { stroke: #111 } .p0 { fill: #aaa } .p1 { fill: #d9a95f } .p2 { fill: #7fbf8c }
.p3 { fill: #bd93cb } .p4 { fill: #d58a88 } .p5 { fill: #74bfc1 }
.area { fill: #2a2a2a } .subject-line { stroke: #6f9fd8 }
.l0 { stroke: #aaa } .l1 { stroke: #d9a95f } .l2 { stroke: #7fbf8c } .l3 { stroke: #bd93cb } .l4 { stroke: #d58a88 } .l5 { stroke: #74bfc1 } }
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


def mark(x, y, number):
    """The mark of peer `number`; shapes and colours repeat at different counts."""
    return (f'<path class="mark p{number % COLOURS}" transform="translate({x:.1f},{y:.1f})" '
            f'd="{SHAPES[number % len(SHAPES)]}"/>')


def legend(subject, peers, x, y):
    """One line from x, y on that names the bar and the marks."""
    parts = []
    if subject:
        parts.append(f'<rect class="subject" x="{x}" y="{y - 5}" width="16" height="10"/>'
                     f'<text x="{x + 22}" y="{y + 4}">{escape(subject)}</text>')
        x += 40 + 8 * len(subject)
    for number, name in enumerate(peers):
        parts.append(mark(x + 6, y, number) +
                     f'<text x="{x + 16}" y="{y + 4}">{escape(name)}</text>')
        x += 36 + 8 * len(name)
    return parts


def document(title, width, height, left, parts):
    """The SVG around `parts`; the title begins at `left`."""
    head = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
            f'viewBox="0 0 {width} {height}">', f"<style>{STYLE}</style>",
            f'<text class="title" x="{left}" y="20">{escape(title)}</text>']
    return "\n".join(head + parts + ["</svg>"]) + "\n"
