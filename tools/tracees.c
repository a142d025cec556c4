/* The threads that are traced: see tracees.h. */
#define _GNU_SOURCE 1
#include "tracees.h"

#include "array.h"

#include <elf.h>
#include <err.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/uio.h>
#include <sys/user.h>

#if defined(__x86_64__)
#define SYSTEM_CALL_OF(registers) ((registers).orig_rax)
#define STACK_OF(registers) ((registers).rsp)
#elif defined(__aarch64__)
#define SYSTEM_CALL_OF(registers) ((registers).regs[8])
#define STACK_OF(registers) ((registers).sp)
#elif defined(__riscv)
#define SYSTEM_CALL_OF(registers) ((registers).a7)
#define STACK_OF(registers) ((registers).sp)
#else
#error "the registers of this machine are not known here"
#endif

/* The number of a line of a thread's status; `otherwise` if that cannot be read. */
static pid_t read_status(pid_t id, const char *line_format, pid_t otherwise)
{
    char path[64], line[256];
    int number = (int)otherwise;
    snprintf(path, sizeof(path), "/proc/%d/status", (int)id);
    FILE *file = fopen(path, "re");
    while (file != NULL && fgets(line, sizeof(line), file) != NULL)
        if (sscanf(line, line_format, &number) == 1)
            break;
    if (file != NULL)
        fclose(file);
    return number;
}

/* The id of a thread's process. */
static pid_t process_of(pid_t id)
{
    return read_status(id, "Tgid: %d", id);
}

struct tracee *tracees_get(struct tracees *tracees, pid_t id)
{
    for (size_t i = 0; i < tracees->count; i++)
        if (tracees->all[i].id == id)
            return &tracees->all[i];
    tracees->all = array_grow(tracees->all, tracees->count, sizeof(tracees->all[0]));
    tracees->all[tracees->count] = (struct tracee){.id = id, .process = process_of(id)};
    return &tracees->all[tracees->count++];
}

void tracees_remove(struct tracees *tracees, pid_t id)
{
    for (size_t i = 0; i < tracees->count; i++)
        if (tracees->all[i].id == id) {
            tracees->all[i] = tracees->all[--tracees->count];
            return;
        }
}

void tracees_keep_one(struct tracees *tracees, pid_t process, pid_t id)
{
    for (size_t i = 0; i < tracees->count;) {
        const struct tracee *each = &tracees->all[i];
        if (each->process == process && each->id != id)
            tracees_remove(tracees, each->id);
        else
            i++;
    }
}

bool tracees_has_maker(const struct tracees *tracees, pid_t id)
{
    pid_t parent = read_status(id, "PPid: %d", 0);
    for (size_t i = 0; i < tracees->count; i++)
        if (tracees->all[i].process == parent)
            return true;
    return false;
}

bool tracees_all_ended(const struct tracees *tracees, pid_t process)
{
    for (size_t i = 0; i < tracees->count; i++)
        if (tracees->all[i].process == process && !tracees->all[i].ended)
            return false;
    return true;
}

struct leaks_thread *tracees_roots(const struct tracees *tracees, pid_t process, size_t *count)
{
    struct leaks_thread *roots = calloc(tracees->count + 1, sizeof(roots[0]));
    if (roots == NULL)
        err(EXIT_FAILURE, NULL);
    *count = 0;
    for (size_t i = 0; i < tracees->count; i++)
        if (tracees->all[i].process == process && tracees->all[i].has_roots)
            roots[(*count)++] = tracees->all[i].roots;
    return roots;
}

long tracee_read_registers(pid_t id, struct leaks_thread *roots)
{
    struct user_regs_struct registers;
    struct iovec into = {&registers, sizeof(registers)};
    _Static_assert(sizeof(registers) <= sizeof(roots->registers), "there is room");
    if (ptrace(PTRACE_GETREGSET, id, (void *)(uintptr_t)NT_PRSTATUS, &into) != 0)
        return -1;
    roots->stack = STACK_OF(registers);
    roots->count = into.iov_len / sizeof(roots->registers[0]);
    memcpy(roots->registers, &registers, into.iov_len);
    return (long)SYSTEM_CALL_OF(registers);
}
