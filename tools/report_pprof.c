/*
 * A profile in pprof's format: see report.h. The format is profile.proto of
 * github.com/google/pprof, in the encoding of protocol buffers: a field is its number and wire
 * type, then a varint, or a length and bytes. The whole is compressed by zlib's gzip format.
 */
#define _GNU_SOURCE 1
#include "report.h"

#include <err.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <zlib.h>

#include "acre/acre.h"

enum { VARINT = 0, BYTES = 2 }; /* wire types */

enum { GZIP_WINDOW = 15 + 16 }; /* for deflateInit2: the largest window, gzip's header */

/* Numbers of fields. */
enum {
    PROFILE_SAMPLE_TYPE = 1,
    PROFILE_SAMPLE = 2,
    PROFILE_MAPPING = 3,
    PROFILE_LOCATION = 4,
    PROFILE_FUNCTION = 5,
    PROFILE_STRING_TABLE = 6,
    PROFILE_TIME_NANOS = 9,
    PROFILE_DURATION_NANOS = 10,
    PROFILE_PERIOD_TYPE = 11,
    PROFILE_PERIOD = 12,
    PROFILE_COMMENT = 13,
    PROFILE_DEFAULT_SAMPLE_TYPE = 14,
    TYPE_TYPE = 1,
    TYPE_UNIT = 2,
    SAMPLE_LOCATION = 1,
    SAMPLE_VALUE = 2,
    SAMPLE_LABEL = 3,
    LABEL_KEY = 1,
    LABEL_NUMBER = 3,
    LABEL_UNIT = 4,
    MAPPING_ID = 1,
    MAPPING_START = 2,
    MAPPING_LIMIT = 3,
    MAPPING_OFFSET = 4,
    MAPPING_FILE = 5,
    MAPPING_BUILD_ID = 6,
    MAPPING_HAS_FUNCTIONS = 7, /* up to 10: file names, lines, inlined functions */
    LOCATION_ID = 1,
    LOCATION_MAPPING = 2,
    LOCATION_ADDRESS = 3,
    LOCATION_LINE = 4,
    LINE_FUNCTION = 1,
    LINE_LINE = 2,
    FUNCTION_ID = 1,
    FUNCTION_NAME = 2,
    FUNCTION_LINKED = 3,
    FUNCTION_FILE = 4,
};

/* Bytes that grow. */
struct bytes {
    uint8_t *all;
    size_t used, room;
};

static void put_bytes(struct bytes *to, const void *from, size_t size)
{
    if (size > to->room - to->used) {
        to->room = 2 * to->room + size;
        to->all = realloc(to->all, to->room);
        if (to->all == NULL)
            err(EXIT_FAILURE, NULL);
    }
    if (size != 0)
        memcpy(to->all + to->used, from, size);
    to->used += size;
}

static void put_varint(struct bytes *to, uint64_t number)
{
    uint8_t text[10];
    size_t length = 0;
    for (; number >= 128; number >>= 7)
        text[length++] = (uint8_t)(number | 128);
    text[length++] = (uint8_t)number;
    put_bytes(to, text, length);
}

static void put_number(struct bytes *to, unsigned field, uint64_t number)
{
    if (number == 0)
        return; /* the default */
    put_varint(to, (uint64_t)field << 3 | VARINT);
    put_varint(to, number);
}

static void put_field(struct bytes *to, unsigned field, const void *from, size_t size)
{
    put_varint(to, (uint64_t)field << 3 | BYTES);
    put_varint(to, size);
    put_bytes(to, from, size);
}

/* Puts a message that is complete into another one, and empties it. */
static void put_message(struct bytes *to, unsigned field, struct bytes *message)
{
    put_field(to, field, message->all, message->used);
    message->used = 0;
}

/* What is being written. */
struct pprof {
    const struct report *report;
    struct texts *texts;  /* those of the symbols: the string table */
    struct bytes profile; /* what is done */
    struct bytes message, part;
};

static uint32_t text(struct pprof *pprof, const char *text)
{
    return texts_add(pprof->texts, text);
}

static void put_type(struct pprof *pprof, unsigned field, const char *type, const char *unit)
{
    put_number(&pprof->message, TYPE_TYPE, text(pprof, type));
    put_number(&pprof->message, TYPE_UNIT, text(pprof, unit));
    put_message(&pprof->profile, field, &pprof->message);
}

static void put_types(struct pprof *pprof)
{
    static const char *const types[][2] = {{"alloc_objects", "count"},
                                           {"alloc_space", "bytes"},
                                           {"inuse_objects", "count"},
                                           {"inuse_space", "bytes"},
                                           {"peak_space", "bytes"}};
    static const char *const defaults[] = {
        [SUMS_LIVE] = "inuse_space", [SUMS_ALLOCATED] = "alloc_space", [SUMS_PEAK] = "peak_space"};
    for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++)
        put_type(pprof, PROFILE_SAMPLE_TYPE, types[i][0], types[i][1]);
    put_number(&pprof->profile, PROFILE_DEFAULT_SAMPLE_TYPE,
               text(pprof, defaults[pprof->report->wanted->kind]));
    put_type(pprof, PROFILE_PERIOD_TYPE, "space", "bytes");
    put_number(&pprof->profile, PROFILE_PERIOD, pprof->report->samples->first_interval);
}

/* The samples of one site; the places of its frames get their numbers so. */
static void put_sample(struct pprof *pprof, size_t site)
{
    const struct report *report = pprof->report;
    const struct sum *sum = &report->sums->sites[site];
    const uint64_t values[] = {report_whole(sum->all.blocks), report_whole(sum->all.bytes),
                               report_whole(sum->live.blocks), report_whole(sum->live.bytes),
                               report_whole(sum->peak.bytes)};
    size_t depth, count = sizeof(values) / sizeof(values[0]);
    const uint64_t *frames = report_frames(report, sums_stack(report->samples, site), &depth);
    if (values[1] == 0 && values[3] == 0 && values[4] == 0)
        return;
    for (size_t i = 0; i < depth; i++)
        put_varint(&pprof->part, symbols_place(report->symbols, frames[i]) + 1);
    put_message(&pprof->message, SAMPLE_LOCATION, &pprof->part);
    for (size_t i = 0; i < count; i++)
        put_varint(&pprof->part, values[i]);
    put_message(&pprof->message, SAMPLE_VALUE, &pprof->part);
    put_number(&pprof->part, LABEL_KEY, text(pprof, "bytes"));
    put_number(&pprof->part, LABEL_NUMBER, report->samples->sites[site].size);
    put_number(&pprof->part, LABEL_UNIT, text(pprof, "bytes"));
    put_message(&pprof->message, SAMPLE_LABEL, &pprof->part);
    put_message(&pprof->profile, PROFILE_SAMPLE, &pprof->message);
}

static void put_mappings(struct pprof *pprof)
{
    const struct maps *maps = pprof->report->maps;
    for (size_t i = 0; i < maps->module_count; i++) {
        const struct module *module = &maps->modules[i];
        char id[2 * MAPS_BUILD_ID + 1] = "";
        for (size_t k = 0; k < module->build_id_size; k++)
            sprintf(id + 2 * k, "%02x", module->build_id[k]);
        put_number(&pprof->message, MAPPING_ID, i + 1);
        put_number(&pprof->message, MAPPING_START, module->start);
        put_number(&pprof->message, MAPPING_LIMIT, module->end);
        put_number(&pprof->message, MAPPING_FILE, text(pprof, module->path));
        put_number(&pprof->message, MAPPING_BUILD_ID, text(pprof, id));
        for (unsigned k = 0; k < 4; k++)
            put_number(&pprof->message, MAPPING_HAS_FUNCTIONS + k, 1);
        put_message(&pprof->profile, PROFILE_MAPPING, &pprof->message);
    }
}

static int compare_functions(const void *left, const void *right)
{
    return memcmp(left, right, 3 * sizeof(uint32_t));
}

/* A function is a name and a file. Their list, sorted; allocated. */
static uint32_t (*list_functions(const struct symbols *symbols, size_t *count))[3]
{
    uint32_t(*all)[3] = calloc(symbols->count + 1, sizeof(*all));
    if (all == NULL)
        err(EXIT_FAILURE, NULL);
    for (size_t i = 0; i < symbols->count; i++)
        memcpy(all[i],
               (uint32_t[]){symbols->all[i].name, symbols->all[i].linked, symbols->all[i].file},
               sizeof(*all));
    qsort(all, symbols->count, sizeof(*all), compare_functions);
    *count = 0;
    for (size_t i = 0; i < symbols->count; i++)
        if (i == 0 || compare_functions(all[i], all[i - 1]) != 0)
            memmove(all[(*count)++], all[i], sizeof(*all));
    return all;
}

/* Functions, and locations that lead to them. */
static void put_locations(struct pprof *pprof)
{
    const struct symbols *symbols = pprof->report->symbols;
    size_t count;
    uint32_t(*functions)[3] = list_functions(symbols, &count);
    for (size_t i = 0; i < count; i++) {
        put_number(&pprof->message, FUNCTION_ID, i + 1);
        put_number(&pprof->message, FUNCTION_NAME, functions[i][0]);
        put_number(&pprof->message, FUNCTION_LINKED, functions[i][1]);
        put_number(&pprof->message, FUNCTION_FILE, functions[i][2]);
        put_message(&pprof->profile, PROFILE_FUNCTION, &pprof->message);
    }
    for (size_t i = 0; i < symbols->place_count; i++) {
        const struct symbol_place *place = &symbols->places[i];
        put_number(&pprof->message, LOCATION_ID, i + 1);
        if (place->module != NULL)
            put_number(&pprof->message, LOCATION_MAPPING,
                       (uint64_t)(place->module - pprof->report->maps->modules) + 1);
        put_number(&pprof->message, LOCATION_ADDRESS, place->address);
        for (uint32_t k = 0; k < place->count; k++) {
            const struct symbol *symbol = &symbols->all[place->first + k];
            const uint32_t key[] = {symbol->name, symbol->linked, symbol->file};
            uint32_t(*found)[3] =
                bsearch(key, functions, count, sizeof(*functions), compare_functions);
            put_number(&pprof->part, LINE_FUNCTION, (uint64_t)(found - functions) + 1);
            put_number(&pprof->part, LINE_LINE, symbol->line);
            put_message(&pprof->message, LOCATION_LINE, &pprof->part);
        }
        put_message(&pprof->profile, PROFILE_LOCATION, &pprof->message);
    }
    free(functions);
}

static void put_times(struct pprof *pprof)
{
    const struct samples *samples = pprof->report->samples;
    uint64_t end = samples->stopped_at > samples->started_at ? samples->stopped_at : samples->now;
    const uint64_t ns_of_ms = 1000 * 1000;
    char comment[256];
    put_number(&pprof->profile, PROFILE_TIME_NANOS, (uint64_t)time(NULL) * 1000 * ns_of_ms);
    if (end > samples->started_at)
        put_number(&pprof->profile, PROFILE_DURATION_NANOS, (end - samples->started_at) * ns_of_ms);
    snprintf(comment, sizeof(comment), "acre " ACRE_VERSION_STRING ", %s[%d]",
             pprof->report->memory->program, pprof->report->memory->program_pid);
    put_number(&pprof->profile, PROFILE_COMMENT, text(pprof, comment));
}

static void compress_to(const struct bytes *bytes, FILE *file)
{
    z_stream stream = {.next_in = bytes->all, .avail_in = (uInt)bytes->used};
    uint8_t piece[64 << 10];
    int result = Z_OK;
    if (bytes->used > UINT32_MAX ||
        deflateInit2(&stream, Z_DEFAULT_COMPRESSION, Z_DEFLATED, GZIP_WINDOW, MAX_MEM_LEVEL,
                     Z_DEFAULT_STRATEGY) != Z_OK)
        errx(EXIT_FAILURE, "the profile cannot be compressed");
    while (result == Z_OK) {
        stream.next_out = piece;
        stream.avail_out = sizeof(piece);
        result = deflate(&stream, Z_FINISH);
        fwrite(piece, 1, sizeof(piece) - stream.avail_out, file);
    }
    deflateEnd(&stream);
}

void report_pprof(const struct report *report, FILE *file)
{
    struct pprof pprof = {.report = report, .texts = &report->symbols->texts};
    put_types(&pprof);
    for (size_t i = 0; i < report->samples->site_count; i++)
        put_sample(&pprof, i);
    put_mappings(&pprof);
    put_locations(&pprof);
    put_times(&pprof);
    /* all texts are known by now */
    for (size_t i = 0; i < pprof.texts->count; i++)
        put_field(&pprof.profile, PROFILE_STRING_TABLE, pprof.texts->all[i],
                  strlen(pprof.texts->all[i]));
    compress_to(&pprof.profile, file);
    free(pprof.profile.all);
    free(pprof.message.all);
    free(pprof.part.all);
}
