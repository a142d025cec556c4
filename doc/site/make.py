#!/usr/bin/env python3
"""Makes the site: a page of HTML for each document and manual page, with a frame and a search.

    make.py SOURCE OUTPUT

cmark-gfm turns the documents into HTML and mandoc the manual pages; this adds what is around them.
OUTPUT is made anew. It needs no server: a browser opens OUTPUT/index.html. The same source gives the
same files. A link to a file that is not there is an error.
"""

import html
import json
import pathlib
import posixpath
import re
import shutil
import subprocess
import sys

# The parts of the navigation; a document that is not listed comes last.
PARTS = [
    ("Start", ["README.md", "doc/loading.md", "doc/migrating.md", "CHANGELOG.md"]),
    ("Manual", ["man/acre-run.1", "man/acre-inspect.1", "man/acre-profile.1", "man/acre-options.7",
                "man/acre.3"]),
    ("Use", ["doc/inspect.md", "doc/profile.md", "doc/guarantees.md", "doc/security.md"]),
    ("How it works", ["doc/design.md", "doc/tour.md", "lib/README.md", "doc/remote.md",
                      "doc/fork.md", "doc/cores.md", "doc/tuning.md"]),
    ("Figures", ["doc/performance.md", "bench/RESULTS.md", "bench/README.md"]),
    ("Working on it", ["doc/abi.md", "doc/releasing.md"]),
]
DOCUMENTS = ["*.md", "doc/*.md", "lib/*.md", "bench/*.md", "tests/*/*.md", "man/*.[1-9]"]
PICTURES = (".svg", ".png")


class Page:
    """A page of the site: where it comes from, where it goes, what is in it."""

    def __init__(self, source):
        self.source = source  # relative to the source tree
        self.url = "index.html" if source == "README.md" else re.sub(r"\.md$", "", source) + ".html"
        self.title = source
        self.body = ""
        self.headings = []  # (level, id, text)


def fail(message):
    sys.exit("make.py: " + message)


def plain(fragment):
    """The text of a piece of HTML."""
    return re.sub(r"\s+", " ", html.unescape(re.sub(r"<[^>]*>", "", fragment))).strip()


def relative(url, page):
    """A url of the site as seen from a page."""
    return posixpath.relpath(url, posixpath.dirname(page.url) or ".")


def run(*command):
    result = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    if result.returncode != 0:
        fail(" ".join(command) + ": " + result.stderr.decode())
    return result.stdout.decode()


class Site:
    def __init__(self, root, output):
        self.root = root
        self.output = output
        sources = [p.relative_to(root).as_posix() for pattern in DOCUMENTS for p in root.glob(pattern)]
        ordered = [s for _, part in PARTS for s in part]
        for source in ordered:
            if source not in sources:
                fail(f"{source} is in the navigation, but not there")
        others = sorted(s for s in sources if s not in ordered)
        self.parts = PARTS + ([("Further documents", others)] if others else [])
        self.pages = {s: Page(s) for _, part in self.parts for s in part}
        self.listings = {}  # sources that documents refer to, which are shown as they are
        self.pictures = set()
        header = (root / "include/acre/acre.h").read_text()
        self.version = re.search(r'ACRE_VERSION_STRING "(.*)"', header).group(1)

    # ---- what is in a page ----

    def target(self, page, link):
        """The url, seen from the page, of what a document links to; None: no page is made of it."""
        if re.match(r"[a-z]+:|#", link):
            return link
        path, _, anchor = link.partition("#")
        file = (self.root / page.source).parent / path
        if not file.exists():
            fail(f"{page.source} links to {path}, which is not there")
        name = file.resolve().relative_to(self.root.resolve()).as_posix()
        if name in self.pages:
            url = self.pages[name].url
        elif name.endswith(PICTURES):
            self.pictures.add(name)
            url = name
        elif file.is_file():
            self.listings.setdefault(name, Page(name))
            url = self.listings[name].url
        else:
            return None
        return relative(url, page) + ("#" + anchor if anchor else "")

    def links(self, page, text):
        def link(match):
            url = self.target(page, html.unescape(match.group(1)))
            return f'<a href="{html.escape(url)}">{match.group(2)}</a>' if url else match.group(2)

        def picture(match):
            url = self.target(page, html.unescape(match.group(1)))
            return f'<img src="{html.escape(url)}"'

        text = re.sub(r'<a href="([^"]*)">(.*?)</a>', link, text, flags=re.S)
        return re.sub(r'<img src="([^"]*)"', picture, text)

    def references(self, page, text):
        """Links for "acre-run(1)" and the like, except in code, links and headings."""
        depth = 0
        pieces = re.split(r"(<[^>]*>)", text)
        for i, piece in enumerate(pieces):
            if re.match(r"</(a|code|pre|h[1-6])\b", piece):
                depth -= 1
            elif re.match(r"<(a|code|pre|h[1-6])\b", piece):
                depth += 1
            elif depth == 0 and not piece.startswith("<"):
                pieces[i] = re.sub(r"\b(acre[a-z-]*)\(([1-9])\)", lambda m: self.reference(page, m), piece)
        return "".join(pieces)

    def reference(self, page, match):
        name = f"man/{match.group(1)}.{match.group(2)}"
        if name not in self.pages:
            return match.group(0)
        return f'<a href="{relative(self.pages[name].url, page)}">{match.group(0)}</a>'

    def headings(self, page):
        """Gives each heading an id, as GitHub does, and a link to itself."""
        seen = {}

        def heading(match):
            level, attributes, text = int(match.group(1)), match.group(2), match.group(3)
            found = re.search(r'id="([^"]*)"', attributes)
            if found:
                name = html.unescape(found.group(1))
            else:
                name = re.sub(r"[^\w\- ]", "", plain(text).lower()).replace(" ", "-")
                seen[name] = seen.get(name, -1) + 1
                name += f"-{seen[name]}" if seen[name] else ""
            page.headings.append((level, name, plain(text)))
            text = re.sub(r"</?a\b[^>]*>", "", text)
            quoted = html.escape(name)
            return (f'<h{level} id="{quoted}">{text} <a class="anchor" href="#{quoted}" '
                    f'aria-label="Link to this section">#</a></h{level}>')

        page.body = re.sub(r"<h([1-6])([^>]*)>(.*?)</h\1>", heading, page.body, flags=re.S)

    def read_document(self, page):
        text = run("cmark-gfm", "-e", "table", "-e", "autolink", str(self.root / page.source))
        page.body = self.references(page, self.links(page, text))
        self.headings(page)
        page.title = page.headings[0][2]

    def read_manual(self, page):
        text = run("mandoc", "-T", "html", "-O", "fragment,man=%N.%S", str(self.root / page.source))

        def link(match):
            name = html.unescape(match.group(1))
            if "man/" + name not in self.pages:
                return f'<span class="Xr">{match.group(2)}</span>'
            return f'<a class="Xr" href="{name}.html">{match.group(2)}</a>'

        text = re.sub(r'<a class="Xr" href="([^"]*)">(.*?)</a>', link, text, flags=re.S)
        # mandoc's sections begin with h1; here that is the page's name
        text = re.sub(r"(</?h)([12])\b", lambda m: m.group(1) + str(int(m.group(2)) + 1), text)
        name, section = page.source[len("man/"):].rsplit(".", 1)
        page.title = f"{name}({section})"
        page.body = f'<h1 id="top">{page.title}</h1>\n<div class="manual">{text}</div>'
        self.headings(page)

    def read_listing(self, page):
        text = html.escape((self.root / page.source).read_text())
        page.body = f'<h1 id="top">{html.escape(page.source)}</h1>\n<pre class="listing"><code>{text}</code></pre>'

    # ---- what is around it ----

    def navigation(self, page):
        lines = []
        for part, sources in self.parts:
            lines.append(f"<h2>{part}</h2>\n<ul>")
            for source in sources:
                other = self.pages[source]
                current = ' aria-current="page"' if other is page else ""
                lines.append(f'<li><a href="{relative(other.url, page)}"{current}>{html.escape(other.title)}</a>')
                deepest = 3 if page.source.startswith("man/") else 2
                sections = [h for h in page.headings if 2 <= h[0] <= deepest] if other is page else []
                if sections:
                    lines.append("<ul>")
                    for level, name, text in sections:
                        sub = ' class="sub"' if level == 3 else ""
                        lines.append(f'<li{sub}><a href="#{html.escape(name)}">{html.escape(text)}</a></li>')
                    lines.append("</ul>")
                lines.append("</li>")
            lines.append("</ul>")
        return "\n".join(lines)

    def frame(self, page):
        name = "acre" if page.url == "index.html" else f"{page.title} - acre"
        body = re.sub(r"<table(?! class=\"(?:head|foot))", '<div class="wide"><table', page.body)
        body = re.sub(r"</table>", "</table></div>", body)
        body = re.sub(r'(<table class="(?:head|foot)".*?</table>)</div>', r"\1", body, flags=re.S)
        return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{html.escape(name)}</title>
<link rel="stylesheet" href="{relative('site.css', page)}">
<script defer src="{relative('site.js', page)}" data-root="{'../' * page.url.count('/')}"></script>
</head>
<body>
<header>
<a class="skip" href="#main">To the text</a>
<a class="home" href="{relative('index.html', page)}">acre</a>
<span class="version">{self.version}</span>
<a class="contents" href="#contents">Contents</a>
<form role="search" hidden>
<input type="search" placeholder="Search" aria-label="Search" autocomplete="off" spellcheck="false">
<div class="found" hidden></div>
</form>
</header>
<div class="columns">
<main id="main">
{body}
</main>
<nav id="contents" aria-label="Contents">
{self.navigation(page)}
</nav>
</div>
</body>
</html>
"""

    # ---- the search ----

    def sections(self, page):
        """The sections of a page: id, heading, text."""
        # an option, or an entry of a list in a manual page, is a section, too
        starts = [(m.start(), m.end(), html.unescape(m.group(2)), plain(re.sub(r'<a class="anchor".*', "", m.group(3))))
                  for m in re.finditer(r'<(h[1-3]|dt) id="([^"]*)"[^>]*>(.*?)</\1>', page.body, flags=re.S)]
        for i, (_, end, name, title) in enumerate(starts):
            next_start = starts[i + 1][0] if i + 1 < len(starts) else len(page.body)
            # a blank where a cell or a paragraph ends
            text = plain(re.sub(r"</(td|th|p|li|dt|dd|pre|div)>", " ", page.body[end:next_start]))
            yield name, title, text

    def index(self):
        pages = [[page.url, page.title] for page in self.pages.values()]
        sections = [[i, name, title, text] for i, page in enumerate(self.pages.values())
                    for name, title, text in self.sections(page)]
        content = json.dumps({"pages": pages, "sections": sections}, ensure_ascii=False, separators=(",", ":"))
        return f"window.acreIndex = {content};\n"

    def write(self):
        for page in self.pages.values():
            (self.read_manual if page.source.startswith("man/") else self.read_document)(page)
        for page in self.listings.values():
            self.read_listing(page)
        shutil.rmtree(self.output, ignore_errors=True)
        for page in [*self.pages.values(), *self.listings.values()]:
            file = self.output / page.url
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(self.frame(page))
        for name in sorted(self.pictures):
            (self.output / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(self.root / name, self.output / name)
        for name in ("site.css", "site.js"):
            shutil.copyfile(self.root / "doc/site" / name, self.output / name)
        (self.output / "index.js").write_text(self.index())
        print(f"{len(self.pages)} documents, {len(self.listings)} sources, {len(self.pictures)} pictures: "
              f"{self.output / 'index.html'}")


def main():
    if len(sys.argv) != 3:
        sys.exit("usage: make.py SOURCE OUTPUT")
    for tool in ("cmark-gfm", "mandoc"):
        if shutil.which(tool) is None:
            fail(f"{tool} is not installed (Debian: the packages cmark-gfm and mandoc)")
    Site(pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])).write()


if __name__ == "__main__":
    main()
