#!/usr/bin/env python3
"""Drives the heap map of acre-inspect in Chromium (browser.py).

html.py PAGE BLOCK LARGE [PICTURES]: clicks and keys are real input events. BLOCK and LARGE are the
addresses that the program many prints. PICTURES is a directory for pictures of the page.
html.py --open PAGE: only opens it, and prints the milliseconds until it is drawn.
"""

import sys
import time

from browser import (Browser, amount, check, check_fits, check_quiet, check_themes, column, failed,
                     tip)


def search(browser, text):
    browser.click_on("document.getElementById('address')")
    browser.value("document.getElementById('address').select()")
    browser.call("Input.insertText", text=text)
    browser.key("Enter", "\r")
    return browser.value("document.getElementById('found').textContent")


def check_names(browser):
    """Names of the process and of threads are text, whatever they have in them."""
    title = browser.value("document.getElementById('title').textContent")
    check("title", title == "Heap map of <img src=x>", title)
    check("markup from names", browser.value(
        "document.querySelectorAll('img, #bad').length === 0 && document.scripts.length === 2"))
    names = set(column(browser, "arena-table", 2))
    for name in ("worker", '<b id=bad>"x"&', "io", "</script>'\\"):
        check("names of threads", name in names, f"{name} is not in {names}")


def check_sums(browser):
    """The map has what the figures have."""
    for what, found, right in (
            ("in slabs", "sum(heaps, h => h.inSlabs)", "T.in_slabs"),
            ("pinned", "sum(heaps, h => sum(h.slabs, s => s.pinned))", "T.pinned"),
            ("blocks", "sum(heaps, h => sum(h.slabs, s => s.live))", "T.small_blocks"),
            ("live", "sum(heaps, h => sum(h.slabs, s => s.places * s.size))", "T.small_live"),
            ("heaps", "heaps.length", "T.heaps"),
            ("LARGE", "sum(extents, e => e.state === 'live' ? e.size : 0)", "T.large_live")):
        check(what, browser.value(f"{found} === {right} && {right} > 0"),
              browser.value(f"[{found}, {right}]"))
    live = browser.value("sum(heaps, h => sum([...h.liveText], (_, i) => 0) + "
                         "[...h.liveText].reduce((t, _, i) => t + liveAt(h, i), 0) * UNIT)")
    total = browser.value("T.small_live")
    check("live by unit", 0.95 * total <= live <= total, f"{live} of {total}")


def check_sorting(browser):
    head = "[...document.querySelectorAll('#class-table th')].find(h => h.textContent === 'in slabs')"
    for order, down in (("descending", True), ("ascending", False)):
        browser.click_on(head + ".firstChild")
        check("aria-sort", browser.value(head + ".getAttribute('aria-sort')") == order)
        values = [amount(text) for text in column(browser, "class-table", 1)]
        check("sorted by size", len(values) > 5 and values == sorted(values, reverse=down), values)
    head = "[...document.querySelectorAll('#arena-table th')].find(h => h.textContent === 'name')"
    browser.click_on(head + ".firstChild")
    values = column(browser, "arena-table", 2)
    check("sorted by name", len(values) > 5 and values == sorted(values), values)


def check_search(browser, block, large):
    found = search(browser, block)
    check("a block is found", f"{int(block, 16):#x}: 0 bytes into the place" in found and
          "3,072" in found, found)
    text = tip(browser)
    check("the block's tooltip", text is not None and "3\u00a0KiB" in text and "live" in text, text)
    unit = int(block, 16) // 65536 * 65536
    check("the block's unit", text is not None and text.startswith(f"{unit:#x}"), text)
    found = search(browser, f"{int(block, 16) + 17:x}")
    check("an address in a block", "17 bytes into the place" in found, found)
    found = search(browser, large)
    check("a LARGE block is found", "into a LARGE block of 2\u00a0MiB" in found, found)
    marked = browser.value("document.querySelector('#extent-table .marked').textContent")
    check("it is marked", f"{int(large, 16) // 4096 * 4096:#x}" in marked, marked)
    check("an address of nothing", "not in a heap" in search(browser, "0x10"))
    check("no address", "This is no address" in search(browser, "<img src=x>"))


def check_map(browser, pictures=None):
    x, y = browser.place("document.querySelector('#map canvas')")
    browser.mouse("mouseMoved", 1, 1)
    browser.settle()
    check("no tooltip", tip(browser) is None)
    # the first unit of the heap at the top is its header
    box = browser.value("(() => { map.scrollTop = 0; const b = canvas.getBoundingClientRect();"
                        " return [b.left + tiles[0].left, b.top + tiles[0].top + LABEL, cell]; })()")
    browser.settle()
    browser.mouse("mouseMoved", box[0] + 2, box[1] + 2)
    browser.settle()
    text = tip(browser)
    check("the header's tooltip", text is not None and "header" in text, text)
    browser.click(box[0] + 20.5 * box[2], box[1] + box[2] / 2)
    first = tip(browser)
    check("a unit's tooltip", first is not None and "slab" in first, first)
    spoken = browser.value("document.getElementById('spoken').textContent")
    check("a unit is spoken", first is not None and first.split("\n")[0] in spoken, spoken)
    address = int(first.split("\n")[0], 16)
    columns = browser.value("columns")
    for name, distance in (("ArrowRight", 1), ("ArrowDown", columns)):
        browser.key(name)
        address += distance * 65536
        text = tip(browser)
        check(name, text is not None and text.startswith(f"{address:#x}"), f"{text}, {address:#x}")
    browser.key("PageDown")
    check("PageDown", browser.value("selected.index") == 1)
    browser.value("document.getElementById('colour').focus()")
    for mode in ("fill", "pinned"):
        browser.key("ArrowDown")
        check("colours", browser.value("document.getElementById('colour').value") == mode, mode)
        check("their legend", browser.value("document.getElementById('scale').textContent")
              .startswith("pinned" if mode == "pinned" else "live"))
        check("no groups", browser.value("document.getElementById('groups').children.length") == 0)
        if pictures:
            browser.picture(f"{pictures}/{mode}.png")
    browser.key("ArrowUp")
    browser.key("ArrowUp")
    # a class group alone, by a click on the legend
    browser.click_on("document.querySelector('#groups button')")
    check("one group", browser.value("onlyGroup === 0 && document.querySelector('#groups button')"
                                     ".getAttribute('aria-pressed') === 'true'"))
    browser.click_on("document.querySelector('#groups button')")


def take_pictures(browser, directory):
    browser.click(3, 3)
    for width, theme in ((1280, "light"), (1280, "dark"), (400, "light"), (400, "dark")):
        browser.size(width, 900)
        if browser.value("document.documentElement.dataset.theme") != theme:
            browser.click_on("document.getElementById('theme')")
        browser.value("scrollTo(0, 0)")
        browser.settle()
        browser.whole_picture(f"{directory}/{width}-{theme}.png")
        for part in ("map", "classes", "pinned", "large"):
            browser.value(f"document.getElementById('{part}').scrollIntoView()")
            browser.settle()
            browser.picture(f"{directory}/{width}-{theme}-{part}.png")


def drive(page, block, large, pictures=None):
    browser = Browser()
    try:
        browser.call("Emulation.setEmulatedMedia",
                     features=[{"name": "prefers-color-scheme", "value": "light"}])
        browser.size(1280, 900)
        url = browser.open(page)
        check_names(browser)
        check_sums(browser)
        check_sorting(browser)
        check_search(browser, block, large)
        check_map(browser, pictures)
        check_themes(browser)
        browser.size(400, 800)
        check_fits(browser, 400)
        check_search(browser, block, large)
        check_map(browser)
        browser.call("Emulation.setEmulatedMedia",
                     features=[{"name": "prefers-color-scheme", "value": "dark"}])
        browser.open(page)
        check("dark by preference",
              browser.value("document.documentElement.dataset.theme") == "dark")
        if pictures:
            take_pictures(browser, pictures)
        check_quiet(browser, url)
    finally:
        browser.close()
    return 1 if failed else 0


def open_only(page):
    browser = Browser()
    try:
        browser.size(1280, 900)
        begun = time.monotonic()
        url = browser.open(page)
        print(round(1000 * (time.monotonic() - begun)))
        check("the map is drawn", browser.value("tiles.length === heaps.length && canvas.width > 0"))
        check_quiet(browser, url)
    finally:
        browser.close()
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(open_only(sys.argv[2]) if sys.argv[1] == "--open" else drive(*sys.argv[1:]))
