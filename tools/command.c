/*
 * Finds and judges commands; command.h is the contract.
 *
 * The dynamic linker obeys LD_PRELOAD in a program that it starts itself and that the kernel has
 * not marked secure. The rules for that mark are those of the kernel's security/commoncap.c.
 */
#define _GNU_SOURCE 1
#include "command.h"

#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/xattr.h>
#include <unistd.h>

enum {
    SCRIPT_LINE = 256,  /* bytes of a script that the kernel looks at (BINPRM_BUF_SIZE) */
    SCRIPT_DEPTH = 5,   /* scripts whose interpreters are scripts that the kernel follows */
    MACHINE_TEXT = 32,  /* characters; "64-bit machine 65535" is the longest */
    REASON_TEXT = 8192, /* characters; two paths and some words */
};

#define SECURE_CONSEQUENCE                                                                         \
    ": the system ignores LD_PRELOAD for it, so acre cannot be preloaded into it"

/* True if path is a file that may be executed; otherwise errno says why not. */
static bool is_executable(const char *path)
{
    struct stat status;
    if (stat(path, &status) != 0)
        return false;
    if (!S_ISREG(status.st_mode)) {
        errno = S_ISDIR(status.st_mode) ? EISDIR : EACCES;
        return false;
    }
    return faccessat(AT_FDCWD, path, X_OK, AT_EACCESS) == 0;
}

/* directory[0..length-1] "/" name, allocated; the empty directory is the current one. */
static char *join(const char *directory, size_t length, const char *name)
{
    char *path;
    if (asprintf(&path, "%.*s/%s", length != 0 ? (int)length : 1, length != 0 ? directory : ".",
                 name) < 0)
        err(STATUS_FAILED, NULL);
    return path;
}

/* The directories to search: PATH, or where that is unset the system's own. Allocated. */
static char *search_path(void)
{
    const char *set = getenv("PATH");
    size_t size = set != NULL ? strlen(set) + 1 : confstr(_CS_PATH, NULL, 0);
    char *path = malloc(size);
    if (path == NULL)
        err(STATUS_FAILED, NULL);
    if (set != NULL)
        memcpy(path, set, size);
    else
        confstr(_CS_PATH, path, size);
    return path;
}

char *command_find(const char *name)
{
    int reason = ENOENT;
    if (strchr(name, '/') != NULL) {
        if (is_executable(name))
            return strdup(name);
        reason = errno;
    } else if (*name != '\0') {
        char *path = search_path();
        const char *directory = path;
        for (;;) {
            size_t length = strcspn(directory, ":");
            char *candidate = join(directory, length, name);
            if (is_executable(candidate)) {
                free(path);
                return candidate;
            }
            if (errno == EACCES && access(candidate, F_OK) == 0)
                reason = EACCES; /* not because a directory may not be searched */
            free(candidate);
            if (directory[length] == '\0')
                break;
            directory += length + 1;
        }
        free(path);
    }
    if (reason == ENOENT || reason == ENOTDIR)
        errx(STATUS_NOT_FOUND, "%s: command not found", name);
    errx(STATUS_REFUSED, "%s: %s", name, strerror(reason));
}

/*
 * If a file begins with "#!", puts the path that follows into interpreter[0..PATH_MAX-1] and
 * returns true.
 */
static bool read_script(int fd, char interpreter[PATH_MAX])
{
    char line[SCRIPT_LINE + 1];
    ssize_t length = pread(fd, line, SCRIPT_LINE, 0);
    if (length < 2 || memcmp(line, "#!", 2) != 0)
        return false;
    line[length] = '\0';
    const char *start = line + 2 + strspn(line + 2, " \t");
    size_t size = strcspn(start, " \t\n");
    memcpy(interpreter, start, size);
    interpreter[size] = '\0';
    return true;
}

/* Why the kernel would mark the program at path secure; NULL if it would not. */
static const char *secure_reason(const char *path)
{
    struct stat status;
    struct statvfs filesystem;
    if (stat(path, &status) != 0 || statvfs(path, &filesystem) != 0)
        return NULL;
    bool obeyed = (filesystem.f_flag & ST_NOSUID) == 0;
    bool may_change = obeyed && prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) != 1;
    uid_t user = geteuid();
    gid_t group = getegid();
    if (may_change && (status.st_mode & S_ISUID) != 0)
        user = status.st_uid;
    if (may_change && (status.st_mode & S_ISGID) != 0 && (status.st_mode & S_IXGRP) != 0)
        group = status.st_gid;
    if (user != getuid())
        return "runs as another user (set-user-ID)" SECURE_CONSEQUENCE;
    if (group != getgid())
        return "runs as another group (set-group-ID)" SECURE_CONSEQUENCE;
    if (obeyed && getuid() != 0 && getxattr(path, "security.capability", NULL, 0) > 0)
        return "has file capabilities" SECURE_CONSEQUENCE;
    return NULL;
}

/* Ends with the reason why program, which is command or its interpreter, cannot be preloaded. */
_Noreturn static void refuse(const char *command, const char *program, const char *reason)
{
    if (strcmp(command, program) == 0)
        errx(STATUS_REFUSED, "%s %s", program, reason);
    errx(STATUS_REFUSED, "%s: its interpreter %s %s", command, program, reason);
}

/*
 * Opens the file that the kernel will load for command: itself, or the interpreter at the end of a
 * chain of scripts. Puts its path into program. -1 if it can be executed but not read.
 */
static int open_program(const char *command, char program[PATH_MAX])
{
    char interpreter[PATH_MAX];
    if (snprintf(program, PATH_MAX, "%s", command) >= PATH_MAX)
        errx(STATUS_REFUSED, "%s: %s", command, strerror(ENAMETOOLONG));
    for (int depth = 0; depth <= SCRIPT_DEPTH; depth++) {
        if (depth != 0 && !is_executable(program))
            errx(STATUS_REFUSED, "%s: its interpreter %s: %s", command, program, strerror(errno));
        int fd = open(program, O_RDONLY | O_CLOEXEC);
        if (fd < 0 || !read_script(fd, interpreter))
            return fd;
        close(fd);
        strcpy(program, interpreter);
    }
    errx(STATUS_REFUSED, "%s: %s", command, strerror(ELOOP));
}

void command_check(const char *path, const char *library, const struct elf_facts *facts)
{
    char program[PATH_MAX];
    int fd = open_program(path, program);
    const char *secure = secure_reason(program);
    if (secure != NULL)
        refuse(path, program, secure);
    struct elf_facts found;
    if (fd >= 0 && elf_facts_read(fd, &found)) {
        if (!elf_facts_are_compatible(&found, facts)) {
            char reason[REASON_TEXT], its[MACHINE_TEXT], ours[MACHINE_TEXT];
            elf_facts_describe(&found, its, sizeof its);
            elf_facts_describe(facts, ours, sizeof ours);
            snprintf(reason, sizeof reason,
                     "is a program for %s: %s, which is for %s, cannot be preloaded into it", its,
                     library, ours);
            refuse(path, program, reason);
        }
        if (!found.has_interpreter)
            refuse(path, program,
                   "is statically linked: it loads no shared libraries, so acre cannot be "
                   "preloaded into it");
        if (found.is_of_musl)
            refuse(path, program,
                   "runs on the C library musl: acre, which is for the GNU C library, cannot be "
                   "preloaded into it");
        if (found.sanitizer != NULL) {
            char reason[REASON_TEXT];
            snprintf(reason, sizeof reason,
                     "is built with %s: that has an allocator of its own, which acre cannot "
                     "replace",
                     found.sanitizer);
            refuse(path, program, reason);
        }
    }
    if (fd >= 0)
        close(fd);
}
