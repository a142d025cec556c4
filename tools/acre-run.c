/*
 * acre-run: runs a command with acre as its allocator; acre-run(1) is the manual.
 *
 * Finds libacre.so, checks that the command can be preloaded, puts the library first into
 * LD_PRELOAD and its options last into ACRE_OPTIONS, and becomes the command, whose exit status and
 * signals are therefore those of acre-run. It is not linked with the library, so that it works
 * wherever the two were moved together.
 */
#define _GNU_SOURCE 1
#include <dlfcn.h>
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "acre/acre.h"
#include "command.h"

#define LIBRARY_VARIABLE "ACRE_LIBRARY"
#define OPTIONS_VARIABLE "ACRE_OPTIONS"
#define INSTALLED_LIBRARY ACRE_LIBDIR "/libacre.so"
#define INSTALLED_SONAME ACRE_LIBDIR "/libacre.so.0" /* a distribution may have no other name */

/* Where the library may be, seen from the directory of this program. */
static const char *const neighbours[] = {
    "../lib/.libs/libacre.so",    /* build tree */
    "../../lib/.libs/libacre.so", /* build tree, where libtool keeps programs in .libs */
    "../lib/libacre.so",          /* installed, and perhaps moved since */
    "../lib64/libacre.so",
};

static const char usage[] =
    "usage: acre-run [--stats] [--options LIST] [--profile FILE] [--leaks] [--] COMMAND "
    "[ARGUMENT...]\n"
    "       acre-run --help-options | --version | --help\n"
    "\n"
    "Runs COMMAND with acre as its memory allocator.\n"
    "\n"
    "  --stats          print a table of what acre holds when COMMAND exits\n"
    "  --options LIST   options for acre, key:value,key:value (added to ACRE_OPTIONS)\n"
    "  --profile FILE   write which stacks allocated what COMMAND holds when it ends;\n"
    "                   by FILE's end: .txt, .pb.gz, .heap, .folded or .html (acre-profile(1))\n"
    "  --leaks          print what COMMAND has allocated and lost; the exit status is 23 then;\n"
    "                   with --profile, write it to FILE instead\n"
    "  --help-options   list acre's options\n"
    "  --version        print the version\n"
    "  --help           print this\n"
    "\n"
    "ACRE_LIBRARY may name the libacre.so to use.\n";

/* The absolute path of the library if it is at path, else NULL. Allocated. */
static char *library_at(const char *path)
{
    return access(path, R_OK) == 0 ? realpath(path, NULL) : NULL;
}

/* The same as library_at for a path in three parts. */
static char *library_at_joined(const char *first, const char *second, const char *third)
{
    char *path;
    if (asprintf(&path, "%s%s%s", first, second, third) < 0)
        err(STATUS_FAILED, NULL);
    char *found = library_at(path);
    free(path);
    return found;
}

/* Where the library was installed, seen from the prefix, such as "lib/x86_64-linux-gnu"; NULL: not
 * below it. */
static const char *library_directory(void)
{
    size_t length = strlen(ACRE_PREFIX_DIRECTORY);
    return strncmp(ACRE_LIBDIR "/", ACRE_PREFIX_DIRECTORY "/", length + 1) == 0
               ? &(ACRE_LIBDIR "/")[length + 1]
               : NULL;
}

/* The library beside this program, or NULL. */
static char *library_beside(void)
{
    char own[PATH_MAX];
    ssize_t length = readlink("/proc/self/exe", own, sizeof own - 1);
    if (length <= 0)
        return NULL;
    own[length] = '\0';
    *(strrchr(own, '/') + 1) = '\0';
    char *found = NULL;
    for (size_t i = 0; found == NULL && i < sizeof neighbours / sizeof neighbours[0]; i++)
        found = library_at_joined(own, neighbours[i], "");
    const char *directory = library_directory();
    strncat(own, "../", sizeof own - strlen(own) - 1);
    for (size_t i = 0; directory != NULL && found == NULL && i < 2; i++)
        found = library_at_joined(own, directory, i == 0 ? "/libacre.so" : "/libacre.so.0");
    return found;
}

/* Reads the facts of the library. Prints an error and exits if it is not acre. */
static void examine_library(const char *library, struct elf_facts *facts)
{
    int fd = open(library, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        err(STATUS_FAILED, "%s", library);
    if (!elf_facts_read(fd, facts))
        errx(STATUS_FAILED, "%s is not a shared library", library);
    if (!facts->is_acre)
        errx(STATUS_FAILED, "%s is not acre: it has no function acre_version", library);
    close(fd);
}

/* The path of libacre.so: the one that the user has chosen, or else the first one found. Says what
 * is wrong and exits if there is none. */
static char *locate_library(void)
{
    const char *chosen = getenv(LIBRARY_VARIABLE);
    if (chosen != NULL && *chosen != '\0') {
        char *library = library_at(chosen);
        if (library == NULL)
            err(STATUS_FAILED, LIBRARY_VARIABLE " is %s", chosen);
        return library;
    }
    char *library = library_beside();
    if (library == NULL)
        library = library_at(INSTALLED_LIBRARY);
    if (library == NULL)
        library = library_at(INSTALLED_SONAME);
    if (library == NULL)
        errx(STATUS_FAILED,
             "libacre.so was found neither beside this program (../lib) nor as %s; "
             "set " LIBRARY_VARIABLE " to its path",
             INSTALLED_LIBRARY);
    return library;
}

/* The absolute path of libacre.so, and what it is. Says what is wrong and exits if none is found.
 */
static char *find_library(struct elf_facts *facts)
{
    char *library = locate_library();
    examine_library(library, facts);
    return library;
}

/* Sets a variable to two texts joined by a separator, or to one if the other is empty or NULL. */
static void set_joined(const char *variable, const char *first, char separator, const char *second)
{
    char *joined;
    int length;
    if (first == NULL || *first == '\0')
        length = asprintf(&joined, "%s", second);
    else if (second == NULL || *second == '\0')
        length = asprintf(&joined, "%s", first);
    else
        length = asprintf(&joined, "%s%c%s", first, separator, second);
    if (length < 0 || setenv(variable, joined, 1) != 0)
        err(STATUS_FAILED, NULL);
    free(joined);
}

/* Adds options after those that are set already, so that they win. */
static void add_options(const char *list)
{
    set_joined(OPTIONS_VARIABLE, getenv(OPTIONS_VARIABLE), ',', list);
}

/* Puts the library in front of what is preloaded already. */
static void preload(const char *library)
{
    if (strpbrk(library, " :") != NULL)
        errx(STATUS_FAILED,
             "the path \"%s\" has a space or a colon in it, which LD_PRELOAD cannot express; "
             "set " LIBRARY_VARIABLE " to a copy of the library elsewhere",
             library);
    set_joined("LD_PRELOAD", library, ':', getenv("LD_PRELOAD"));
}

/* A function of the library that would be used, loaded into this process. */
static void *library_function(const char *name)
{
    struct elf_facts facts;
    char *library = find_library(&facts);
    char *options = getenv(OPTIONS_VARIABLE);
    options = options != NULL ? strdup(options) : NULL;
    unsetenv(OPTIONS_VARIABLE); /* they are for the command's copy */
    void *handle = dlopen(library, RTLD_NOW | RTLD_LOCAL);
    if (handle == NULL)
        errx(STATUS_FAILED, "%s", dlerror());
    if (options != NULL && setenv(OPTIONS_VARIABLE, options, 1) != 0)
        err(STATUS_FAILED, NULL);
    void *function = dlsym(handle, name);
    if (function == NULL)
        errx(STATUS_FAILED, "%s is of another version than this program: %s", library, dlerror());
    free(options);
    free(library);
    return function;
}

/* Makes the library print its table of options. */
static void print_options(void)
{
    ((void (*)(int))library_function("acre_options_print"))(STDOUT_FILENO);
}

/* Adds options of the command line. Exits if there is a mistake in them, which the library reports.
 */
static void add_given_options(const char *list)
{
    int (*parse)(const char *, const char *) =
        (int (*)(const char *, const char *))library_function("acre_options_parse");
    bool right = parse(list, "--options") == 0;
    (void)parse("stats:off",
                "--options"); /* of this program, whose copy of the library has read it */
    if (!right)
        exit(STATUS_FAILED);
    add_options(list);
}

/* Acts on the options of the command line. Returns the index of COMMAND. `*profile` is the file of
 * --profile; `*leaks`: --leaks was given. */
static int read_command_line(int argc, char **argv, const char **profile, bool *leaks)
{
    static const struct option options[] = {
        {"stats", no_argument, NULL, 's'},        {"options", required_argument, NULL, 'o'},
        {"help-options", no_argument, NULL, 'l'}, {"version", no_argument, NULL, 'v'},
        {"help", no_argument, NULL, 'h'},         {"profile", required_argument, NULL, 'p'},
        {"leaks", no_argument, NULL, 'k'},        {NULL, 0, NULL, 0},
    };
    int letter;
    while ((letter = getopt_long(argc, argv, "+", options, NULL)) != -1) {
        switch (letter) {
        case 's':
            add_options("stats:exit");
            break;
        case 'o':
            add_given_options(optarg);
            break;
        case 'p':
            *profile = optarg;
            break;
        case 'k':
            *leaks = true;
            break;
        case 'l':
            print_options();
            exit(EXIT_SUCCESS);
        case 'v':
            puts("acre-run " ACRE_VERSION_STRING);
            exit(EXIT_SUCCESS);
        case 'h':
            fputs(usage, stdout);
            exit(EXIT_SUCCESS);
        default:
            fputs(usage, stderr);
            exit(STATUS_FAILED);
        }
    }
    if (optind == argc) {
        warnx("no command given");
        fputs(usage, stderr);
        exit(STATUS_FAILED);
    }
    return optind;
}

/*
 * Becomes acre-profile, which is beside this program and runs it anew, without these options:
 * acre-profile itself has no need of acre.
 */
_Noreturn static void become_profile(const char *file, bool leaks, char **command)
{
    char own[PATH_MAX], *profile;
    ssize_t length = readlink("/proc/self/exe", own, sizeof own - 1);
    if (length <= 0)
        err(STATUS_FAILED, "/proc/self/exe");
    own[length] = '\0';
    if (asprintf(&profile, "%.*s/acre-profile", (int)(strrchr(own, '/') - own), own) < 0)
        err(STATUS_FAILED, NULL);
    size_t count = 0, used = 0;
    while (command[count] != NULL)
        count++;
    const char **arguments = calloc(count + 9, sizeof arguments[0]);
    if (arguments == NULL)
        err(STATUS_FAILED, NULL);
    arguments[used++] = "acre-profile";
    arguments[used++] = "run";
    if (leaks)
        arguments[used++] = "--leaks";
    if (file != NULL) {
        arguments[used++] = "-o";
        arguments[used++] = file;
    }
    arguments[used++] = "--";
    arguments[used++] = own;
    arguments[used++] = "--";
    memcpy(arguments + used, command, count * sizeof arguments[0]);
    execv(profile, (char **)arguments);
    err(STATUS_FAILED, "%s (it is left out where elfutils or zlib is missing)", profile);
}

int main(int argc, char **argv)
{
    const char *profile = NULL;
    bool leaks = false;
    char **command = argv + read_command_line(argc, argv, &profile, &leaks);
    if (profile != NULL || leaks)
        become_profile(profile, leaks, command);
    struct elf_facts facts;
    char *library = find_library(&facts);
    char *path = command_find(command[0]);
    command_check(path, library, &facts);
    preload(library);
    execvp(path, command);
    err(errno == ENOENT ? STATUS_NOT_FOUND : STATUS_REFUSED, "%s", path);
}
