#!/bin/bash
# The Dockerfile of packaging/docker, without Docker: its lines are run, one after the other, in bare Debian
# systems that debootstrap has made; then its command is started, a redis-server on acre, and asked. What is
# not tried is Docker itself, and that the slim image has all that is taken for granted here. make check-docker
# runs this in the build tree, as root; systems.sh has the variables.
. "$(dirname "$0")/common.sh"
. "$(dirname "$0")/systems.sh"
dockerfile=$source_tree/packaging/docker/Dockerfile
need_systems

# The instructions, one a line.
instructions() {
    sed -e '/^ *#/d' -e '/^ *$/d' "$dockerfile" | sed -e ':next' -e '/\\$/N' -e 's/\\\n */ /' -e 't next'
}

# The words of ["a", "b"].
words() {
    sed -e 's/^ *\[ *"//' -e 's/" *\] *$//' -e 's/", *"/\n/g' <<<"$1"
}

declare -A stages
stage=0
system='' directory='' user='' entrypoint=() command=()

# Runs a command in the stage's system as the instructions so far say.
in_stage() { # COMMAND...
    # shellcheck disable=SC2016  # expanded inside
    in_system "$system" setpriv ${user:+--reuid="$user" --regid="$user" --init-groups} \
        sh -c 'cd "$1" && shift && exec "$@"' sh "$directory" "$@"
}

make_source
say "the stages"
while IFS= read -r line <&3; do
    word=${line%% *} rest=${line#* }
    echo "    $(cut -c 1-100 <<<"$line")"
    case $word in
    FROM)
        [[ $rest =~ ^debian:bookworm(-slim)?(\ AS\ ([a-z]+))?$ ]] || die "a stage from $rest"
        stage=$((stage + 1)) directory=/ user='' entrypoint=() command=()
        system=$work/stage.$stage
        stages[${BASH_REMATCH[3]:-last}]=$system
        get_system "$system" bare
        ;;
    RUN) must in_stage sh -c "$rest" ;;
    COPY)
        from=$source
        if [[ $rest =~ ^--from=([a-z]+)\ (.*)$ ]]; then
            from=${stages[${BASH_REMATCH[1]}]} rest=${BASH_REMATCH[2]}
        fi
        # The files of the one directory go to the other.
        mkdir -p "$system/${rest#* }"
        must cp -R "$from/${rest% *}/." "$system/${rest#* }"
        ;;
    WORKDIR)
        directory=$rest
        mkdir -p "$system$directory"
        ;;
    USER) user=$rest ;;
    EXPOSE) ;;
    ENTRYPOINT) mapfile -t entrypoint < <(words "$rest") ;;
    CMD) mapfile -t command < <(words "$rest") ;;
    *) die "this test does not know the instruction $word" ;;
    esac
done 3< <(instructions)
[ -e "$system/usr/local/lib/libacre.so.0" ] || die "there is no library in the last stage"
[ ! -e "$system/usr/bin/gcc" ] || die "there is a compiler in the last stage"

say "the command: ${entrypoint[*]} ${command[*]}"
socket=/tmp/redis.socket
in_stage "${entrypoint[@]}" "${command[@]}" --port 0 --unixsocket $socket >"$work/log" 2>&1 &
shell=$!
started=("$shell")
cli() { chroot "$system" redis-cli -s $socket "$@"; }
await cli ping
server=$(cli info server | tr -d '\r' | sed -n 's/^process_id://p')
started+=("$server")
grep -q '/usr/local/lib/libacre\.so' "/proc/$server/maps" || die "redis-server is not on acre"
[ "$(stat -c %u "/proc/$server")" -ne 0 ] || die "redis-server runs as root"
fill='for i = 1, 10000 do redis.call("set", "key:" .. i, string.rep("v", 100)) end'
must cli eval "$fill" 0
[ "$(cli dbsize)" = 10000 ] || die "redis-server does not work"
must in_system "$system" acre-inspect "$server"
grep -q 'live TINY and SMALL' "$work/output" || die "acre-inspect shows no figures"
kill -TERM "$server"
wait "$shell" || die "redis-server ended with status $? at SIGTERM: $(cat "$work/log")"
started=()
grep '^acre: ' "$work/log" && die "acre has reported something"
say "passed"
