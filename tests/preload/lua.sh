# Lua 5.4: tables, strings, coroutines and its collector in both modes.
bench=$(cd "$(dirname "$0")/../../bench" && pwd)
. "$(dirname "$0")/common.sh"
need lua5.4

same_output lua5.4 lua5.4 "$bench/inputs/work.lua" 2
passed
