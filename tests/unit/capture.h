/*
 * Catches what code writes to standard error, and counts the writes: standard error becomes one end
 * of a SOCK_SEQPACKET pair, which keeps writes apart. A report must begin with "acre: NAME[PID]: ",
 * the program and the process that runs the code; the caught text has only "acre: " of that. Lines
 * that begin with two blanks after that, the details of a misuse, are kept apart.
 */
#ifndef ACRE_TESTS_UNIT_CAPTURE_H
#define ACRE_TESTS_UNIT_CAPTURE_H

#include <check.h>
#include <errno.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

struct capture {
    char text[8192]; /* what was written, NUL-terminated, without details */
    size_t writes;   /* of that */
    char details[16384];
    int status; /* of the child, as from waitpid; 0 without one */
};

/* Checks the beginning of a message that is a report, and cuts name and process out of it. Returns
 * the length that is left. */
static inline size_t capture_cut(char *message, size_t length, pid_t writer)
{
    static const char kept[] = "acre: ";
    char begin[128];
    size_t cut = (size_t)snprintf(begin, sizeof begin, "%s[%d]: ", program_invocation_short_name,
                                  (int)writer);
    size_t keep = strlen(kept);
    if (length < keep || memcmp(message, kept, keep) != 0)
        return length;
    ck_assert_msg(length >= keep + cut && memcmp(message + keep, begin, cut) == 0,
                  "no \"%s\" in: %.*s", begin, (int)length, message);
    memmove(message + keep, message + keep + cut, length - keep - cut);
    return length - cut;
}

/* Reads all messages of process `writer` from fd until its other end is closed; closes fd. */
static inline void capture_read(struct capture *capture, int fd, pid_t writer)
{
    size_t used = 0, details = 0;
    ssize_t length;
    capture->writes = 0;
    while ((length = recv(fd, capture->text + used, sizeof capture->text - 1 - used, 0)) > 0) {
        size_t left = capture_cut(capture->text + used, (size_t)length, writer);
        if (strncmp(capture->text + used, "acre:   ", left < 8 ? left : 8) == 0) {
            size_t kept = sizeof capture->details - 1 - details;
            kept = left < kept ? left : kept;
            memcpy(capture->details + details, capture->text + used, kept);
            details += kept;
            continue;
        }
        used += left;
        capture->writes++;
    }
    capture->text[used] = capture->details[details] = '\0';
    close(fd);
}

/* Runs run(argument) here with standard error caught. */
static inline void capture_stderr(struct capture *capture, void (*run)(void *), void *argument)
{
    int pair[2];
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair), 0);
    int saved = dup(STDERR_FILENO);
    dup2(pair[1], STDERR_FILENO);
    close(pair[1]);
    run(argument);
    dup2(saved, STDERR_FILENO);
    close(saved);
    capture_read(capture, pair[0], getpid());
    capture->status = 0;
}

/* Runs run(argument) in a child with standard error caught; it exits with 0 if run returns. */
static inline void capture_child(struct capture *capture, void (*run)(void *), void *argument)
{
    int pair[2];
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair), 0);
    pid_t child = fork();
    ck_assert_int_ge(child, 0);
    if (child == 0) {
        setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
        close(pair[0]);
        dup2(pair[1], STDERR_FILENO);
        close(pair[1]);
        run(argument);
        _exit(0);
    }
    close(pair[1]);
    capture_read(capture, pair[0], child);
    ck_assert_int_eq(waitpid(child, &capture->status, 0), child);
}

/* Runs run(argument) in a child, which must write just `text` and exit with 0. */
static inline void capture_exit(void (*run)(void *), void *argument, const char *text)
{
    struct capture capture;
    capture_child(&capture, run, argument);
    ck_assert_str_eq(capture.text, text);
    ck_assert_msg(capture.status == 0, "status %#x", (unsigned)capture.status);
}

/* Runs run(argument) in a child, which must write one message that begins with `begin`, and be
 * ended by SIGABRT. */
static inline void capture_abort(void (*run)(void *), void *argument, const char *begin)
{
    struct capture capture;
    capture_child(&capture, run, argument);
    ck_assert_msg(strncmp(capture.text, begin, strlen(begin)) == 0, "%snot %s", capture.text,
                  begin);
    ck_assert_uint_eq(capture.writes, 1);
    ck_assert_msg(WIFSIGNALED(capture.status) && WTERMSIG(capture.status) == SIGABRT, "status %#x",
                  (unsigned)capture.status);
}

#endif
