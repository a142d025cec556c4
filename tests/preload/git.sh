# git gc with packing threads: the repository is sound after it, and holds the same objects.
. "$(dirname "$0")/common.sh"
need git awk

export HOME=$scratch GIT_CONFIG_NOSYSTEM=1
git init -q -b main plain || fail "git init"
git -C plain config pack.threads 2
git -C plain config gc.auto 0

# 300 commits, each changing one of 40 files; loose objects are what gc has to pack.
awk 'BEGIN {
    for (c = 1; c <= 300; c++) {
        text = ""
        for (line = 0; line < 120; line++)
            text = text "line " line " of " (line % 9 == c % 9 ? c : c % 40) "\n"
        print "commit refs/heads/main"
        print "committer A <a@example.org> " 1000000000 + c " +0000"
        print "data 8\ncommit " c % 10
        print "M 644 inline directory" c % 5 "/file" c % 40
        print "data " length(text)
        print text
    }
}' | git -C plain -c fastimport.unpackLimit=100000 fast-import --quiet || fail "git fast-import"
cp -R plain acre

for mode in plain acre; do
    in_mode "$mode" git -C "$mode" gc --quiet --prune=now || fail "git gc: $mode"
    in_mode "$mode" git -C "$mode" fsck --full --strict >"$mode.fsck" || fail "git fsck: $mode"
    in_mode "$mode" git -C "$mode" log --stat >"$mode.history" || fail "git log: $mode"
    git -C "$mode" cat-file --batch-all-objects --batch >"$mode.objects" || fail "cat-file: $mode"
    [ "$(git -C "$mode" count-objects)" = "0 objects, 0 kilobytes" ] || fail "not packed: $mode"
done
expect_same plain.fsck acre.fsck
expect_same plain.history acre.history
expect_same plain.objects acre.objects
expect_bound git
passed
