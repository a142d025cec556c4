# Applies one mutant of a *.mutants file to a copy of the source: see README.md.
#
#   awk -v mutant=NAME -v root=DIRECTORY -f apply.awk FILE
#
# A hunk is lines of a file, consecutive there but for white space, which must stand in exactly one
# place, so that a mutant never lands where it was not meant.

function normal(text)
{
    gsub(/[ \t]+/, " ", text)
    sub(/^ /, "", text)
    sub(/ $/, "", text)
    return text
}

function fail(why)
{
    printf "%s: %s: %s\n", mutant, path, why >"/dev/stderr"
    failed = 1
    exit 1
}

# Limits from .. to to the body of the function `scope`.
function find_scope(count,    i)
{
    from = 1
    to = count
    if (scope == "")
        return
    for (i = 1; i <= count; i++)
        if (lines[i] ~ "^[A-Za-z_].*[ *]" scope "\\(" && lines[i] !~ /;$/)
            break
    if (i > count)
        fail("no function " scope)
    for (from = to = i; to < count && lines[to] !~ /^}/;)
        to++
}

# The number of the line at which the hunk's old lines begin.
function find_hunk(    i, j, k, matches, at)
{
    for (i = from; i <= to; i++) {
        k = i
        for (j = 1; j <= hunk_lines; j++) {
            if (kind[j] == "+")
                continue
            if (k > to || normal(lines[k]) != normal(hunk[j]))
                break
            k++
        }
        if (j > hunk_lines) {
            matches++
            at = i
        }
    }
    if (matches != 1)
        fail("a hunk stands in " matches + 0 " places: " hunk[1])
    return at
}

function end_hunk(    count, status, i, j, at)
{
    if (hunk_lines == 0)
        return
    count = 0
    while ((status = (getline lines[count + 1] <path)) > 0)
        count++
    close(path)
    if (status < 0)
        fail("cannot be read")
    find_scope(count)
    at = find_hunk()
    printf "" >path
    for (i = 1; i < at; i++)
        print lines[i] >>path
    for (j = 1; j <= hunk_lines; j++) {
        if (kind[j] != "-")
            print kind[j] == "+" ? hunk[j] : lines[i] >>path
        if (kind[j] != "+")
            i++
    }
    for (; i <= count; i++)
        print lines[i] >>path
    close(path)
    hunk_lines = 0
    hunks++
}

$1 == "mutant" {
    end_hunk()
    inside = $2 == mutant
    next
}
!inside { next }
/^[-+ ]/ {
    hunk_lines++
    kind[hunk_lines] = substr($0, 1, 1)
    hunk[hunk_lines] = substr($0, 2)
    next
}
{ end_hunk() }
$1 == "file" {
    path = root "/" $2
    scope = ""
}
$1 == "in" { scope = $2 }

END {
    if (!failed) {
        end_hunk()
        if (hunks == 0)
            fail("has no hunk")
    }
    exit failed
}
