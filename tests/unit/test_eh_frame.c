/*
 * Rules are read from tables as the standards say: from made-up tables with one entry for each kind
 * of instruction, augmentation and encoding. Of damaged tables nothing outside is read: they lie at
 * the start or the end of what can be read.
 */
#include "test.h"
#include "modes/eh_frame.h"
#include "base/os.h"
#include "common/random.h"

#include <string.h>
#include <sys/mman.h>

static void begin_test(void);
SUITE(eh_frame, .begin = begin_test);

enum {
#ifdef __aarch64__
    FP = 29,
    LINK = 30,
    SP = 31,
#elif defined(__riscv)
    FP = 8,
    LINK = 1,
    SP = 2,
#else
    FP = 6,
    SP = 7,
    LINK = 16,
#endif
    OTHER = 3,    /* a register that is not followed */
    CODE = 0x100, /* bytes of the function */
    ROOM = 2048,  /* bytes for tables */
    DAMAGES = 200 * 1000,
};

/* ---- making tables ---- */

static unsigned char *pages; /* ROOM bytes; what lies below and above cannot be read */
static unsigned char *tables;
static size_t size;

static void begin_test(void)
{
    size_t page = os_page_size();
    unsigned char *all = mmap(NULL, 3 * page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    ck_assert_ptr_ne(all, MAP_FAILED);
    pages = all + page;
    ck_assert_int_eq(mprotect(pages, page, PROT_READ | PROT_WRITE), 0);
    tables = pages;
}

static void put(uint64_t value, size_t bytes)
{
    ck_assert_uint_le(size + bytes, ROOM);
    memcpy(tables + size, &value, bytes);
    size += bytes;
}

static void put_bytes(const void *bytes, size_t count)
{
    ck_assert_uint_le(size + count, ROOM);
    if (count != 0)
        memcpy(tables + size, bytes, count);
    size += count;
}

static void set_at(size_t at, uint64_t value)
{
    uint32_t word = (uint32_t)value;
    memcpy(tables + at, &word, sizeof(word));
}

/* What a table is made of; what is 0 is as compilers have it. */
struct sketch {
    const char *augmentation; /* of what entries share, with its data, that many bytes */
    const unsigned char *data;
    size_t data_size;
    unsigned version, link, encoding;
    const unsigned char *program; /* the function's instructions */
    size_t program_size;
    bool start_only; /* what entries share has no instructions */
};

#define BYTES(...)                                                                                 \
    (const unsigned char[]){__VA_ARGS__}, sizeof((const unsigned char[]){__VA_ARGS__})

static size_t shared_at, entry_at;

/* Where the function starts: some bytes from the tables. */
static uintptr_t code(void)
{
    return (uintptr_t)pages + (1 << 20);
}

static void put_shared(const struct sketch *s)
{
    shared_at = size;
    put(0, 4);
    put(0, 4);
    put(s->version != 0 ? s->version : 1, 1);
    put_bytes(s->augmentation, strlen(s->augmentation) + 1);
    put(1, 1);    /* unit of code */
    put(0x78, 1); /* of data: -8 */
    put(s->link != 0 ? s->link : LINK, 1);
    put_bytes(s->data, s->data_size);
    if (!s->start_only)
        put_bytes(BYTES(0x0c, SP, 8, 0x80 | LINK % 64, 1)); /* sp + 8, saved at -8 */
    set_at(shared_at, size - shared_at - 4);
}

/* A header with one row, what entries share, and one entry. */
static void make(const struct sketch *s)
{
    size = 0;
    put_bytes(BYTES(1, 0x1b, 0x03, 0x3b)); /* version; encodings of start, count, rows */
    put(0, 4);
    put(1, 4);
    put(code() - (uintptr_t)tables, 4);
    put(0, 4);
    put_shared(s);
    entry_at = size;
    put(0, 4);
    put(size - shared_at, 4);
    if (s->encoding == 0x1b) { /* from here, 4 bytes, signed */
        put(code() - (uintptr_t)(tables + size), 4);
        put(CODE, 4);
    } else {
        put(code(), 8);
        put(CODE, 8);
    }
    if (s->augmentation[0] == 'z')
        put(0, 1);
    put_bytes(s->program, s->program_size);
    set_at(entry_at, size - entry_at - 4);
    set_at(16, entry_at);
}

static union frame_rule rule_in(uintptr_t from, uintptr_t to, uintptr_t header, uintptr_t pc)
{
    uintptr_t source;
    struct readable memory = {.from = from, .to = to};
    union frame_rule rule = eh_frame_rule(&memory, header, pc, &source);
    if (source != 0) {
        ck_assert_uint_ge(source, from);
        eh_frame_sum(source);
    }
    return rule;
}

static union frame_rule rule_at(uintptr_t offset)
{
    return rule_in((uintptr_t)tables, (uintptr_t)tables + size, (uintptr_t)tables, code() + offset);
}

static const struct sketch usual = {.augmentation = "zR",
                                    .data = (const unsigned char[]){1, 0x1b},
                                    .data_size = 2,
                                    .encoding = 0x1b};

/* The rule for the instruction at that offset of a function with such instructions. */
static union frame_rule rule_of(uintptr_t offset, const unsigned char *program, size_t bytes)
{
    struct sketch s = usual;
    s.program = program;
    s.program_size = bytes;
    make(&s);
    return rule_at(offset);
}

#define CHECK_ADDRESS(rule, where, bytes)                                                          \
    do {                                                                                           \
        union frame_rule checked = (rule);                                                         \
        ck_assert_uint_eq(checked.address, where);                                                 \
        ck_assert_int_eq(checked.offset, bytes);                                                   \
    } while (0)
#define CHECK_FP(rule, where, words)                                                               \
    do {                                                                                           \
        union frame_rule checked = (rule);                                                         \
        ck_assert_uint_eq(checked.fp, where);                                                      \
        ck_assert_int_eq(checked.fp_offset, words);                                                \
    } while (0)

/* ---- what the tables say ---- */

TEST(a_function_is_found_by_its_range)
{
    union frame_rule rule = rule_of(0, BYTES(0));
    CHECK_ADDRESS(rule, FRAME_FROM_SP, 8);
    ck_assert_uint_eq(rule.link, SAVED_IN_FRAME);
    ck_assert_int_eq(rule.link_offset, -1);
    CHECK_FP(rule, SAVED_NOWHERE, 0);
    CHECK_ADDRESS(rule_at(CODE - 1), FRAME_FROM_SP, 8);
    ck_assert_uint_eq(rule_at(CODE).address, FRAME_UNKNOWN);
    ck_assert_uint_eq(rule_at((uintptr_t)-1).address, FRAME_UNKNOWN);
}

/* Each program moves the address to sp + 32 from the instruction at 4 on. */
TEST(instructions_move_on)
{
    static const struct {
        unsigned char bytes[12];
        size_t count;
    } programs[] = {
        {{0x44, 0x0e, 32}, 3},       {{0x02, 4, 0x0e, 32}, 4},
        {{0x03, 4, 0, 0x0e, 32}, 5}, {{0x04, 4, 0, 0, 0, 0x0e, 32}, 7},
        {{0x42, 0x42, 0x0e, 32}, 4}, {{0x00, 0x2d, 0x2e, 0x81, 0x00, 0x44, 0x0e, 32}, 8},
        {{0x44, 0x0c, SP, 32}, 4},   {{0x44, 0x13, 0x7c}, 3}, /* -4 * -8 */
        {{0x44, 0x12, SP, 0x7c}, 4},                          /* likewise */
    };
    for (size_t i = 0; i < COUNT_OF(programs); i++) {
        CHECK_ADDRESS(rule_of(3, programs[i].bytes, programs[i].count), FRAME_FROM_SP, 8);
        CHECK_ADDRESS(rule_of(4, programs[i].bytes, programs[i].count), FRAME_FROM_SP, 32);
    }
}

TEST(the_location_may_be_set)
{
    unsigned char program[] = {0x01, 0, 0, 0, 0, 0x0e, 32};
    rule_of(0, program, sizeof(program));
    size_t at = size - sizeof(program) + 1;
    set_at(at, code() + 4 - (uintptr_t)(tables + at));
    CHECK_ADDRESS(rule_at(3), FRAME_FROM_SP, 8);
    CHECK_ADDRESS(rule_at(4), FRAME_FROM_SP, 32);
}

TEST(the_address_may_be_counted_from_the_frame_pointer)
{
    CHECK_ADDRESS(rule_of(0, BYTES(0x0e, 16, 0x0d, FP)), FRAME_FROM_FP, 16);
    CHECK_ADDRESS(rule_of(0, BYTES(0x0c, FP, 0x90, 0x01)), FRAME_FROM_FP, 144);
    ck_assert_uint_eq(rule_of(0, BYTES(0x0d, OTHER)).address, FRAME_UNKNOWN);
    CHECK_ADDRESS(rule_of(0, BYTES(0x0d, OTHER, 0x0e, 64, 0x0d, FP)), FRAME_FROM_FP, 64);
    /* more than there is room for */
    ck_assert_uint_eq(rule_of(0, BYTES(0x0e, 0xff, 0xff, 0xff, 0x7f)).address, FRAME_UNKNOWN);
}

TEST(expressions_of_functions_that_align_their_stack)
{
    CHECK_ADDRESS(rule_of(0, BYTES(0x0f, 3, 0x70 + FP, 0x78, 0x06)), FRAME_AT_FP, -8);
    CHECK_FP(rule_of(0, BYTES(0x10, FP, 2, 0x70 + FP, 0x70)), SAVED_AT_FP, -2);
    static const unsigned char others[][4] = {
        {0x70 + SP, 0x78, 0x06}, {0x70 + FP, 0x78, 0x12}, {0x70 + FP, 0xf8, 0x06}};
    for (size_t i = 0; i < COUNT_OF(others); i++) {
        unsigned char program[] = {0x0f, 3, others[i][0], others[i][1], others[i][2]};
        ck_assert_uint_eq(rule_of(0, program, sizeof(program)).address, FRAME_UNKNOWN);
    }
    ck_assert_uint_eq(rule_of(0, BYTES(0x10, FP, 3, 0x70 + FP, 0x70, 0x06)).fp, SAVED_LOST);
}

TEST(registers_are_saved_kept_lost)
{
    CHECK_FP(rule_of(0, BYTES(0x80 | FP, 2)), SAVED_IN_FRAME, -2);
    CHECK_FP(rule_of(0, BYTES(0x05, FP, 3)), SAVED_IN_FRAME, -3);
    CHECK_FP(rule_of(0, BYTES(0x11, FP, 0x7d)), SAVED_IN_FRAME, 3);
    CHECK_FP(rule_of(0, BYTES(0x80 | OTHER, 2)), SAVED_NOWHERE, 0);
    CHECK_FP(rule_of(0, BYTES(0x80 | FP, 2, 0x08, FP)), SAVED_NOWHERE, 0);
    CHECK_FP(rule_of(0, BYTES(0x80 | FP, 2, 0xc0 | FP)), SAVED_NOWHERE, 0);
    CHECK_FP(rule_of(0, BYTES(0x80 | FP, 2, 0x06, FP)), SAVED_NOWHERE, 0);
    CHECK_FP(rule_of(0, BYTES(0x07, FP)), SAVED_LOST, 0);
    CHECK_FP(rule_of(0, BYTES(0x09, FP, OTHER)), SAVED_LOST, 0);
    CHECK_FP(rule_of(0, BYTES(0x14, FP, 2)), SAVED_LOST, 0);
    CHECK_FP(rule_of(0, BYTES(0x15, FP, 2)), SAVED_LOST, 0);
    CHECK_FP(rule_of(0, BYTES(0x16, FP, 1, 0x30)), SAVED_LOST, 0);
    CHECK_FP(rule_of(0, BYTES(0x80 | FP, 0x80, 0x80, 0x04)), SAVED_LOST, 0); /* too far away */
    union frame_rule rule = rule_of(0, BYTES(0x80 | LINK % 64, 4, 0x06, LINK));
    ck_assert_int_eq(rule.link_offset, -1);
}

TEST(without_a_return_address_there_is_no_caller)
{
    ck_assert_uint_eq(rule_of(0, BYTES(0x07, LINK)).address, FRAME_OUTERMOST);
    ck_assert_uint_eq(rule_of(0, BYTES(0x07, LINK, 0x0e, 16)).address, FRAME_OUTERMOST);
}

TEST(rows_are_remembered)
{
    static const unsigned char program[] = {0x0e, 16, 0x80 | FP, 2,    0x0a, 0x0a, 0x41, 0x0e, 24,
                                            0x07, FP, 0x41,      0x0b, 0x41, 0x0e, 40,   0x0b};
    CHECK_ADDRESS(rule_of(1, program, sizeof(program)), FRAME_FROM_SP, 24);
    CHECK_FP(rule_at(1), SAVED_LOST, 0);
    CHECK_ADDRESS(rule_at(2), FRAME_FROM_SP, 16);
    CHECK_FP(rule_at(2), SAVED_IN_FRAME, -2);
    CHECK_ADDRESS(rule_at(3), FRAME_FROM_SP, 16);
    ck_assert_uint_eq(rule_of(0, BYTES(0x0b)).address, FRAME_UNKNOWN); /* there was none */
    unsigned char many[100];
    memset(many, 0x0a, sizeof(many));
    ck_assert_uint_eq(rule_of(0, many, sizeof(many)).address, FRAME_UNKNOWN);
}

/* Programs that are not understood, or end too early. */
TEST(odd_instructions)
{
    static const unsigned char odd[][3] = {
        {0x17, 0, 0}, {0x2c, 0, 0}, {0x2f, 0, 0}, {0x3f, 0, 0},  {0, 0, 0x0e},
        {0, 0, 0x04}, {0, 0, 0x01}, {0x0f, 2, 0}, {0x10, FP, 7}, {0x0e, 0x80, 0x80}};
    for (size_t i = 0; i < COUNT_OF(odd); i++)
        ck_assert_uint_eq(rule_of(0, odd[i], sizeof(odd[i])).address, FRAME_UNKNOWN);
}

/* What entries share, as compilers and assemblers write it; and as nobody does. */
TEST(augmentations)
{
    const struct {
        struct sketch sketch;
        unsigned expected;
    } cases[] = {
        {{.augmentation = ""}, FRAME_FROM_SP},
        {{.augmentation = "", .version = 3}, FRAME_FROM_SP},
        {{.augmentation = "", .version = 4}, FRAME_UNKNOWN},
        {{.augmentation = "", .link = LINK + 1}, FRAME_UNKNOWN},
        {{.augmentation = "zR", BYTES(1, 0x00)}, FRAME_FROM_SP},
        {{.augmentation = "zR", BYTES(1, 0x04)}, FRAME_FROM_SP},
        {{.augmentation = "zR", BYTES(1, 0x0c)}, FRAME_FROM_SP},
        {{.augmentation = "zR", BYTES(1, 0x80)}, FRAME_UNKNOWN}, /* the place of the address */
        {{.augmentation = "zR", BYTES(1, 0x05)}, FRAME_UNKNOWN},
        {{.augmentation = "zPLR", BYTES(11, 0x00, 1, 2, 3, 4, 5, 6, 7, 8, 0x1b, 0x00)},
         FRAME_FROM_SP},
        {{.augmentation = "zPLR", BYTES(7, 0x9b, 1, 2, 3, 4, 0x1b, 0x00)}, FRAME_FROM_SP},
        {{.augmentation = "zRS", BYTES(1, 0x00)}, FRAME_UNKNOWN}, /* a signal's frame */
        {{.augmentation = "zRB", BYTES(1, 0x00)}, FRAME_FROM_SP},
        {{.augmentation = "zRG", BYTES(1, 0x00)}, FRAME_FROM_SP},
        {{.augmentation = "zRX", BYTES(1, 0x00)}, FRAME_UNKNOWN},
        {{.augmentation = "zR", BYTES(0)}, FRAME_UNKNOWN},
        {{.augmentation = "zR", BYTES(100, 0)}, FRAME_UNKNOWN},
        {{.augmentation = "eh"}, FRAME_UNKNOWN},
        {{.augmentation = "zRRRRRRR", BYTES(7, 0, 0, 0, 0, 0, 0, 0)}, FRAME_UNKNOWN}, /* too long */
        {{.augmentation = "zR", BYTES(1, 0x1b), .encoding = 0x1b, .start_only = true},
         FRAME_UNKNOWN},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        make(&cases[i].sketch);
        ck_assert_msg(rule_at(0).address == cases[i].expected, "case %zu", i);
    }
}

static void make_usual(void)
{
    rule_of(0, BYTES(0x44, 0x0e, 16, 0x80 | FP, 2, 0x0a, 0x02, 20, 0x0d, FP, 0x0b, 0x0f, 3,
                     0x70 + FP, 0x78, 0x06, 0x10, FP, 2, 0x70 + FP, 0, 0x03, 1, 0, 0x2e, 0));
}

TEST(odd_headers)
{
    make_usual();
    ck_assert_uint_eq(rule_at(0).address, FRAME_FROM_SP);
    static const struct {
        size_t at;
        unsigned char byte;
    } odd[] = {{0, 2},    {1, 0xff}, {1, 0x0f}, {2, 0xff},
               {2, 0x05}, {3, 0x0b}, {3, 0x1b}, {11, 0x7f}};
    for (size_t i = 0; i < COUNT_OF(odd); i++) {
        unsigned char before = tables[odd[i].at];
        tables[odd[i].at] = odd[i].byte;
        ck_assert_msg(rule_at(0).address == FRAME_UNKNOWN, "case %zu", i);
        tables[odd[i].at] = before;
    }
    set_at(8, 0); /* no rows */
    ck_assert_uint_eq(rule_at(0).address, FRAME_UNKNOWN);
}

/* Of many rows each is found. */
TEST(rows_are_searched)
{
    enum { ROWS = 37 };
    struct sketch s = usual;
    size = 0;
    put_bytes(BYTES(1, 0x1b, 0x03, 0x3b));
    put(0, 4);
    put(ROWS, 4);
    for (size_t i = 0; i < ROWS; i++) {
        put(code() + i * CODE - (uintptr_t)tables, 4);
        put(0, 4);
    }
    put_shared(&s);
    for (size_t i = 0; i < ROWS; i++) {
        set_at(16 + 8 * i, size);
        put(15, 4);
        put(size - shared_at, 4);
        put(code() + i * CODE - (uintptr_t)(tables + size), 4);
        put(CODE - 1, 4); /* a gap follows */
        put(0, 1);
        put_bytes(BYTES(0x0e, (unsigned char)(i + 1)));
    }
    for (size_t i = 0; i < ROWS; i++) {
        CHECK_ADDRESS(rule_at(i * CODE), FRAME_FROM_SP, (int)i + 1);
        CHECK_ADDRESS(rule_at(i * CODE + CODE - 2), FRAME_FROM_SP, (int)i + 1);
        ck_assert_uint_eq(rule_at(i * CODE + CODE - 1).address, FRAME_UNKNOWN);
    }
    ck_assert_uint_eq(rule_at(ROWS * CODE).address, FRAME_UNKNOWN);
}

/* ---- damage ---- */

/* Changes some bytes: to any value, to one of its neighbours', or to a length. */
static void damage(struct random *random)
{
    for (size_t n = 1 + random_below(random, 4); n != 0; n--) {
        unsigned char *byte = tables + random_below(random, size);
        switch (random_below(random, 4)) {
        case 0:
            *byte = (unsigned char)random_next(random);
            break;
        case 1:
            *byte = tables[random_below(random, size)];
            break;
        case 2:
            *byte ^= (unsigned char)(1u << random_below(random, 8));
            break;
        default:
            *byte = random_below(random, 2) != 0 ? 0xff : 0x80;
        }
    }
}

/* Damaged tables, whole or with their end cut off, at the end or the start of what can be read:
 * what is read outside faults. */
TEST_LOOP(damaged_tables_are_read_within_their_bounds, 0, 2)
{
    struct random random = {(uint64_t)_i + 1};
    unsigned char whole[ROOM];
    size_t rules = 0, page = os_page_size(), all;

    make_usual();
    memcpy(whole, tables, size);
    all = size;
    for (int i = 0; i < DAMAGES; i++) {
        size = random_below(&random, 8) != 0 ? all : 1 + random_below(&random, all);
        tables = _i == 0 ? pages + page - size : pages;
        memcpy(tables, whole, size);
        damage(&random);
        union frame_rule rule = rule_at(random_below(&random, CODE) + (uintptr_t)(tables - pages));
        ck_assert_uint_ne(rule.word, 0);
        rules += rule.address != FRAME_UNKNOWN;
    }
    ck_assert_uint_gt(rules, DAMAGES / 20); /* they are not all refused at once */
}
