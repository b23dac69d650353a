/* Steps over JSON text that nobody wants. Every function takes the end of the frame and never reads
 * at or beyond it; each returns the position behind what it read, or NULL where the text is no JSON
 * or is cut off.
 */
#ifndef SPREADSCAN_JSON_WALK_H
#define SPREADSCAN_JSON_WALK_H

#include "number.h"

#include <stdint.h>
#include <string.h>
#ifdef __SSE2__
#include <emmintrin.h>
#endif

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
#ifdef __SSE2__
    while (end - p >= 16) {
        __m128i block = _mm_loadu_si128((const __m128i *)p);
        __m128i found = _mm_or_si128(_mm_cmpeq_epi8(block, _mm_set1_epi8('"')),
                                     _mm_cmpeq_epi8(block, _mm_set1_epi8('\\')));
        unsigned bits = (unsigned)_mm_movemask_epi8(found);
        if (bits) return p + __builtin_ctz(bits);
        p += 16;
    }
#endif
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
    if (p < end && is_digit(*p)) {
        p = skip_digits(p, end);
        if (p < end && (*p == ',' || *p == '}' || *p == ']')) return p;
    }
    if (end - p >= 4 && (memcmp(p, "true", 4) == 0 || memcmp(p, "null", 4) == 0)) return p + 4;
    if (end - p >= 5 && memcmp(p, "false", 5) == 0) return p + 5;
    const char *first = p;
    while (p < end && ((unsigned char)(*p - '0') < 10 || *p == '-' || *p == '+' || *p == '.' ||
                       *p == 'e' || *p == 'E'))
        p++;
    return p == first ? NULL : p;
}

/* One bit for every byte of a block that is a quote, a bracket or a backslash; a few other characters
 * are among them, for the caller to pass by. With the bits of 0x26 set, brackets are 0x7F, the quote
 * is 0x26 and the backslash 0x7E. */
#ifdef __SSE2__
enum { BLOCK_BYTES = 16, BITS_A_BYTE = 1 };

static inline uint64_t structure_bits(const char *p) {
    __m128i block = _mm_or_si128(_mm_loadu_si128((const __m128i *)p), _mm_set1_epi8(0x26));
    __m128i found = _mm_or_si128(_mm_cmpgt_epi8(block, _mm_set1_epi8(0x7D)),
                                 _mm_cmpeq_epi8(block, _mm_set1_epi8(0x26)));
    return (uint64_t)_mm_movemask_epi8(found);
}
#else
enum { BLOCK_BYTES = 8, BITS_A_BYTE = 8 };

/* Unlike bytes_equal_to right in every byte, not only up to the first that is equal. */
static inline uint64_t exactly_equal_to(uint64_t word, uint64_t pattern) {
    const uint64_t low = UINT64_C(0x7F7F7F7F7F7F7F7F);
    uint64_t difference = word ^ pattern;
    return ~(((difference & low) + low) | difference | low);
}

static inline uint64_t structure_bits(const char *p) {
    uint64_t word;
    memcpy(&word, p, 8);
    word |= UINT64_C(0x2626262626262626);
    return exactly_equal_to(word, UINT64_C(0x7F7F7F7F7F7F7F7F)) |
           exactly_equal_to(word, UINT64_C(0x7E7E7E7E7E7E7E7E)) |
           exactly_equal_to(word, UINT64_C(0x2626262626262626));
}
#endif

/* From inside an array or object to behind the bracket that closes it. */
static inline const char *skip_levels(const char *p, const char *end, int in_object) {
    uint64_t objects = (uint64_t)in_object; /* bit 0: is the innermost level an object? */
    int depth = 1;
    int in_string = 0;
    while (p < end) {
        const char *behind = p + 1; /* the bytes that *bits* is about */
        uint64_t bits = 1;
        if (end - p >= BLOCK_BYTES) {
            bits = structure_bits(p);
            behind = p + BLOCK_BYTES;
        }
        for (; bits; bits &= bits - 1) {
            const char *place = p + __builtin_ctzll(bits) / BITS_A_BYTE;
            char c = *place;
            int is_object = c > '_'; /* braces are, square brackets are not */
            if (in_string) {
                in_string = c != '"';
                if (c != '\\') continue;
                if (end - place < 2) return NULL;
                behind = place + 2;
                break;
            }
            if ((c | 0x20) == '{') {
                if (++depth > JSON_MAX_DEPTH) return NULL;
                objects = (objects << 1) | (uint64_t)is_object;
            } else if ((c | 0x20) == '}') {
                if ((int)(objects & 1) != is_object) return NULL;
                objects >>= 1;
                if (--depth == 0) return place + 1;
            } else {
                in_string = c == '"';
            }
        }
        p = behind;
    }
    return NULL;
}

/* A container whose opening bracket stands at p, however it is nested. */
static inline const char *skip_container(const char *p, const char *end) {
    return skip_levels(p + 1, end, *p == '{');
}

/* What is left of *depth* arrays behind a value of the innermost, to behind the last bracket. */
static inline const char *skip_rest(const char *p, const char *end, int depth) {
    for (; depth > 0; depth--) {
        p = skip_space(p, end);
        if (p < end && *p == ']') {
            p++;
            continue;
        }
        if (p == end || *p != ',' || (p = skip_levels(p + 1, end, 0)) == NULL) return NULL;
    }
    return p;
}

static inline const char *skip_value(const char *p, const char *end) {
    if (p >= end) return NULL;
    if (*p == '"') return skip_string(p + 1, end);
    if (*p == '{' || *p == '[') return skip_container(p, end);
    return skip_bare(p, end);
}

#endif
