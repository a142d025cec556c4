// The search: the index is loaded when the field is used first, by a script element, so that it works for
// pages that are opened as files, too.
"use strict";
(() => {
    const root = document.currentScript.dataset.root;
    const form = document.querySelector("header form");
    const input = form.querySelector("input");
    const panel = form.querySelector(".found");
    const MOST = 20; // results
    const AROUND = 70; // characters of a snippet on each side of the first word
    let selected = -1;

    const element = (name, className, text) => {
        const made = document.createElement(name);
        made.className = className;
        made.textContent = text;
        return made;
    };

    function loadIndex(then) {
        if (window.acreIndex)
            return then();
        let script = document.getElementById("index");
        if (!script) {
            script = document.createElement("script");
            script.id = "index";
            script.src = root + "index.js";
            document.head.append(script);
        }
        script.addEventListener("load", then);
    }

    // A section is found if it has each word, or its page's title does and it has another; a word in the
    // heading counts more than in the text.
    function search(words) {
        const found = [];
        for (const [number, anchor, heading, text] of window.acreIndex.sections) {
            const [url, title] = window.acreIndex.pages[number];
            const lowHeading = heading.toLowerCase(), low = text.toLowerCase(), lowTitle = title.toLowerCase();
            const scores = words.map(word =>
                (lowHeading === word ? 40 : lowHeading.includes(word) ? 20 : 0) + Math.min(low.split(word).length - 1, 8));
            const score = scores.reduce((sum, one) => sum + one, 0);
            if (score > 0 && words.every((word, i) => scores[i] > 0 || lowTitle.includes(word)))
                found.push({score, url, anchor, title, heading, text});
        }
        return found.sort((a, b) => b.score - a.score).slice(0, MOST);
    }

    function mark(parent, text, words) {
        const low = text.toLowerCase();
        let at = 0;
        while (at < text.length) {
            let next = text.length, length = 0;
            for (const word of words) {
                const place = low.indexOf(word, at);
                if (place >= 0 && (place < next || (place === next && word.length > length))) {
                    next = place;
                    length = word.length;
                }
            }
            parent.append(text.slice(at, next));
            if (length > 0)
                parent.append(element("mark", "", text.slice(next, next + length)));
            at = next + length;
        }
    }

    // The text around the word that is rarest in it.
    function snippet(text, words) {
        const low = text.toLowerCase();
        const counts = words.map(word => low.split(word).length - 1 || Infinity);
        const place = Math.max(0, low.indexOf(words[counts.indexOf(Math.min(...counts))]));
        const start = Math.max(0, place - AROUND), end = Math.min(text.length, place + 2 * AROUND);
        return (start > 0 ? "… " : "") + text.slice(start, end) + (end < text.length ? " …" : "");
    }

    function show() {
        const words = input.value.toLowerCase().split(/\s+/).filter(word => word.length > 1);
        selected = -1;
        panel.replaceChildren();
        panel.hidden = words.length === 0;
        if (panel.hidden)
            return;
        const found = search(words);
        if (found.length === 0)
            panel.append(element("p", "", "Nothing found."));
        for (const {url, anchor, title, heading, text} of found) {
            const link = document.createElement("a");
            link.href = root + url + "#" + encodeURIComponent(anchor);
            const where = element("span", "where", "");
            mark(where, heading === title ? title : title + " › " + heading, words);
            const piece = element("span", "snippet", "");
            mark(piece, snippet(text, words), words);
            link.append(where, piece);
            link.addEventListener("click", () => { panel.hidden = true; });
            panel.append(link);
        }
    }

    function select(step) {
        const links = [...panel.querySelectorAll("a")];
        if (links.length === 0)
            return;
        if (selected >= 0)
            links[selected].removeAttribute("aria-selected");
        selected = (selected + step + links.length + (selected < 0 && step < 0 ? 1 : 0)) % links.length;
        links[selected].setAttribute("aria-selected", "true");
        links[selected].scrollIntoView({block: "nearest"});
    }

    form.hidden = false;
    form.addEventListener("submit", event => {
        event.preventDefault();
        const link = panel.querySelectorAll("a")[Math.max(selected, 0)];
        if (link)
            link.click();
    });
    input.addEventListener("focus", () => loadIndex(() => {}));
    input.addEventListener("input", () => loadIndex(show));
    input.addEventListener("keydown", event => {
        if (event.key === "ArrowDown" || event.key === "ArrowUp") {
            event.preventDefault();
            select(event.key === "ArrowDown" ? 1 : -1);
        } else if (event.key === "Escape") {
            panel.hidden = true;
        }
    });
    document.addEventListener("keydown", event => {
        if (event.key === "/" && event.target === document.body) {
            event.preventDefault();
            input.focus();
        }
    });
    document.addEventListener("click", event => {
        if (!form.contains(event.target))
            panel.hidden = true;
    });
})();
