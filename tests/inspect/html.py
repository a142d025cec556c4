#!/usr/bin/env python3
"""Drives the heap map of acre-inspect in Chromium, over the DevTools protocol through a pipe.

html.py PAGE BLOCK LARGE [PICTURES]: clicks and keys are real input events. BLOCK and LARGE are the
addresses that the program many prints. PICTURES is a directory for pictures of the page.
html.py --open PAGE: only opens it, and prints the milliseconds until it is drawn.
"""

import base64
import json
import os
import pathlib
import select
import shutil
import subprocess
import sys
import tempfile
import time

DEADLINE = 60  # seconds for an answer


class Browser:
    def __init__(self):
        self.directory = tempfile.mkdtemp()
        to_browser, self.output = os.pipe()
        self.input, from_browser = os.pipe()

        def connect():  # the browser reads descriptor 3 and writes 4
            os.dup2(os.dup(to_browser), 3)
            os.dup2(os.dup(from_browser), 4)

        # the pipe's ends may themselves be 3 and 4
        spare = [os.open("/dev/null", os.O_RDONLY) for _ in range(4)]
        to_browser, from_browser = (os.dup(fd) for fd in (to_browser, from_browser))
        self.process = subprocess.Popen(
            ["chromium", "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run",
             "--disable-dev-shm-usage", "--disable-background-networking", "--hide-scrollbars",
             "--remote-debugging-pipe", "--user-data-dir=" + self.directory, "about:blank"],
            preexec_fn=connect, pass_fds=(3, 4), stderr=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, env=dict(os.environ, HOME=self.directory))
        for fd in spare + [to_browser, from_browser]:
            os.close(fd)
        self.rest = b""
        self.number = 0
        self.session = None
        self.events = []
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self.session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(domain + ".enable")

    def message(self):
        while b"\0" not in self.rest:
            if not select.select([self.input], [], [], DEADLINE)[0]:
                raise TimeoutError("Chromium does not answer")
            piece = os.read(self.input, 1 << 20)
            if not piece:
                raise EOFError("Chromium has ended")
            self.rest += piece
        text, self.rest = self.rest.split(b"\0", 1)
        return json.loads(text)

    def call(self, method, **parameters):
        self.number += 1
        request = {"id": self.number, "method": method, "params": parameters}
        if self.session:
            request["sessionId"] = self.session
        data = json.dumps(request).encode() + b"\0"
        while data:
            data = data[os.write(self.output, data):]
        while True:
            message = self.message()
            if message.get("id") == self.number:
                if "error" in message:
                    raise RuntimeError(f"{method}: {message['error']}")
                return message["result"]
            self.events.append(message)

    def value(self, expression):
        answer = self.call("Runtime.evaluate", expression=expression, returnByValue=True,
                           awaitPromise=True)
        if "exceptionDetails" in answer:
            raise RuntimeError(f"{expression}: {answer['exceptionDetails']}")
        return answer["result"].get("value")

    def open(self, page):
        url = pathlib.Path(page).resolve().as_uri()
        self.call("Page.navigate", url=url)
        while not any(event["method"] == "Page.loadEventFired" for event in self.events):
            self.events.append(self.message())
        self.events = [event for event in self.events if event["method"] != "Page.loadEventFired"]
        self.settle()
        return url

    def settle(self):
        self.value("new Promise(r => requestAnimationFrame(() => requestAnimationFrame(r)))")

    def size(self, width, height):
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height,
                  deviceScaleFactor=1, mobile=False)
        self.settle()

    def mouse(self, kind, x, y, **more):
        self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, **more)

    def click(self, x, y):
        self.mouse("mouseMoved", x, y)
        self.mouse("mousePressed", x, y, button="left", clickCount=1)
        self.mouse("mouseReleased", x, y, button="left", clickCount=1)
        self.settle()

    def place(self, expression):
        """The middle of an element, which is scrolled into view."""
        return self.value(
            f"(() => {{ const e = {expression}; e.scrollIntoView({{block: 'center'}});"
            " const b = e.getBoundingClientRect();"
            " return [b.left + b.width / 2, b.top + b.height / 2]; })()")

    def click_on(self, expression):
        self.click(*self.place(expression))

    def key(self, name, text=None):
        more = {"text": text} if text else {}
        code = {"Enter": 13, "ArrowRight": 39, "ArrowDown": 40, "ArrowUp": 38, "PageDown": 34, "Tab": 9}.get(name, 0)
        self.call("Input.dispatchKeyEvent", type="keyDown", key=name, code=name,
                  windowsVirtualKeyCode=code, **more)
        self.call("Input.dispatchKeyEvent", type="keyUp", key=name, code=name,
                  windowsVirtualKeyCode=code)
        self.settle()

    def picture(self, path):
        data = self.call("Page.captureScreenshot", format="png")["data"]
        pathlib.Path(path).write_bytes(base64.b64decode(data))

    def whole_picture(self, path):
        data = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=True)["data"]
        pathlib.Path(path).write_bytes(base64.b64decode(data))

    def close(self):
        try:
            self.session = None
            self.call("Browser.close")
        except (OSError, EOFError, RuntimeError, TimeoutError):
            self.process.terminate()
        self.process.wait()
        shutil.rmtree(self.directory, ignore_errors=True)


failed = 0


def check(what, right, found=""):
    global failed
    if not right:
        failed += 1
        print(f"html.py: {what}: {found}", file=sys.stderr)


def search(browser, text):
    browser.click_on("document.getElementById('address')")
    browser.value("document.getElementById('address').select()")
    browser.call("Input.insertText", text=text)
    browser.key("Enter", "\r")
    return browser.value("document.getElementById('found').textContent")


def tip(browser):
    """The tooltip's text, None if it is hidden; it must be all in the window."""
    text = browser.value("document.getElementById('tip').hidden ? null "
                         ": document.getElementById('tip').innerText")
    if text is not None:
        inside = browser.value("(() => { const b = document.getElementById('tip')"
                               ".getBoundingClientRect(); return b.left >= 0 && b.top >= 0 &&"
                               " b.right <= innerWidth && b.bottom <= innerHeight; })()")
        check("the tooltip is not in the window", inside, text)
    return text


def column(browser, table, number):
    return browser.value(f"[...document.querySelectorAll('#{table} tbody tr')]"
                         f".map(row => row.cells[{number}].textContent)")


def amount(text):
    value, unit = text.replace(",", "").split("\u00a0")
    return float(value) * 1024 ** ["B", "KiB", "MiB", "GiB", "TiB"].index(unit)


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


def luminance(colour):
    channels = [int(colour[i:i + 2], 16) / 255 for i in (1, 3, 5)]
    channels = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * channels[0] + 0.7152 * channels[1] + 0.0722 * channels[2]


def check_contrast(browser):
    """By WCAG: 4.5 for text, 3 for what carries meaning."""
    for name, least in (("text", 7), ("quiet", 4.5), ("accent", 4.5), ("bar-live", 3),
                        ("bar-pinned", 3), ("mark", 3), ("free", 3)):
        colours = browser.value(f"['{name}', 'page'].map(n => getComputedStyle("
                                "document.documentElement).getPropertyValue('--' + n).trim())")
        lights = sorted(luminance(colour) for colour in colours)
        contrast = (lights[1] + 0.05) / (lights[0] + 0.05)
        check("contrast", contrast >= least, f"{name}: {contrast:.1f}, {colours}")


def check_themes(browser):
    theme = "document.documentElement.dataset.theme"
    background = "getComputedStyle(document.body).backgroundColor"
    check("light first", browser.value(theme) == "light")
    check_contrast(browser)
    light = browser.value(background)
    browser.click_on("document.getElementById('theme')")
    check("dark", browser.value(theme) == "dark" and browser.value(background) != light)
    check_contrast(browser)


def check_quiet(browser, url):
    """No errors, and nothing loaded but the page."""
    for event in browser.events:
        method, parameters = event["method"], event["params"]
        if method in ("Runtime.exceptionThrown", "Runtime.consoleAPICalled", "Log.entryAdded"):
            check("console", False, parameters)
        elif method == "Network.requestWillBeSent":
            loaded = parameters["request"]["url"]
            check("a request", loaded in (url, "about:blank"), loaded)


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
        check("400 pixels are enough", browser.value("document.documentElement.scrollWidth") <= 400,
              browser.value("document.documentElement.scrollWidth"))
        check("the tables fit", browser.value(
            "[...document.querySelectorAll('.scroll')].every(s => s.scrollWidth <= s.clientWidth)"),
            browser.value("[...document.querySelectorAll('.scroll')].map(s => s.scrollWidth)"))
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
