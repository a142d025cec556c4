/* Reading .eh_frame: see eh_frame.h. */
#include "modes/eh_frame.h"

#include "modes/abi.h"

#include <string.h>

enum {
    ENTRY_LEAST = 8,       /* bytes */
    ENTRY_MOST = 64 << 10, /* bytes of an entry: bounds the time that odd tables take */
    REMEMBERED = 8,        /* rows: compilers make one at a time */
    LETTERS = 8,           /* of an augmentation, with its end */
    SUM_BYTES = 96,        /* of an entry: most are shorter */
    HEADER_LEAST = 20,     /* bytes: four encodings, start, count, one row */
    WORD = sizeof(uintptr_t),
};

/* Encodings of pointers: how they are held, and what is added. */
enum {
    HELD_AS = 0x0f,
    HELD_AS_ULEB = 0x01,
    HELD_SIGNED = 0x08,
    ADDED = 0x70,
    ADD_PLACE = 0x10,
    ADD_HEADER = 0x30,
    SEARCH_TABLE = 0x3b, /* of 4 bytes, signed, from the header: what every linker makes */
    OMITTED = 0xff,
};

/* Bytes that can be read; `bad` once more was taken than there is. */
struct cursor {
    uintptr_t at, end;
    bool bad;
};

static uint64_t take(struct cursor *from, size_t size)
{
    uint64_t value = 0;
    if (from->end - from->at < size) {
        from->bad = true;
        from->at = from->end;
        return 0;
    }
    memcpy(&value, (const void *)from->at, size); /* NOLINT(*-core.NonNullParamChecker) */
    from->at += size;
    return value;
}

/* The next `size` bytes, on their own. */
static struct cursor take_block(struct cursor *from, uint64_t size)
{
    from->bad |= size > from->end - from->at;
    struct cursor block = {from->at, from->at + (from->bad ? 0 : size), from->bad};
    from->at = block.end;
    return block;
}

/* A number in LEB128; the sign is that of its last bit, if it has one. */
static uint64_t take_leb(struct cursor *from, bool is_signed)
{
    uint64_t value = 0, byte;
    unsigned shift = 0;
    do {
        byte = take(from, 1);
        if (shift < 64)
            value |= (byte & 0x7f) << shift;
        shift += 7;
    } while ((byte & 0x80) != 0);
    if (is_signed && (byte & 0x40) != 0 && shift < 64)
        value |= ~UINT64_C(0) << shift;
    return value;
}

/* The number that a pointer is encoded as. */
static uint64_t take_held(struct cursor *from, unsigned encoding)
{
    static const unsigned char sizes[] = {
        [0] = 8, [2] = 2, [3] = 4, [4] = 8, [0xa] = 2, [0xb] = 4, [0xc] = 8};
    unsigned held = encoding & HELD_AS;
    if (held == HELD_AS_ULEB)
        return take_leb(from, false);
    if (held >= sizeof sizes || sizes[held] == 0) {
        from->bad = true;
        return 0;
    }
    uint64_t value = take(from, sizes[held]);
    unsigned unused = 64 - 8 * sizes[held];
    if ((held & HELD_SIGNED) != 0)
        value = (uint64_t)((int64_t)(value << unused) >> unused);
    return value;
}

static uintptr_t take_pointer(struct cursor *from, unsigned encoding, uintptr_t header)
{
    uintptr_t place = from->at, value = take_held(from, encoding);
    switch (encoding & ~(unsigned)HELD_AS) {
    case 0:
        return value;
    case ADD_PLACE:
        return place + value;
    case ADD_HEADER:
        return header + value;
    default:
        from->bad = true;
        return 0;
    }
}

/* The bytes of the entry at `address`, after its length. */
static struct cursor open_entry(struct readable *memory, uintptr_t address)
{
    struct cursor entry = {address, address + 4, !readable_has(memory, address, 4)};
    uint64_t length = entry.bad ? 0 : take(&entry, 4);
    entry.bad =
        length < ENTRY_LEAST || length > ENTRY_MOST || !readable_has(memory, entry.at, length);
    entry.end = entry.at + (entry.bad ? 0 : length);
    return entry;
}

/* What entries share (CIE). */
struct shared {
    uint64_t code_grain;   /* code alignment factor: bytes for each step of the location */
    int64_t data_grain;    /* data alignment factor: bytes for each unit of an offset */
    unsigned encoding;     /* of addresses */
    bool is_signal;        /* a frame that a signal has made */
    bool sized;            /* each entry has augmentation data, which begin with their length */
    struct cursor program; /* the instructions at the start of each function */
};

/* Reads what the letters of the augmentation announce. */
static void read_augmentation(struct cursor *entry, const char *letters, struct shared *shared)
{
    shared->sized = letters[0] == 'z';
    if (!shared->sized) {
        entry->bad |= letters[0] != '\0';
        return;
    }
    uint64_t size = take_leb(entry, false);
    struct cursor added = take_block(entry, size);
    for (const char *letter = letters + 1; *letter != '\0'; letter++) {
        if (*letter == 'R')
            shared->encoding = (unsigned)take(&added, 1);
        else if (*letter == 'P')
            take_held(&added, (unsigned)take(&added, 1));
        else if (*letter == 'L')
            take(&added, 1);
        else if (*letter == 'S')
            shared->is_signal = true;
        else
            added.bad |= *letter != 'B' && *letter != 'G'; /* of arm64: keys and tags of pointers */
    }
    entry->bad |= added.bad;
}

/* False if it is not understood. */
static bool read_shared(struct readable *memory, uintptr_t address, struct shared *shared)
{
    struct cursor entry = open_entry(memory, address);
    char letters[LETTERS] = "";
    *shared = (struct shared){0};
    if (take(&entry, 4) != 0)
        return false;
    uint64_t version = take(&entry, 1);
    size_t i = 0;
    while ((letters[i] = (char)take(&entry, 1)) != '\0')
        if (++i == LETTERS)
            return false;
    shared->code_grain = take_leb(&entry, false);
    shared->data_grain = (int64_t)take_leb(&entry, true);
    uint64_t link = version == 1 ? take(&entry, 1) : take_leb(&entry, false);
    read_augmentation(&entry, letters, shared);
    shared->program = entry;
    return !entry.bad && (version == 1 || version == 3) && link == ABI_LINK;
}

/* ---- instructions ---- */

struct saved {
    enum frame_saved where;
    int64_t offset; /* bytes */
};

struct row {
    enum frame_address address;
    int64_t offset; /* of the address, bytes */
    struct saved fp, link;
};

struct machine {
    struct row now;                    /* at `location` */
    struct row first;                  /* at the start of each function, for RESTORE */
    struct row remembered[REMEMBERED]; /* a stack of `depth` rows */
    size_t depth;
    const struct shared *shared;
    uintptr_t location, pc; /* the row at pc is wanted */
    uintptr_t header;       /* of the search table */
};

/* What an instruction does. */
enum effect {
    UNKNOWN_INSTRUCTION,
    DO_NOTHING,
    SET_LOCATION,
    ADVANCE,
    SET_ADDRESS, /* register and offset of the frame's address */
    SET_ADDRESS_REGISTER,
    SET_ADDRESS_OFFSET,
    SET_ADDRESS_EXPRESSION,
    SAVE, /* a register in the frame */
    SAVE_BY_EXPRESSION,
    KEEP,
    LOSE,
    RESTORE, /* as it was at the start of the function */
    REMEMBER,
    RECALL,
};

enum {
    WITH_OPERAND = 0xc0,    /* bits of the opcode; one operand in the others */
    EXPRESSION_BASE = 0x70, /* of an expression: a register + a number */
    EXPRESSION_LOAD = 0x06,
};

/* By opcode. Operands: u: LEB128; d, D: LEB128 without and with a sign, in units of data; a digit:
 * bytes; p: a pointer; b: a block that follows its size. */
static const struct {
    char operands[3];
    unsigned char effect;
} instructions[] = {
    [0x00] = {"", DO_NOTHING},
    [0x01] = {"p", SET_LOCATION},
    [0x02] = {"1", ADVANCE},
    [0x03] = {"2", ADVANCE},
    [0x04] = {"4", ADVANCE},
    [0x05] = {"ud", SAVE},
    [0x06] = {"u", RESTORE},
    [0x07] = {"u", LOSE}, /* undefined: the frame has no caller */
    [0x08] = {"u", KEEP},
    [0x09] = {"uu", LOSE}, /* in another register */
    [0x0a] = {"", REMEMBER},
    [0x0b] = {"", RECALL},
    [0x0c] = {"uu", SET_ADDRESS},
    [0x0d] = {"u", SET_ADDRESS_REGISTER},
    [0x0e] = {"u", SET_ADDRESS_OFFSET},
    [0x0f] = {"b", SET_ADDRESS_EXPRESSION},
    [0x10] = {"ub", SAVE_BY_EXPRESSION},
    [0x11] = {"uD", SAVE},
    [0x12] = {"uD", SET_ADDRESS},
    [0x13] = {"D", SET_ADDRESS_OFFSET},
    [0x14] = {"ud", LOSE}, /* a number, not a place: so are the next two */
    [0x15] = {"uD", LOSE},
    [0x16] = {"ub", LOSE},
    [0x2d] = {"", DO_NOTHING},  /* arm64: return addresses are signed from here on, or no more */
    [0x2e] = {"u", DO_NOTHING}, /* size of arguments */
};

/* One operand; a block goes into *block. */
static uint64_t take_operand(const struct machine *m, struct cursor *from, char kind,
                             struct cursor *block)
{
    uint64_t size;
    switch (kind) {
    case '1':
    case '2':
    case '4':
        return take(from, (size_t)(kind - '0'));
    case 'u':
        return take_leb(from, false);
    case 'd':
    case 'D':
        return take_leb(from, kind == 'D') * (uint64_t)m->shared->data_grain;
    case 'p':
        return take_pointer(from, m->shared->encoding, m->header);
    case 'b':
        size = take_leb(from, false);
        *block = take_block(from, size);
        return 0;
    default:
        return 0;
    }
}

/* True if the expression is `frame pointer + offset`, with or without a load that follows. */
static bool read_expression(struct cursor block, bool loads, int64_t *offset)
{
    bool fits = take(&block, 1) == EXPRESSION_BASE + ABI_FP;
    *offset = (int64_t)take_leb(&block, true);
    if (loads)
        fits &= take(&block, 1) == EXPRESSION_LOAD;
    return fits && !block.bad && block.at == block.end;
}

static enum frame_address address_by(uint64_t number)
{
    return number == ABI_SP ? FRAME_FROM_SP : number == ABI_FP ? FRAME_FROM_FP : FRAME_UNKNOWN;
}

/* Where `number`, a register, is from here on. */
static void save(struct machine *m, enum effect effect, uint64_t number, int64_t offset,
                 struct cursor block)
{
    struct saved saved = {SAVED_LOST, 0};
    if (effect == SAVE)
        saved = (struct saved){SAVED_IN_FRAME, offset};
    else if (effect == KEEP)
        saved.where = SAVED_NOWHERE;
    else if (effect == RESTORE)
        saved = number == ABI_FP ? m->first.fp : m->first.link;
    else if (effect == SAVE_BY_EXPRESSION && read_expression(block, false, &saved.offset))
        saved.where = SAVED_AT_FP;
    if (number == ABI_FP)
        m->now.fp = saved;
    else if (number == ABI_LINK)
        m->now.link = saved;
}

/* Does what an instruction with operands a, b and block says; false if it cannot be done. */
static bool apply(struct machine *m, enum effect effect, uint64_t a, uint64_t b,
                  struct cursor block)
{
    struct row *now = &m->now;
    switch (effect) {
    case UNKNOWN_INSTRUCTION:
        return false;
    case DO_NOTHING:
        break;
    case SET_LOCATION:
        m->location = a;
        break;
    case ADVANCE:
        m->location += a * m->shared->code_grain;
        break;
    case SET_ADDRESS:
        now->offset = (int64_t)b;
        now->address = address_by(a);
        break;
    case SET_ADDRESS_REGISTER:
        now->address = address_by(a);
        break;
    case SET_ADDRESS_OFFSET:
        now->offset = (int64_t)a;
        break;
    case SET_ADDRESS_EXPRESSION:
        now->address = read_expression(block, true, &now->offset) ? FRAME_AT_FP : FRAME_UNKNOWN;
        break;
    case REMEMBER:
        if (m->depth == REMEMBERED)
            return false;
        m->remembered[m->depth++] = *now;
        break;
    case RECALL:
        if (m->depth == 0)
            return false;
        *now = m->remembered[--m->depth];
        break;
    default:
        save(m, effect, a, (int64_t)b, block);
    }
    return true;
}

/* Runs the instructions for code up to `pc`; false if one is not understood. */
static bool run(struct machine *m, struct cursor program)
{
    while (program.at < program.end && m->location <= m->pc) {
        unsigned op = (unsigned)take(&program, 1);
        uint64_t a = op & ~WITH_OPERAND, b = 0;
        struct cursor block = {0, 0, true};
        enum effect effect = UNKNOWN_INSTRUCTION;
        if ((op & WITH_OPERAND) == 0x40) {
            effect = ADVANCE;
        } else if ((op & WITH_OPERAND) == 0x80) {
            effect = SAVE;
            b = take_operand(m, &program, 'd', &block);
        } else if ((op & WITH_OPERAND) == 0xc0) {
            effect = RESTORE;
        } else if (op < sizeof instructions / sizeof instructions[0]) {
            effect = instructions[op].effect;
            a = take_operand(m, &program, instructions[op].operands[0], &block);
            b = take_operand(m, &program, instructions[op].operands[1], &block);
        }
        if (program.bad || !apply(m, effect, a, b, block))
            return false;
    }
    return !program.bad;
}

/* Offset in words, if it is one of whole words that has room; else the register counts as lost. */
static int64_t words_of(struct saved *saved)
{
    if (saved->offset % WORD != 0 || saved->offset / WORD != (int16_t)(saved->offset / WORD))
        saved->where = SAVED_LOST;
    return saved->where == SAVED_LOST ? 0 : saved->offset / WORD;
}

static union frame_rule pack(struct row row)
{
    union frame_rule rule = {.word = 0};
    rule.fp_offset = words_of(&row.fp);
    rule.link_offset = words_of(&row.link);
    rule.fp = row.fp.where;
    rule.link = row.link.where;
    rule.offset = row.offset;
    bool fits = rule.offset == row.offset;
    rule.address = fits ? row.address : FRAME_UNKNOWN;
    if (row.link.where == SAVED_LOST)
        rule.address = FRAME_OUTERMOST;
    return rule;
}

/* ---- finding the entry ---- */

/* The address of the entry of the last function that starts at or below pc; 0 if there is none. */
static uintptr_t find_entry(struct readable *memory, uintptr_t header, uintptr_t pc)
{
    struct {
        int32_t start, entry;
    } row;
    if (!readable_has(memory, header, HEADER_LEAST))
        return 0;
    struct cursor from = {header, header + HEADER_LEAST, false};
    unsigned version = (unsigned)take(&from, 1), start_held = (unsigned)take(&from, 1);
    unsigned count_held = (unsigned)take(&from, 1), table = (unsigned)take(&from, 1);
    if (version != 1 || table != SEARCH_TABLE)
        return 0;
    take_held(&from, start_held); /* where .eh_frame starts */
    uint64_t count = take_held(&from, count_held);
    if (from.bad || count > (memory->to - from.at) / sizeof row)
        return 0;
    size_t low = 0, high = count; /* the entry sought is below `high` */
    uintptr_t found = 0;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        uintptr_t at = from.at + middle * sizeof row;
        if (!readable_has(memory, at, sizeof row))
            return 0;
        memcpy(&row, (const void *)at, sizeof row);
        if (header + (uintptr_t)(intptr_t)row.start <= pc) {
            found = header + (uintptr_t)(intptr_t)row.entry;
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return found;
}

uint64_t eh_frame_sum(uintptr_t source)
{
    uint64_t word, sum = 0;
    uint32_t length;
    memcpy(&length, (const void *)source, sizeof length);
    size_t size = min_size(length, SUM_BYTES);
    for (size_t at = 0; at + sizeof word <= size; at += sizeof word) {
        memcpy(&word, (const void *)(source + sizeof length + at), sizeof word);
        sum += word * (0x9e3779b97f4a7c15 + 2 * at); /* 2^64 / golden ratio; odd */
    }
    memcpy(&word, (const void *)(source + size + sizeof length - sizeof word), sizeof word);
    return sum ^ word ^ (uint64_t)length << 32;
}

union frame_rule eh_frame_rule(struct readable *memory, uintptr_t header, uintptr_t pc,
                               uintptr_t *source)
{
    union frame_rule unknown = {.word = FRAME_UNKNOWN};
    uintptr_t address = find_entry(memory, header, pc);
    struct cursor entry = open_entry(memory, address);
    *source = entry.bad ? 0 : address;
    struct shared shared;
    uintptr_t place = entry.at;
    uintptr_t distance = take(&entry, 4); /* of what is shared, at lower addresses */
    if (address == 0 || entry.bad || distance == 0 ||
        !read_shared(memory, place - distance, &shared) || shared.is_signal)
        return unknown;
    struct machine m = {.shared = &shared, .header = header, .pc = pc};
    m.location = take_pointer(&entry, shared.encoding, header);
    uintptr_t size = take_held(&entry, shared.encoding & HELD_AS);
    if (shared.sized)
        take_block(&entry, take_leb(&entry, false));
    if (entry.bad || pc - m.location >= size)
        return unknown;
    m.now.address = FRAME_UNKNOWN;
    if (!run(&m, shared.program))
        return unknown;
    m.first = m.now;
    return run(&m, entry) ? pack(m.now) : unknown;
}
