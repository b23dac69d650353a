/* Steps over JSON text that nobody wants. Every function takes the end of the frame and never reads
 * at or beyond it; each returns the position behind what it read, or NULL where the text is no JSON
 * or is cut off.
 */
#ifndef SPREADSCAN_JSON_WALK_H
#define SPREADSCAN_JSON_WALK_H

#include <stdint.h>
#include <string.h>

/* Deeper nesting than any exchange sends is refused; one bit of a word a level. */
#define JSON_MAX_DEPTH 64

static inline const char *skip_space(const char *p, const char *end) {
    if (p < end && (unsigned char)*p > ' ') return p; /* exchanges send none */
    while (p < end && (*p == ' ' || *p == '\n' || *p == '\r' || *p == '\t')) p++;
    return p;
}

static inline uint64_t bytes_equal_to(uint64_t word, uint64_t pattern) {
    uint64_t difference = word ^ pattern;
    return (difference - UINT64_C(0x0101010101010101)) & ~difference & UINT64_C(0x8080808080808080);
}

/* From behind the opening quote to the closing quote or the first backslash. */
static inline const char *find_quote_or_escape(const char *p, const char *end) {
    while (end - p >= 8) {
        uint64_t word;
        memcpy(&word, p, 8);
        uint64_t found = bytes_equal_to(word, UINT64_C(0x2222222222222222)) |
                         bytes_equal_to(word, UINT64_C(0x5C5C5C5C5C5C5C5C));
        if (found) return p + (__builtin_ctzll(found) >> 3);
        p += 8;
    }
    while (p < end && *p != '"' && *p != '\\') p++;
    return p < end ? p : NULL;
}

/* From behind the opening quote to behind the closing one. */
static inline const char *skip_string(const char *p, const char *end) {
    while ((p = find_quote_or_escape(p, end)) != NULL) {
        if (*p == '"') return p + 1;
        if (end - p < 2) return NULL;
        p += 2;
    }
    return NULL;
}

/* true, false, null or a number; the words are checked, numbers by their characters only. */
static inline const char *skip_bare(const char *p, const char *end) {
    if (end - p >= 4 && (memcmp(p, "true", 4) == 0 || memcmp(p, "null", 4) == 0)) return p + 4;
    if (end - p >= 5 && memcmp(p, "false", 5) == 0) return p + 5;
    const char *first = p;
    while (p < end && ((unsigned char)(*p - '0') < 10 || *p == '-' || *p == '+' || *p == '.' ||
                       *p == 'e' || *p == 'E'))
        p++;
    return p == first ? NULL : p;
}

/* A container whose opening bracket stands at p, however it is nested. */
static inline const char *skip_container(const char *p, const char *end) {
    uint64_t objects = 0; /* bit 0: is the innermost level an object? */
    int depth = 0;
    while (p < end) {
        char c = *p;
        if (c == '"') {
            if ((p = skip_string(p + 1, end)) == NULL) return NULL;
            continue;
        }
        p++;
        if (c == '{' || c == '[') {
            if (++depth > JSON_MAX_DEPTH) return NULL;
            objects = (objects << 1) | (c == '{');
        } else if (c == '}' || c == ']') {
            if ((objects & 1) != (c == '}')) return NULL;
            objects >>= 1;
            if (--depth == 0) return p;
        }
    }
    return NULL;
}

static inline const char *skip_value(const char *p, const char *end) {
    if (p >= end) return NULL;
    if (*p == '"') return skip_string(p + 1, end);
    if (*p == '{' || *p == '[') return skip_container(p, end);
    return skip_bare(p, end);
}

#endif
