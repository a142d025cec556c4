#!/usr/bin/env python3
"""Checks a site: site.sh. One line for each fault; the exit status is 0 if there is none.

    site.py SOURCE SITE
"""

import html.parser
import json
import pathlib
import posixpath
import re
import sys
import urllib.parse

EMPTY = ("meta", "link", "img", "br", "hr", "input", "col", "wbr")  # elements without an end
faults = []


class Reader(html.parser.HTMLParser):
    """The ids, links and resources of a page, and its text without code."""

    def __init__(self):
        super().__init__()
        self.ids, self.links, self.resources, self.open, self.text = [], [], [], [], ""

    def handle_starttag(self, tag, attributes):
        values = dict(attributes)
        if "id" in values:
            self.ids.append(values["id"])
        if tag == "a" and "href" in values:
            self.links.append(values["href"])
        if tag in ("img", "script") and "src" in values:
            self.resources.append(values["src"])
        if tag == "link":
            self.resources.append(values["href"])
        if tag == "html" and "lang" not in values or tag == "img" and not values.get("alt"):
            faults.append(f"<{tag}> without its attribute")
        if tag not in EMPTY:
            self.open.append(tag)

    def handle_endtag(self, tag):
        if tag not in EMPTY and (not self.open or self.open.pop() != tag):
            faults.append(f"</{tag}> does not end what is open")

    def handle_data(self, data):
        if not {"code", "pre", "script"} & set(self.open):
            self.text += data


def is_elsewhere(url):
    return re.match(r"[a-z]+:|//", url) is not None


def main():
    source, site = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])
    pages = {}
    for file in site.rglob("*.html"):
        name = file.relative_to(site).as_posix()
        pages[name] = reader = Reader()
        before = len(faults)
        reader.feed(file.read_text())
        faults[before:] = [f"{name}: {fault}" for fault in faults[before:]]
        if reader.open:
            faults.append(f"{name}: {reader.open} are not ended")
        if len(set(reader.ids)) != len(reader.ids):
            faults.append(f"{name}: {sorted(i for i in set(reader.ids) if reader.ids.count(i) > 1)} are there twice")
        if re.search(r"\]\(|^#+ |\*\*\w", reader.text, flags=re.M):
            faults.append(f"{name}: has text that looks like Markdown")

    checked = 0

    def resolve(name, url):
        """The file that a url of a page names; faults if it, or the anchor, is not there."""
        nonlocal checked
        checked += 1
        path, _, anchor = urllib.parse.unquote(url).partition("#")
        target = posixpath.normpath(posixpath.join(posixpath.dirname(name), path)) if path else name
        if not (site / target).is_file():
            faults.append(f"{name}: {target} is not there")
        elif anchor and (target not in pages or anchor not in pages[target].ids):
            faults.append(f'{name}: {target} has no "{anchor}"')
        return target

    leads_to = {}
    for name, reader in pages.items():
        leads_to[name] = {resolve(name, url) for url in reader.links if not is_elsewhere(url)}
        for url in reader.resources:
            if is_elsewhere(url):
                faults.append(f"{name}: loads {url} from elsewhere")
            else:
                resolve(name, url)
    for file in [*site.glob("*.css"), *site.glob("*.js")]:
        if file.name != "index.js" and re.search(r"https?://", file.read_text()):
            faults.append(f"{file.name}: loads something from elsewhere")

    reached, waiting = set(), ["index.html"]
    while waiting:
        name = waiting.pop()
        if name in pages and name not in reached:
            reached.add(name)
            waiting.extend(leads_to[name])
    faults.extend(f"{name}: cannot be reached" for name in sorted(set(pages) - reached))

    documents = [p for pattern in ("*.md", "doc/*.md", "lib/*.md", "bench/*.md", "tests/*/*.md", "man/*.[1-9]")
                 for p in source.glob(pattern)]
    for document in documents:
        name = document.relative_to(source).as_posix()
        url = "index.html" if name == "README.md" else re.sub(r"\.md$", "", name) + ".html"
        if url not in pages:
            faults.append(f"{name} is not in the site")

    index = json.loads((site / "index.js").read_text().partition("=")[2].rstrip().rstrip(";"))
    found = set()
    for number, anchor, heading, _ in index["sections"]:
        url = index["pages"][number][0]
        resolve("index.html", f"{url}#{urllib.parse.quote(anchor)}")
        found.add(url)
        if not heading:
            faults.append(f"index.js: {url}#{anchor} has no heading")
    faults.extend(f"index.js: {url} cannot be found" for url, _ in index["pages"] if url not in found)

    for fault in faults:
        print(fault, file=sys.stderr)
    if len(documents) < 25 or checked < 500:
        print(f"{len(documents)} documents, {checked} links: too few to be all", file=sys.stderr)
        return 1
    print(f"{len(pages)} pages, {checked} links, {len(index['sections'])} sections to be found")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
