/*
 * The memory of another process: read by process_vm_readv, or where a filter forbids that by
 * /proc/PID/mem. It is not stopped. Used by memory.c alone.
 */
#ifndef ACRE_TOOLS_PROCESS_H
#define ACRE_TOOLS_PROCESS_H

#include "memory.h"

/* Opens process memory->pid. Exits, after it has said why, if it is not there or may not be read.
 */
void process_open(struct memory *memory);

/* Gets ready to read process memory->pid, or the process of that thread; false if it is not there
 * or may not be read. */
bool process_try(struct memory *memory);

/* Reads the name of a process, as that of the one whose memory this is; false if it is not there.
 */
bool process_read_name(struct memory *memory, pid_t process);

/* Reads as much as there is from `address` on; returns bytes. */
size_t process_read(struct memory *memory, uint64_t address, void *into, size_t size);

/* Writes, by ptrace's rights. False, with errno set, if that cannot be. */
bool process_write(struct memory *memory, uint64_t address, const void *from, size_t size);

/* False if it has ended, or is about to. */
bool process_has_memory(struct memory *memory);

/* Reads how much is resident now. */
void process_read_resident(struct memory *memory);

/* The id that a process has in its own namespace; `process` if the system does not say. */
int process_own_id(pid_t process);

/* As memory_thread_name. */
char *process_thread_name(struct memory *memory, int id);

#endif
