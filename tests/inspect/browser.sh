# Skips the test that reads this in, with the reason, where pages cannot be opened in Chromium by
# browser.py.
for program in chromium python3; do
    command -v $program >/dev/null || {
        echo "skipped: $program is not installed"
        exit 77
    }
done
