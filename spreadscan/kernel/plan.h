/* A compiled plan and what one walk over a frame finds; shared by the walks and by extract.pyx.
 *
 * The paths of a plan are a tree: a node is an object, array or message that some path passes
 * through, an edge a key, index or field number that leads on or holds a field of the quote.
 */
#ifndef SPREADSCAN_PLAN_H
#define SPREADSCAN_PLAN_H

#include <stdint.h>
#include <string.h>

enum { MAX_NODES = 32, MAX_EDGES = 64, MAX_WHERE = 8, KEY_BYTES = 32, WHERE_BYTES = 64 };
enum { MAX_STEPS = 32, SHAPE_BYTES = 512 };

/* Fields of a quote, as bits in `seen` and `bad`; WHERE + n is the n-th condition. */
enum {
    FIELD_SYMBOL = 0,
    FIELD_BID = 1,
    FIELD_BID_QTY = 2,
    FIELD_ASK = 3,
    FIELD_ASK_QTY = 4,
    FIELD_EXCHANGE_MS = 5,
    FIELD_UPDATE_ID = 6,
    FIELD_WHERE = 8
};

enum { SIDES = 1 << FIELD_BID | 1 << FIELD_BID_QTY | 1 << FIELD_ASK | 1 << FIELD_ASK_QTY };

typedef struct {
    uint64_t word; /* key and its closing quote, when both fit eight bytes */
    uint64_t mask; /* which bytes of `word` count; 0 = compare with memcmp */
    char key[KEY_BYTES];
    int key_length;
    int number;   /* position in an array, field number in a message; else -1 */
    int expected; /* the edge that stood behind this one in the frame before */
    int field;    /* what the value is, or -1 */
    int node;     /* where the path goes on, or -1 */
} edge_t;

typedef struct {
    uint64_t key_bits; /* key_bit of every edge: most keys that nobody wants are seen by it */
    int first_edge;
    int expected; /* the edge that came first in the frame before */
    int edge_count;
    int last_number; /* behind it in an array nothing is wanted */
    int is_array;
    int holds_side; /* a price or a quantity stands somewhere below */
} node_t;

typedef struct {
    char value[WHERE_BYTES];
    int length;
    int is_prefix;
    int condition;
} where_t;

/* What stands at the end of a step: a field of a quote, or one of these, which nobody wants. Two
 * levels of an array end together as STEP_REST - 1, three as STEP_REST - 2, and so on. */
enum { STEP_VALUE = -1, STEP_REST = -2 };

/* Bytes of a frame that never change, copied to shape_t.text in whole words. */
typedef struct {
    int place;     /* the first word */
    int words;     /* how many, at least one */
    int length;    /* in bytes */
    uint64_t mask; /* which bytes of the last word belong to it */
} text_t;

typedef struct {
    text_t before;     /* what stands between the value before and this one */
    int what;          /* a field, or STEP_... */
    const char *start; /* of the value, in the frame that is walked */
    const char *stop;
} step_t;

/* The frame before: its values in order and the text between them; see json_shape.h. */
typedef struct {
    step_t steps[MAX_STEPS];
    int step_count;  /* of a walk; above MAX_STEPS: not to be remembered */
    int known_count; /* 0 = no shape is known */
    text_t tail;     /* what stands behind the last value */
    uint64_t text[SHAPE_BYTES / 8];
} shape_t;

typedef struct {
    node_t nodes[MAX_NODES];
    edge_t edges[MAX_EDGES];
    where_t wheres[MAX_WHERE];
    int where_count;
    int is_protobuf;
    uint32_t all_conditions;
    shape_t shape;
} plan_t;

typedef struct {
    const char *end;
    const char *limit; /* at or behind the end: how far memory may be read */
    uint32_t seen;
    uint32_t bad;
    uint32_t passed;
    int rejected;   /* a condition failed: not a quote */
    int empty_side; /* a side stands there, and nothing in it */
    int escaped_symbol;
    const char *symbol;
    int64_t symbol_length;
    double numbers[5];
    int64_t exchange_ms;
    int64_t update_id;
} frame_t;

static inline uint64_t load8(const char *p) {
    uint64_t word;
    memcpy(&word, p, 8);
    return word;
}

/* By first byte and length; no path declares an empty key. */
static inline uint64_t key_bit(const char *key, int64_t length) {
    return length ? UINT64_C(1) << (((unsigned char)key[0] + 7 * length) & 63) : 0;
}

/* The accepted value that the text from start to stop fulfils the condition with, or NULL. */
static inline const where_t *fulfilled(const plan_t *plan, int condition, const char *start,
                                       const char *stop) {
    for (int index = 0; index < plan->where_count; index++) {
        const where_t *where = &plan->wheres[index];
        if (where->condition == condition &&
            (where->is_prefix ? where->length <= stop - start : where->length == stop - start) &&
            memcmp(where->value, start, (size_t)where->length) == 0)
            return where;
    }
    return NULL;
}

#endif
