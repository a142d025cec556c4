# Firefox without a display: the same screenshot of a page. Its executable exports a malloc family and
# operators new and delete of its own, but not all forms of them, to all processes that it starts.
. "$(dirname "$0")/common.sh"

firefox=
for name in firefox-esr firefox; do
    [ -n "$firefox" ] || firefox=$(command -v "$name")
done
[ -n "$firefox" ] || skip "firefox is not installed"

cat >page.html <<'END'
<!DOCTYPE html>
<title>acre</title>
<svg width="80" height="80">
<filter id="blur"><feGaussianBlur stdDeviation="3"/></filter>
<circle cx="40" cy="40" r="25" fill="green" filter="url(#blur)"/>
</svg>
<canvas width="80" height="80"></canvas>
<p></p>
<script>
const context = document.querySelector('canvas').getContext('2d');
for (let i = 0; i < 40; i++)
    context.fillRect(i * 2, (i * 37) % 80, 5, 5);
const words = [];
for (let i = 0; i < 20000; i++)
    words.push({ key: (i * 7919) % 20011, text: 'x'.repeat(i % 200) });
words.sort((a, b) => a.key - b.key);
document.querySelector('p').textContent = JSON.stringify(words).slice(0, 2000).replace(/x+/g, '-');
</script>
END

for mode in plain acre; do
    mkdir "$mode.profile"
    in_mode "$mode" env HOME="$scratch/$mode.profile" ACRE_OPTIONS=stats:exit \
        "$firefox" --headless --no-remote --profile "$scratch/$mode.profile" \
        --window-size 400,300 --screenshot "$scratch/$mode.png" "file://$scratch/page.html" \
        >"$mode.output" || fail "$firefox: $mode"
    [ -s "$mode.png" ] || fail "$firefox: $mode: no screenshot"
done
expect_same plain.png acre.png
# Its malloc is its own, so the table that acre prints at the end of each process shows that acre was
# loaded.
[ "$(grep -c '^acre [0-9]' acre.log)" -ge 2 ] || fail "the library was not in Firefox's processes"
passed
