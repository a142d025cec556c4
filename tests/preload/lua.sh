# Lua 5.4: tables, strings, coroutines and its collector in both modes.
. "$(dirname "$0")/common.sh"
need lua5.4

cat >program.lua <<'END'
local function work(mode)
    collectgarbage(mode)
    local keep, sum = {}, 0
    for i = 1, 200000 do
        local text = ("%d:%s"):format(i, ("x"):rep(i % 200))
        keep[i % 5000 + 1] = { text, n = i, next = keep[(i * 31) % 5000 + 1] and i }
        sum = (sum + #text) % 1000003
    end
    local words = {}
    for i = 1, 5000 do words[i] = keep[i][1] end
    table.sort(words)
    print(mode, sum, #table.concat(words), words[1], words[2500])
end

work("incremental")
work("generational")
local producer = coroutine.wrap(function() for i = 1, 100000 do coroutine.yield({ i, i * i }) end end)
local total = 0
for pair in producer do total = total + pair[1] + pair[2] end
print(total, (("abc "):rep(1000):gsub("b", "[%0]")):len())
END

for mode in plain acre; do
    in_mode "$mode" lua5.4 program.lua >"$mode.output" || fail "lua: $mode"
done
expect_same plain.output acre.output
expect_bound lua5.4
passed
