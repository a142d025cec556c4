/*
 * Lists of options, made by libFuzzer: each is parsed, read back and set again. A list with a slash
 * is left out, since options name files that are written.
 */
#define _GNU_SOURCE 1
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "acre/acre.h"
#include "acre/malloc.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *list = strndup((const char *)data, size);
    if (list == NULL || strchr(list, '/') != NULL) {
        free(list);
        return 0;
    }
    int result = acre_options_parse(list, "options");
    if (result != 0 && result != EINVAL)
        abort();
    for (char *rest = list, *item; (item = strsep(&rest, ",")) != NULL;) {
        char value[4096], again[4096];
        item[strcspn(item, ":")] = '\0';
        if (acre_option_get(item, value, sizeof(value)) != 0)
            continue;
        /* What an option has can be set, and is the same then. */
        if (acre_option_set(item, value) == 0 &&
            (acre_option_get(item, again, sizeof(again)) != 0 || strcmp(value, again) != 0))
            abort();
    }
    acre_free(acre_malloc(100));
    free(list);
    return 0;
}
