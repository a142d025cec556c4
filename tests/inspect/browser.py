"""A browser that tests of pages drive, and what all pages are checked for.

Chromium is driven over the DevTools protocol through a pipe; clicks and keys are real input events.
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
        code = {"Enter": 13, "Escape": 27, "PageDown": 34, "Home": 36, "ArrowLeft": 37, "ArrowUp": 38,
                "ArrowRight": 39, "ArrowDown": 40}.get(name, 0)
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


failed = []


def check(what, right, found=""):
    if not right:
        failed.append(what)
        print(f"{pathlib.Path(sys.argv[0]).name}: {what}: {found}", file=sys.stderr)


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


def check_fits(browser, width):
    """The page and its tables are not wider than the window."""
    found = browser.value("document.documentElement.scrollWidth")
    check(f"{width} pixels are enough", found <= width, found)
    check("the tables fit", browser.value(
        "[...document.querySelectorAll('.scroll')].every(s => s.scrollWidth <= s.clientWidth)"),
        browser.value("[...document.querySelectorAll('.scroll')].map(s => s.scrollWidth)"))


def luminance(colour):
    channels = [int(colour[i:i + 2], 16) / 255 for i in (1, 3, 5)]
    channels = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * channels[0] + 0.7152 * channels[1] + 0.0722 * channels[2]


def contrast(one, other):
    """By WCAG, of two colours as #rrggbb."""
    lights = sorted(luminance(colour) for colour in (one, other))
    return (lights[1] + 0.05) / (lights[0] + 0.05)


def check_contrast(browser):
    """By WCAG: 4.5 for text, 3 for what carries meaning."""
    for name, least in (("text", 7), ("quiet", 4.5), ("accent", 4.5), ("bar-live", 3),
                        ("bar-pinned", 3), ("mark", 3), ("free", 3)):
        colours = browser.value(f"['{name}', 'page'].map(n => getComputedStyle("
                                "document.documentElement).getPropertyValue('--' + n).trim())")
        check("contrast", contrast(*colours) >= least, f"{name}: {contrast(*colours):.1f}, {colours}")


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
