-- Tables, strings, closures and coroutines, under both of Lua's collectors; prints a checksum.
-- Argument: how many rounds.

local function fill(count)
    local keep, sum = {}, 0
    for i = 1, count do
        local text = ("%d:%s"):format(i, ("x"):rep(i % 200))
        keep[i % 20000 + 1] = { text, n = i, next = keep[(i * 31) % 20000 + 1] and i }
        sum = (sum + #text) % 1000003
    end
    local words = {}
    for i = 1, #keep do words[i] = keep[i][1] end
    table.sort(words)
    return sum + #table.concat(words)
end

local function tree(depth)
    if depth == 0 then return {} end
    return { left = tree(depth - 1), right = tree(depth - 1) }
end

local function count(node)
    return 1 + (node.left and count(node.left) + count(node.right) or 0)
end

local function yielded(number)
    local producer = coroutine.wrap(function()
        for i = 1, number do coroutine.yield({ i, tostring(i), function() return i end }) end
    end)
    local total = 0
    for item in producer do total = total + item[1] + #item[2] + item[3]() end
    return total
end

local checksum = 0
for round = 1, tonumber(arg[1]) do
    collectgarbage(round % 2 == 0 and "incremental" or "generational")
    checksum = checksum + fill(60000 + round) + count(tree(14)) + yielded(20000)
    checksum = (checksum + (("abc "):rep(1000 + round):gsub("b", "[%0]")):len()) % 1000000007
end
print(checksum)
