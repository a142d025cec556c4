#!/bin/sh
# The search finds each fault of an allocator that has it (faulty.c), and nothing without one.
status=0

# Runs the search on the allocator with that fault; it must print those words.
finds() { # FAULT WORDS
    printed=$(ATTACK_FAULT=$1 ./faulty --brief --seed 2 --count 200 --set default)
    case $printed in
    *"$2"*) ;;
    *)
        echo "fault $1: expected \"$2\", got: $printed"
        status=1
        ;;
    esac
}

finds unreported 'found: a misuse is not reported'
finds reported 'found: a report too many'
finds misnamed 'found: a report names something else'
finds acted 'found: a misuse has an effect'
finds overlap 'found: two live blocks overlap'
finds outside 'found: a block in the program'
finds misaligned 'found: a block is not aligned'
finds refused 'found: a request is refused'
finds errno 'found: errno is wrong'
finds size 'found: the usable size is wrong'
finds contents 'found: contents have changed'
finds realloc 'found: contents have changed'
finds 'not zero' "found: calloc's bytes are not zero"
finds figures 'found: the figures are wrong'
finds lost 'found: the figures are wrong'
finds signal 'found: a signal'
finds none ' 0 findings'
exit $status
