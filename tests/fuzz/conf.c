/*
 * Files of options (acre.conf), made by libFuzzer: the first byte says what kind of file it is and
 * whose, the rest is its text. What the options are afterwards is compared with a reading of the
 * text that is made here, line by line.
 */
#define _GNU_SOURCE 1
#include "base/option.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    FILE_MOST = 8192, /* bytes; a longer file is not read */
    OTHER_USER = 65534,
};

static char path[32], own_name[NAME_MAX + 1];

/* Makes the file. True if it is one that is read. */
static bool make_file(uint8_t kind, const uint8_t *text, size_t size)
{
    unlink(path);
    rmdir(path);
    if (kind % 16 == 1)
        return mkdir(path, 0700) != 0;
    if (kind % 16 == 2)
        return mkfifo(path, 0600) != 0;
    if (kind % 16 == 3)
        return false;
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0 || write(fd, text, size) != (ssize_t)size)
        abort();
    mode_t mode = 0644;
    bool trusted = true;
    if ((kind & 0x30) == 0x30) { /* others may write to it */
        mode = (kind & 0x40) != 0 ? 0664 : 0602;
        trusted = false;
    } else if ((kind & 0x30) == 0x20 && geteuid() == 0) { /* it is another user's */
        trusted = fchown(fd, OTHER_USER, OTHER_USER) != 0;
    }
    if (fchmod(fd, mode) != 0)
        abort();
    close(fd);
    return trusted;
}

static char *strip(char *text)
{
    text += strspn(text, " \t\r\n");
    for (size_t length = strlen(text); length != 0 && strchr(" \t\r\n", text[length - 1]) != NULL;)
        text[--length] = '\0';
    return text;
}

/* Sets the options as the text says. */
static void read_text(char *text)
{
    bool applies = true;
    for (char *rest = text, *line; (line = strsep(&rest, "\n")) != NULL;) {
        line = strip(line);
        size_t length = strlen(line);
        if (line[0] == '[' && line[length - 1] == ']') {
            line[length - 1] = '\0';
            applies = strcmp(strip(line + 1), own_name) == 0;
        } else if (line[0] == '[') {
            applies = false;
        } else if (applies && line[0] != '#') {
            option_parse(line, "conf");
        }
    }
}

/* The options as text. */
static void get_all(char all[OPTION_COUNT][512])
{
    for (int i = 0; i < OPTION_COUNT; i++)
        if (option_get_text(option_table[i].name, all[i], sizeof(all[i])) != 0)
            abort();
}

static void reset(void)
{
    for (int i = 0; i < OPTION_COUNT; i++)
        option_table[i].value = option_table[i].standard;
}

int LLVMFuzzerInitialize(int *count, char ***arguments)
{
    char link[PATH_MAX];
    ssize_t length = readlink("/proc/self/exe", link, sizeof(link) - 1);
    (void)count, (void)arguments;
    if (length <= 0)
        abort();
    link[length] = '\0';
    snprintf(own_name, sizeof(own_name), "%s", strrchr(link, '/') + 1);
    snprintf(path, sizeof(path), "acre.conf.%d", (int)getpid());
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static char read[OPTION_COUNT][512], wanted[OPTION_COUNT][512];
    if (size == 0)
        return 0;
    bool is_read = make_file(data[0], data + 1, size - 1);
    reset();
    option_read_file(path, OS_OWN);
    get_all(read);
    reset();
    char *text = strndup((const char *)data + 1, size - 1);
    if (text == NULL)
        abort();
    if (is_read && size - 1 <= FILE_MOST && memchr(data + 1, '\0', size - 1) == NULL)
        read_text(text);
    free(text);
    get_all(wanted);
    if (memcmp(read, wanted, sizeof(read)) != 0)
        abort();
    unlink(path);
    rmdir(path);
    return 0;
}
