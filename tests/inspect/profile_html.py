#!/usr/bin/env python3
"""Drives the flame graph of acre-profile in Chromium (browser.py).

profile_html.py TEMPLATE [PICTURES]: puts made-up profiles into the page and compares what it shows
with figures that are counted here. PICTURES is a directory for pictures of the page.
profile_html.py --many TEMPLATE: 20,000 stacks of 64 frames; prints the milliseconds until they are drawn.
profile_html.py --open PAGE [VALUE [FUNCTION=BYTES...]]: a page that acre-profile wrote: that it shows
all of its data, and that the functions have that many bytes of that value.
"""

import json
import pathlib
import re
import sys
import tempfile
import time

from browser import (Browser, amount, check, check_fits, check_quiet, check_themes, column, contrast,
                     failed, tip)
from profile_data import (B, C, CLONE, FRAMES, G, GROW, L, LENGTHY, LONG, M, MAIN, MARKUP, NAMES, O, P,
                          PARSE, POOL, R, S1, S2, SERVE, T, TURN, VALUES, VISIT, age_of, deviation, function_of,
                          many, mean_age, small, tree_of, value_of)

NBSP = "\u00a0"


def write(template, data, path):
    """As acre-profile does: `<` is in texts only."""
    text = pathlib.Path(template).read_text(encoding="utf-8")
    assert text.count("@DATA@") == 1
    text = text.replace("@DATA@", json.dumps(data).replace("<", "\\u003c"))
    pathlib.Path(path).write_text(text, encoding="utf-8")
    return path


# Of the canvas, since reading from it makes it slow, and Chromium complain.
COPY = """function copy() {
    const other = document.createElement('canvas');
    other.width = canvas.width;
    other.height = canvas.height;
    const pixels = other.getContext('2d', {willReadFrequently: true});
    pixels.drawImage(canvas, 0, 0);
    return pixels;
  }"""


def boxes(browser):
    """What is drawn: [path of ids, row, x, width] of each box."""
    found = browser.value("""rows.flat().filter(box => box.node >= 0).map(box => [pathTo(box.node).map(node => {
        const id = tree.id[node];
        return tree.what.byLine ? (id === NO_STACK ? -1 : id)
          : [...D.frames.map(f => [f[0], f[1]]), [-2, -1]][frames.findIndex(f => f.function === id)];
      }), box.row, box.x, box.w])""")
    return {tuple(tuple(i) if isinstance(i, list) else i for i in path): (row, x, w)
            for path, row, x, w in found}


def check_boxes(browser, data, what, **mode):
    """All boxes of at least a pixel are drawn, as wide as their values, within their parents."""
    right, found = tree_of(data, **mode), boxes(browser)
    width, whole = browser.value("width"), right.get((), 0)
    wide = {path for path, amount in right.items() if whole and amount * width / whole >= 1.001}
    check(f"{what}: the boxes", whole > 0 and wide <= set(found), f"missing: {wide - set(found)}")
    for path, (row, x, w) in found.items():
        check(f"{what}: a box", w > 0.999 and path in right, path)
        check(f"{what}: its width", abs(w - right.get(path, 0) * width / whole) < 1e-6, (path, w))
        check(f"{what}: its row", row == len(path), (path, row))
        if path:
            _, left, most = found[path[:-1]]
            check(f"{what}: within the parent", left - 1e-6 <= x and x + w <= left + most + 1e-6, path)
    for row in {row for row, _, _ in found.values()}:
        places = sorted((x, w) for r, x, w in found.values() if r == row)
        check(f"{what}: none over another", all(a[0] + a[1] <= b[0] + 1e-6 for a, b in
                                                zip(places, places[1:])), places)


def check_pixels(browser):
    """What is on the canvas is where boxes are looked for, in their colours."""
    wrong = browser.value("""(() => {
        const ratio = canvas.width / width, wrong = [], pixels = copy();
        for (const box of rows.flat()) {
          const y = topOf(box.row) - map.scrollTop;
          if (y < 0 || y + ROW > height || box.w < 8 || box.node < 0 || selected === box)
            continue;
          const [r, g, b] = pixels.getImageData(ratio * (box.x + box.w - 3), ratio * (y + 2), 1, 1).data;
          const place = canvas.getBoundingClientRect();
          if (paintOf(box.node).fill !== `rgb(${r},${g},${b})` ||
              boxAt(place.left + box.x + box.w / 2, place.top + y + ROW / 2) !== box)
            wrong.push([box.node, box.row, r, g, b, paintOf(box.node).fill]);
        }
        return wrong;
      })()""")
    check("the boxes' pixels", wrong == [], wrong)


# ---- doing things ----

def text(browser, element):
    return browser.value(f"document.getElementById('{element}').textContent")


def choose(browser, select, value):
    """Chooses by keys, as one does."""
    steps = browser.value(f"(() => {{ const e = document.getElementById('{select}'); e.focus();"
                          f" return [...e.options].findIndex(o => o.value === '{value}') - e.selectedIndex; }})()")
    for _ in range(abs(steps)):
        browser.key("ArrowDown" if steps > 0 else "ArrowUp")
    found = browser.value(f"document.getElementById('{select}').value")
    check("a choice", found == value, (select, value, found))


def point(browser, ids):
    """The middle of the box at the end of a path, in the window, after scrolling there."""
    browser.value("map.scrollIntoView({block: 'center'})")
    browser.settle()
    found = boxes(browser).get(tuple(ids))
    if found is None:
        check("a box is there", False, (ids, list(boxes(browser))[:9]))
        return 1, 1
    row, x, w = found
    return browser.value(f"(() => {{ reach({row}); const b = canvas.getBoundingClientRect();"
                         f" return [b.left + {x} + {w} / 2, b.top + topOf({row}) - map.scrollTop + 9]; }})()")


def click_box(browser, ids):
    browser.click(*point(browser, ids))


def hover(browser, ids):
    place = point(browser, ids)
    browser.mouse("mouseMoved", 1, 1)
    browser.mouse("mouseMoved", *place)
    browser.settle()
    return tip(browser) or ""


def path_shown(browser):
    return browser.value("[...document.querySelectorAll('#path li')].map(l => l.textContent)")


def search(browser, pattern):
    browser.click_on("document.getElementById('pattern')")
    browser.value("document.getElementById('pattern').select()")
    browser.call("Input.insertText", text=pattern)
    browser.key("Enter", "\r")
    return text(browser, "found")


def f(*frames):
    return [tuple(FRAMES[frame][:2]) if frame >= 0 else (-2, -1) for frame in frames]


# ---- the checks ----

def check_names(browser):
    """Names are text, whatever they have in them."""
    check("title", text(browser, "title") == "Heap profile of " + MARKUP, text(browser, "title"))
    check("title of the window", browser.value("document.title").endswith(MARKUP + " 123"))
    names = column(browser, "function-table", 0)
    check("a name like markup", "</script>" in names, names)  # the rest is left out as a template's arguments
    whole_names = browser.value("[...document.querySelectorAll('#function-table td.name')].map(d => d.title)")
    check("the whole names", {MARKUP, LONG, NAMES[POOL]} <= set(whole_names), whole_names)
    shown = "turn\\x{1b}[31m\\x{202e}round\\x{200b}\\x{a}"
    check("what cannot be seen is shown", shown in names, names)
    whole = browser.value("document.documentElement.innerText")
    check("no such character", not re.search("[\x00-\x09\x0b-\x1f\u202e\u200b]", whole.replace("\t", "")))
    check("short names", {"std::map::insert", "(anonymous namespace)::Pool::operator()",
                          "<alloc::Vec<u8> as Clone>::clone", "(no stack)", "(no name)"} <= set(names), names)
    check("no longer ones", max(map(len, names)) < 200, names)


def check_no_markup(browser):
    check("markup from names", browser.value(
        "document.querySelectorAll('img, i[id], b[id], u[id]').length === 0 && document.scripts.length === 2"))


def check_head(browser):
    about = text(browser, "about")
    for part in ("process 123", "acre 0.1.0", "2026-11-30 17:00:00 UTC", "93" + NBSP + "s"):
        check("about", part in about, about)
    trust = text(browser, "trust")
    for part in ("64" + NBSP + "KiB allocated, on average", "9,000" + NBSP + "samples", "812 of them", "estimates",
                 "before the recording began"):
        check("what figures are worth", part in trust, trust)
    notes = browser.value("[...document.querySelectorAll('#warnings li')].map(l => l.textContent)")
    check("warnings", len(notes) == 3 and "41 of them were thinned out" in notes[0] and
          "8" + NBSP + "KiB at first" in notes[0] and notes[1].startswith("3" + NBSP + "samples found no room") and
          notes[2].startswith("1" + NBSP + "sample changed"), notes)


def check_sums(browser, data):
    sums = dict(browser.value("[...document.querySelectorAll('#sums div')].map(d => "
                              "[d.children[0].textContent, d.children[1].firstChild.textContent])"))
    for title, value in (("live", "live"), ("at the peak", "peak"), ("allocated in all", "all"),
                         ("since the mark, live", "since"), ("pinned", "pinned")):
        right = sum(value_of(one, value) for one in data["stacks"])
        if value != "since" or data["marked"]:
            check("a sum", title in sums and abs(amount(sums[title]) - right) <= 0.05 * right, (title, sums, right))


def percent(share):
    return f"{100 * share:.{0 if share >= 0.1 else 1}f}{NBSP}%"


def check_tip(browser, data):
    shown = hover(browser, f(M, S1, P, G))  # two stacks, of two lines of serve
    error, samples = deviation([(1024, 4000), (2048, 1500)])
    live = 4000 * 1024 + 1500 * 2048
    for part in ("grow\n", f"live bytes\t6.8{NBSP}MiB ±{NBSP}{percent(error)}, "
                 f"{percent(live / tree_of(data, 'live')[()])} of all", "module\tlibc.so.6",
                 f"by itself\t6.8{NBSP}MiB",
                 f"live\t6.8{NBSP}MiB in 5,500 blocks, mean 1.3{NBSP}KiB",
                 f"allocated in all\t11.7{NBSP}MiB in 10,500 blocks", f"at the peak\t7.8{NBSP}MiB in 6,500 blocks",
                 f"since the mark\t100{NBSP}KiB in 100 blocks", f"pinned\t48{NBSP}KiB",
                 f"age\t{percent(1024000 / live)} 10 s to 1 min, {percent(1 - 1024000 / live)} > 1 h",
                 f"sizes\t1{NBSP}KiB: 3.9{NBSP}MiB, 2{NBSP}KiB: 2.9{NBSP}MiB",
                 f"about {round(samples)}{NBSP}samples in 2{NBSP}stacks"):
        check("the tooltip", part.replace(" ", NBSP) in shown.replace(" ", NBSP), (part, shown))
    shown = hover(browser, f(M, S1, T, B))
    error, samples = deviation([(512, 300), (1024, 300), (4096, 300)])
    check("several sizes", f"±{NBSP}{percent(error)}" in shown and
          f"about {round(samples)}{NBSP}samples" in shown and "<u id=bad>:1" in shown, (error, samples, shown))
    both = hover(browser, f(M, S2, P))
    check("inlined", "inlined\tyes" in both and "src/parse.c:7" in both, both)
    right = tree_of(data, "live")[tuple(f(M, S1))]
    root = hover(browser, f(M, S2))
    check("lines of one function", "lines\tsrc/serve.c:20, src/serve.c:25" in root and
          abs(amount(root.split("live bytes\t")[1].split(" ")[0]) / right - 1) < 0.01, (root, right))
    shown = hover(browser, f(-1))
    check("no stack", "(no stack)" in shown and f"live\t1.6{NBSP}MiB in 100 blocks" in shown and
          f"±{NBSP}{percent(deviation([(16384, 100)])[0])}" in shown and "sizes" not in shown, shown)
    check("unknown module", "module\tnot known" in hover(browser, f(R)))
    browser.mouse("mouseMoved", 1, 1)
    browser.settle()
    check("no tooltip", tip(browser) is None)


def check_zoom(browser, data):
    whole = tree_of(data, "live")
    click_box(browser, f(M, S1))
    width = browser.value("width")
    found = boxes(browser)
    check("a click shows a box alone", found[tuple(f(M, S1))] == (2, 0, width), found)
    check("those above it, too", found[()] == (0, 0, width) and found[tuple(f(M))] == (1, 0, width))
    part = whole[tuple(f(M, S1, P))] / whole[tuple(f(M, S1))] * width
    check("those below it", abs(found[tuple(f(M, S1, P))][2] - part) < 1e-6)
    check("no others", tuple(f(R)) not in found, found)
    check("the path", path_shown(browser) == ["all", "main", "serve"], path_shown(browser))
    shown = hover(browser, f(M, S1, P))
    check("its share", f"of what is shown\t{100 * part / width:.0f}{NBSP}%" in shown, shown)
    check_pixels(browser)
    click_box(browser, f(M, S1, P))
    check("deeper", path_shown(browser) == ["all", "main", "serve", "parse"], path_shown(browser))
    browser.key("Escape")
    check("Escape", path_shown(browser) == ["all", "main", "serve"], path_shown(browser))
    browser.click_on("document.querySelectorAll('#path button')[1]")
    check("the path leads back", path_shown(browser) == ["all", "main"], path_shown(browser))
    browser.key("Escape")
    browser.key("Escape")
    check("Escape to the beginning", path_shown(browser) == ["all"], path_shown(browser))
    browser.key("Escape")
    check("and no further", path_shown(browser) == ["all"], path_shown(browser))


def check_keys(browser):
    browser.value("map.focus()")
    spoken = []
    for key, right in (("Home", "all"), ("ArrowDown", "main"), ("ArrowRight", None), ("ArrowLeft", "main"),
                       ("ArrowDown", "serve"), ("ArrowDown", "grow"), ("ArrowRight", "parse"),
                       ("ArrowUp", "serve")):
        browser.key(key)
        shown, said = tip(browser), text(browser, "spoken")
        spoken.append(said)
        name = (shown or "").split("\n")[0]
        check("a key", shown and (right is None or name == right) and said.startswith(name + ":"),
              (key, shown, said))
        check("full figures are said", "live bytes" in said and "in all" in said, said)
    check("another box", spoken[2] not in (spoken[1], spoken[4]), spoken)
    browser.key("Enter", "\r")
    check("Enter", path_shown(browser) == ["all", "main", "serve"], path_shown(browser))
    detail = browser.value("document.getElementById('detail').innerText")
    check("the selected box", "serve" in detail and "server, src/serve.c:20" in detail, detail)
    browser.key("Escape")
    choose(browser, "grows", "up")
    check_pixels(browser)
    y = [browser.value(f"topOf({row})") for row in (0, 1)]
    check("leaves up", y[1] < y[0], y)
    browser.value("map.focus()")
    for key, right in (("Home", "all"), ("ArrowUp", "main"), ("ArrowUp", "serve"), ("ArrowDown", "main")):
        browser.key(key)
        check("a key, leaves up", (tip(browser) or "").startswith(right + "\n"), (key, tip(browser)))
    click_box(browser, f(M, S1, P))
    check("a click, leaves up", path_shown(browser)[-1] == "parse", path_shown(browser))
    browser.key("Escape")
    choose(browser, "grows", "down")


def check_values(browser, data):
    """All values in all four trees."""
    for value in VALUES:
        choose(browser, "value", value)
        for callers in (False, True):
            choose(browser, "direction", "callers" if callers else "callees")
            for by_line in (False, True):
                choose(browser, "frames", "line" if by_line else "function")
                check_boxes(browser, data, f"{value}, callers {callers}, lines {by_line}", value=value,
                            callers=callers, by_line=by_line)
                check_pixels(browser)
        rows = len([one for one in data["stacks"] if value_of(one, value) > 0])
        check("the table goes along", len(column(browser, "stack-table", 0)) == rows)
        choose(browser, "direction", "callees")
        choose(browser, "frames", "function")
    choose(browser, "value", "live")


def check_search(browser, data):
    whole = sum(one["live"][0] for one in data["stacks"])
    for pattern, names in (("^(grow|visit)$", (GROW, VISIT)), ("PARSE", (PARSE,)), ("turn.*31m", (TURN,)),
                           ("insert\\(int, int", (LENGTHY,))):
        right = sum(one["live"][0] for one in data["stacks"]
                    if any(FRAMES[frame][0] in names for frame in one["f"]))
        said = search(browser, pattern)
        share = f"{percent(right / whole)} of what is shown"
        check("the share of a search", share in said, (pattern, said, share))
        lit = browser.value("[...new Set(rows.flat().filter(b => b.node > 0 && paintOf(b.node) === paints.match)"
                            ".map(b => functions[functionOf(b.node)].name))]")
        drawn = browser.value("[...new Set(rows.flat().filter(b => b.node > 0)"
                              ".map(b => functions[functionOf(b.node)].name))]")
        check("what is lit", len(lit) > 0 and
              set(lit) == {name for name in drawn if re.search(pattern, name, re.IGNORECASE)}, (lit, drawn))
        rows = [one for one in data["stacks"] if any(FRAMES[frame][0] in names for frame in one["f"])
                and one["live"][0]]
        check("the tables have the matches", len(column(browser, "stack-table", 0)) == len(rows))
    said = search(browser, "libc\\.so")
    check("a module matches", "1" + NBSP + "function matches" in said, said)
    search(browser, "^turn")  # in two stacks, one of which goes through serve
    click_box(browser, f(M, S1))
    inside = data["stacks"][3]["live"][0] / tree_of(data, "live")[tuple(f(M, S1))]
    check("of what is shown", f"{percent(inside)} of" in text(browser, "found"), text(browser, "found"))
    browser.key("Escape")
    check("nothing matches", search(browser, "nowhere") == "Nothing matches.")
    check("no expression", "This is no regular expression" in search(browser, "<img(["), text(browser, "found"))
    check("it changes no table", len(column(browser, "stack-table", 0)) == 10)
    search(browser, "grow")
    browser.click_on("document.getElementById('clear')")
    check("clear", text(browser, "found") == "" and len(column(browser, "stack-table", 0)) == 10)
    search(browser, "grow")
    browser.key("Escape")
    check("Escape clears", browser.value("matches === 0 && document.getElementById('pattern').value === ''"))


def sort_by(browser, table, title):
    head = f"[...document.querySelectorAll('#{table} th')].find(h => h.textContent === '{title}')"
    browser.click_on(head + ".firstChild")
    return browser.value(head + ".getAttribute('aria-sort')"), browser.value(
        f"[...document.querySelectorAll('#{table} th')].findIndex(h => h.textContent === '{title}')")


def check_tables(browser, data):
    selfs, totals = {}, {}
    for one in data["stacks"]:
        frames = [function_of(data, frame) for frame in one["f"]] or [(-2, -1)]
        selfs[frames[0]] = selfs.get(frames[0], 0) + one["live"][0]
        for each in set(frames):
            totals[each] = totals.get(each, 0) + one["live"][0]
    rows = dict(zip(column(browser, "function-table", 0), zip(column(browser, "function-table", 2),
                                                              column(browser, "function-table", 3))))
    for name, key in (("grow", (GROW, 1)), ("main", (MAIN, 0)), ("serve", (SERVE, 0)),
                      ("parse", (PARSE, 0)), ("turn\\x{1b}[31m\\x{202e}round\\x{200b}\\x{a}", (TURN, 3)), ("(no stack)", (-2, -1))):
        for found, right in zip(rows.get(name, ("-1\u00a0B", "-1\u00a0B")), (selfs.get(key, 0), totals[key])):
            check("self and total", abs(amount(found) - right) <= 0.05 * right, (name, rows.get(name), right))
    for table, title, order in (
            ("function", "self", "descending"), ("function", "self", "ascending"),
            ("function", "total", "descending"), ("stack", "live blocks", "descending"),
            ("stack", "mean size", "descending"), ("stack", "pinned", "descending"),
            ("stack", "live bytes", "descending")):
        table += "-table"
        sorted_as, number = sort_by(browser, table, title)
        values = [amount(each) if NBSP in each else float(each.replace(",", ""))
                  for each in column(browser, table, number)]
        check("sorted", sorted_as == order and len(values) > 8 and
              values == sorted(values, reverse=order == "descending"), (title, sorted_as, values))
    _, number = sort_by(browser, "stack-table", "age")
    ages = [age.replace(NBSP, " ") for age in column(browser, "stack-table", number)]
    right = [age_of(one) for one in sorted(data["stacks"], key=mean_age, reverse=True) if one["live"][0]]
    check("ages", ages == right, (ages, right))
    choose(browser, "value", "all")
    check("sorted as it was", browser.value("document.querySelector('#stack-table th[aria-sort=descending]')"
                                            ".textContent") == "age")
    choose(browser, "value", "live")


def check_links(browser, data):
    """Rows lead to the graph."""
    link = ("[...document.querySelectorAll('#{}-table td button')].find(b => b.textContent.startsWith('{}'))")
    browser.click_on(link.format("function", "parse"))
    check("callers of a function", path_shown(browser) == ["all", "callers of parse"], path_shown(browser))
    check_boxes(browser, data, "callers of parse", value="live", callers=True, focus=(PARSE, 0))
    browser.key("Home")
    shown = tip(browser) or ""
    check("all of a function", shown.startswith("all of parse\n") and f"100{NBSP}% of all of parse" in shown, shown)
    browser.value("hideTip()")
    check("the graph is in view", browser.value("(() => { const b = map.getBoundingClientRect();"
                                                " return b.top >= 0 && b.bottom <= innerHeight; })()"))
    choose(browser, "direction", "callees")
    check("callees of a function", path_shown(browser) == ["all", "callees of parse"], path_shown(browser))
    check_boxes(browser, data, "callees of parse", value="live", focus=(PARSE, 0))
    browser.value("map.focus()")
    browser.key("Escape")
    check_boxes(browser, data, "back to callers", value="live", callers=True, focus=(PARSE, 0))
    browser.click_on(link.format("function", "turn"))
    check_boxes(browser, data, "recursion, callers", value="live", callers=True, focus=(TURN, 3))
    choose(browser, "direction", "callees")
    check_boxes(browser, data, "recursion, callees", value="live", focus=(TURN, 3))
    browser.click_on("document.querySelector('#path button')")
    check("all again", path_shown(browser) == ["all"], path_shown(browser))
    browser.click_on(link.format("stack", "std::map::insert \u2190 <alloc"))
    check("a stack", path_shown(browser) == ["all", "main", "(anonymous namespace)::Pool::operator()",
                                             "<alloc::Vec<u8> as Clone>::clone", "std::map::insert"],
          path_shown(browser))
    detail = browser.value("[...document.querySelectorAll('#detail li')].map(l => l.firstChild.textContent)")
    check("all of the stack", detail == [LONG, NAMES[CLONE], NAMES[POOL], "main"], detail)
    head = browser.value("document.querySelector('#detail h3').textContent")
    check("a long name is cut in the head", len(head) < 400, head)
    shown = hover(browser, f(M, O, C, L))
    check("a long name in the tooltip", f"({len(LONG):,} characters)" in shown, shown)
    browser.value("map.focus()")
    while browser.value("past.length") > 0:
        browser.key("Escape")
    check("back to the beginning", path_shown(browser) == ["all"], path_shown(browser))


def check_colours(browser):
    """Text on boxes can be read, and colours say what the legend says."""
    def rgb(colour):
        if colour.startswith("#"):
            return colour
        return "#" + "".join(f"{int(part):02x}" for part in re.findall(r"\d+", colour))
    page, none = browser.value("[getComputedStyle(document.body).backgroundColor, paints.none.fill]")
    check("light on light, dark on dark", contrast(rgb(page), rgb(none)) < 2, (page, none))
    for fill, ink in browser.value("[...paints.module.flat(), ...paints.age, paints.none, paints.match]"
                                   ".map(p => [p.fill, p.ink])"):
        check("text on a box", contrast(rgb(fill), rgb(ink)) >= 4.5, (fill, ink, contrast(rgb(fill), rgb(ink))))
    keys = browser.value("[...document.querySelectorAll('#key button')].map(b => b.textContent)")
    check("modules of the legend", len(keys) == 8 and keys[-1] == "others" and keys[0] == "server", keys)
    fills = "rows.flat().filter(b => b.node > 0).map(b => [moduleGroup(b.node), paintOf(b.node).fill])"
    groups = {}
    for group, fill in browser.value(fills):
        groups.setdefault(fill, set()).add(group)
    check("a colour is one module's", len(groups) > 5 and all(len(each) == 1 for each in groups.values()), groups)
    def lit():
        return browser.value("""rows.flat().filter(box => box.node > 0 && box.w > 8).map(box => {
            const ratio = canvas.width / width, pixels = copy(), y = topOf(box.row) - map.scrollTop;
            const [r, g, b] = pixels.getImageData(ratio * (box.x + box.w - 3), ratio * (y + 2), 1, 1).data;
            return [moduleGroup(box.node), paintOf(box.node).fill === `rgb(${r},${g},${b})`];
          })""")
    check("all lit", all(each[1] for each in lit()))
    browser.click_on("document.querySelector('#key button')")
    check("one module", browser.value("document.querySelector('#key button').getAttribute('aria-pressed')") == "true"
          and all(each[1] == (each[0] == 0) for each in lit()), lit())
    browser.click_on("document.querySelector('#key button')")
    check("all lit again", all(each[1] for each in lit()))
    choose(browser, "colour", "age")
    ages = browser.value("""rows.flat().filter(b => b.node > 0).map(b => [functions[functionOf(b.node)].name,
                            paints.age.findIndex(p => p === paintOf(b.node)), b.row])""")
    right = {("grow", 4): (4, 5), ("(no stack)", 1): (0,), (NAMES[CLONE], 3): (4,), ("visit", 5): (0,)}
    for (name, row), steps in right.items():
        found = [step for each, step, at in ages if each == name and at == row]
        check("the colour of an age", found and set(found) <= set(steps), (name, found))
    check_pixels(browser)
    check("the legend of ages", browser.value("document.querySelectorAll('#key > span').length") == 7)
    choose(browser, "colour", "module")


def check_accessible(browser):
    """Whatever can be used has a name."""
    browser.call("Accessibility.enable")
    count = 0
    for node in browser.call("Accessibility.getFullAXTree")["nodes"]:
        role = node.get("role", {}).get("value")
        if role in ("button", "combobox", "textbox", "searchbox", "link", "application", "region", "navigation"):
            count += 1
            check("an accessible name", node.get("name", {}).get("value"), node)
    check("there are such", count > 30, count)
    browser.call("Accessibility.disable")


def check_shared(template):
    """What the two pages have in common is the same word for word; there is no build step for it."""
    pages = [pathlib.Path(template).read_text(encoding="utf-8"),
             pathlib.Path(template).with_name("inspect.html").read_text(encoding="utf-8")]
    pattern = re.compile(r"^(function (\w+)\(.*?^}|:root.*?^}|const (\w+) = [^\n]*;)$", re.M | re.S)
    own = {"layOut", "draw", "boxAt", "describe", "place", "tipSelected", "readColours", "paintOf",
           "showHead", "select", "reveal", "goTo", "find", "scrolled", "LABEL", "setTheme", "context", "tip"}
    parts = [{match[2] or match[3] or match[1].split("\n")[0]: match[1] for match in pattern.finditer(page)}
             for page in pages]
    common = (set(parts[0]) & set(parts[1])) - own
    check("common parts", {"make", "bytes", "oklch", "makeTable", "bar", "link", "swatch", "mark", "hideTip",
                           ":root {", ':root[data-theme="dark"] {'} <= common, common)
    for name in common:
        check("a common part", parts[0][name] == parts[1][name], name)


def check_small_screen(browser, width):
    browser.size(width, 800)
    check_fits(browser, width)
    hover(browser, f(M, S1, P))
    click_box(browser, f(M, S1))
    check_fits(browser, width)
    browser.key("Escape")
    check_pixels(browser)


def take_pictures(browser, directory):
    for width, theme in ((1280, "light"), (1000, "dark"), (400, "light"), (400, "dark")):
        browser.size(width, 900)
        if browser.value("document.documentElement.dataset.theme") != theme:
            browser.click_on("document.getElementById('theme')")
        hover(browser, f(M, S1, P))
        browser.picture(f"{directory}/profile-{width}-{theme}-tip.png")
        browser.mouse("mouseMoved", 1, 1)
        browser.value("scrollTo(0, 0)")
        browser.settle()
        browser.whole_picture(f"{directory}/profile-{width}-{theme}.png")


def begin(browser, page):
    browser.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": "light"}])
    browser.size(1280, 900)
    browser.events.clear()
    url = browser.open(page)
    browser.value(COPY)
    return url


def drive(template, directory, pictures):
    data = small()
    check_shared(template)
    browser = Browser()
    try:
        url = begin(browser, write(template, data, directory + "/page.html"))
        check_names(browser)
        check_head(browser)
        check_sums(browser, data)
        check_boxes(browser, data, "at first", value="live")
        check_tip(browser, data)
        check_zoom(browser, data)
        check_keys(browser)
        check_values(browser, data)
        check_search(browser, data)
        check_tables(browser, data)
        check_links(browser, data)
        check_colours(browser)
        check_accessible(browser)
        check_themes(browser)
        check_colours(browser)
        check_no_markup(browser)
        check_small_screen(browser, 1000)
        check_small_screen(browser, 400)
        if pictures:
            take_pictures(browser, pictures)
        check_quiet(browser, url)
        # other profiles: nothing recorded; each block recorded, stopped; no mark
        nothing = dict(data, stacks=[], marked=False, names=[], modules=[], files=[], frames=[], thinned=0,
                       lost_stacks=0, changed=0)
        url = begin(browser, write(template, nothing, directory + "/nothing.html"))
        check("nothing", browser.value("rows.length === 0 && document.querySelectorAll('#warnings li').length === 0"
                                       " && document.getElementById('warnings').hidden"))
        check("no mark", browser.value("[...document.querySelectorAll('#value option')]"
                                       ".filter(o => o.disabled).map(o => o.value).join()") == "since,since-blocks")
        browser.value("map.focus()")
        for key in ("Home", "ArrowDown", "Escape"):
            browser.key(key)
        choose(browser, "direction", "callers")
        check("no match", search(browser, "a") == "Nothing matches.")
        check_quiet(browser, url)
        exact = dict(data, interval=0, first_interval=1, stopped=True, thinned=0, value="peak",
                     part="at least 60 s old")
        url = begin(browser, write(template, exact, directory + "/exact.html"))
        check("each block recorded", text(browser, "trust").startswith("Each block was recorded"))
        check("the value that was asked for", browser.value(
            "document.getElementById('value').value === 'peak' && tree.of.id === 'peak'"))
        check("exact", "±" not in hover(browser, f(M, S1, P)))
        notes = text(browser, "warnings")
        check("stopped", "was stopped" in notes and "at least 60 s old" in notes, notes)
        check_quiet(browser, url)
        # stopped after the interval had doubled three times, which only the live samples tell
        samples = sum(deviation([(size, total / size) for size, total in one["sizes"]])[1]
                      for one in data["stacks"] if one["f"] and one["live"][0])
        stopped = dict(data, interval=0, stopped=True, live_samples=round(samples))
        url = begin(browser, write(template, stopped, directory + "/stopped.html"))
        check("the interval that it had", browser.value("INTERVAL") == data["interval"], browser.value("INTERVAL"))
        browser.call("Emulation.setEmulatedMedia",
                     features=[{"name": "prefers-color-scheme", "value": "dark"}])
        browser.open(directory + "/stopped.html")
        check("dark by preference", browser.value("document.documentElement.dataset.theme") == "dark")
        check_quiet(browser, url)
    finally:
        browser.close()


def drive_many(template, directory):
    data = many()
    page = write(template, data, directory + "/many.html")
    browser = Browser()
    try:
        browser.size(1280, 900)
        browser.call("Performance.enable", timeDomain="threadTicks")
        begun = time.monotonic()
        url = browser.open(page)
        took = round(1000 * (time.monotonic() - begun))
        figures = {each["name"]: each["value"] for each in browser.call("Performance.getMetrics")["metrics"]}
        print(f"{len(data['stacks'])} stacks, {pathlib.Path(page).stat().st_size} bytes: drawn after {took} ms, "
              f"{round(1000 * figures['TaskDuration'])} ms of CPU time; "
              f"{browser.value('tree.count')} nodes, {browser.value('rows.flat().length')} boxes")
        check_boxes(browser, data, "many", value="live")
        check("a pixel is the least", browser.value("rows.flat().every(box => box.w >= LEAST)"))
        check("what is left is drawn as one", browser.value("""rows.flat().filter(box => box.node < 0).length > 0 &&
            rows.flat().every(box => { const b = rows[box.row + 1] || []; return box.node < 0 ||
              b.filter(c => c.node < 0 && c.parent === box.node).length <= 1; })"""))
        for what, expression in (("another value", "value = VALUES[3]; show(here())"),
                                 ("callers", "go({callers: true, path: []})"),
                                 ("the tables", "showTables()"), ("a drawing", "draw()"),
                                 ("a search", "search('7')"), ("a tooltip of all", "describe(rows[0][0])")):
            took = browser.value(f"(() => {{ const begun = performance.now(); {expression};"
                                 " return performance.now() - begun; })()")
            print(f"{what}: {took:.0f} ms")
        check_boxes(browser, data, "many, callers", value="all-blocks", callers=True)
        check_quiet(browser, url)
    finally:
        browser.close()


def open_only(page, shown="live", *known):
    """A page of acre-profile: the boxes have the figures of its data, and these are the known ones."""
    page_text = pathlib.Path(page).read_text(encoding="utf-8")
    data = json.loads(re.search(r'<script type="application/json" id="data">(.*?)</script>', page_text, re.S)[1])
    browser = Browser()
    try:
        url = begin(browser, page)
        for value in dict.fromkeys((shown, "live", "all", "peak", shown)):
            if sum(value_of(one, value) for one in data["stacks"]) > 0:
                choose(browser, "value", value)
                check_boxes(browser, data, value, value=value)
                check_pixels(browser)
        choose(browser, "value", shown)
        check("title", text(browser, "title") == "Heap profile of " + data["program"], text(browser, "title"))
        check_sums(browser, data)
        for name, right in (each.split("=") for each in known):
            frames = {i for i, frame in enumerate(data["frames"]) if frame[0] >= 0 and
                      data["names"][frame[0]] == name}
            found = sum(value_of(one, shown) for one in data["stacks"] if frames & set(one["f"]))
            check("a function's bytes", found == int(right), (name, shown, found, right))
            if found:
                browser.value("search('')")
                search(browser, f"^{name}$")
                browser.click_on(f"[...document.querySelectorAll('#function-table td button')]"
                                 f".find(b => b.textContent === '{name}')")
                check_boxes(browser, data, f"callers of {name}", value=shown, callers=True,
                            focus=function_of(data, min(frames)))
                check("it is the root", path_shown(browser) == ["all", f"callers of {name}"], path_shown(browser))
                check("main calls it", browser.value(
                    "rows.flat().some(box => box.node > 0 && functions[functionOf(box.node)].name === 'main')"))
        check_no_markup(browser)
        check_quiet(browser, url)
    finally:
        browser.close()


def main():
    with tempfile.TemporaryDirectory() as directory:
        if sys.argv[1] == "--open":
            open_only(*sys.argv[2:])
        elif sys.argv[1] == "--many":
            drive_many(sys.argv[2], directory)
        else:
            drive(sys.argv[1], directory, (sys.argv[2:] + [None])[0])
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
