/* Decimal text to double and to int64, for numbers that stand in frames as `123.45` or `"123.45"`.
 *
 * Exact: up to 19 digits whose value fits 2^53 with up to 22 decimals need one correctly rounded
 * division (Clinger 1990); everything else goes to CPython's own parser, so that a price always
 * equals float() of its text.
 *
 * A number ends at `end` at the latest. `limit`, at or behind it, is the end of the frame: how far
 * memory may be read, so that short numbers can be fetched eight bytes at a time as well.
 */
#ifndef SPREADSCAN_NUMBER_H
#define SPREADSCAN_NUMBER_H

#include <Python.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

enum { NUMBER_OK = 0, NUMBER_SLOW = 1, NUMBER_BAD = 2 };

static const double POWERS_OF_TEN[23] = {
    1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,  1e8,  1e9,  1e10, 1e11,
    1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};

static const uint64_t INTEGER_POWERS_OF_TEN[9] = {1,      10,      100,      1000,     10000,
                                                  100000, 1000000, 10000000, 100000000};

static inline int is_digit(char c) { return (unsigned char)(c - '0') < 10; }

/* The last bytes of a frame, fewer than eight, in the low bytes of a word; the others are zero. */
static inline uint64_t load_tail(const char *p, size_t size) {
    if (size >= 4) {
        uint32_t first, last;
        memcpy(&first, p, 4);
        memcpy(&last, p + size - 4, 4);
        return first | (uint64_t)last << (8 * (size - 4));
    }
    if (size == 0) return 0;
    const unsigned char *byte = (const unsigned char *)p;
    return byte[0] | (uint64_t)byte[size / 2] << (8 * (size / 2)) |
           (uint64_t)byte[size - 1] << (8 * (size - 1));
}

/* The eight bytes at p with '0' taken off each; what lies beyond the end counts as no digit. */
static inline uint64_t load_digits(const char *p, const char *end, const char *limit) {
    uint64_t word;
    if (limit - p >= 8) {
        memcpy(&word, p, 8);
        if (end - p < 8) word |= ~UINT64_C(0) << (8 * (end - p));
    } else {
        word = load_tail(p, (size_t)(end - p));
    }
    return word ^ UINT64_C(0x3030303030303030);
}

/* How many of the lowest bytes are 0 to 9. A carry out of a byte only spoils those behind the first
 * that is none. */
static inline int count_digits(uint64_t digits) {
    uint64_t others =
        ((digits + UINT64_C(0x7676767676767676)) | digits) & UINT64_C(0x8080808080808080);
    return others ? __builtin_ctzll(others) >> 3 : 8;
}

/* The value of the lowest *count* bytes, one to eight, each 0 to 9. */
static inline uint64_t digits_value(uint64_t digits, int count) {
    digits <<= 64 - 8 * count;
    digits = digits * 10 + (digits >> 8);
    return ((digits & UINT64_C(0x000000FF000000FF)) * UINT64_C(0x000F424000000064) +
            ((digits >> 16) & UINT64_C(0x000000FF000000FF)) * UINT64_C(0x0000271000000001)) >>
           32;
}

/* Behind the digits at p. */
static inline const char *skip_digits(const char *p, const char *end) {
    for (;;) {
        int count = count_digits(load_digits(p, end, end));
        p += count;
        if (count < 8 || p == end || !is_digit(*p)) return p;
    }
}

/* Behind the digits at p, which are appended to *value; eight at a time, so that the length of a
 * number, which differs from frame to frame, is no loop the processor mispredicts. */
static inline const char *read_digits(const char *p, const char *end, const char *limit,
                                      uint64_t *value) {
    for (;;) {
        uint64_t digits = load_digits(p, end, limit);
        int count = count_digits(digits);
        if (count == 0) return p;
        *value = *value * INTEGER_POWERS_OF_TEN[count] + digits_value(digits, count);
        p += count;
        if (count < 8 || p == end || !is_digit(*p)) return p;
    }
}

/* Most numbers: one to seven digits, perhaps a point and one to eight more, and not at the end of
 * the frame. Fifteen digits are below 2^53. Returns the position behind, NULL for all others. */
static inline const char *read_common(const char *p, const char *end, const char *limit,
                                      double *value) {
    if (limit - p < 17) return NULL;
    uint64_t digits = load_digits(p, limit, limit);
    int count = count_digits(digits);
    if (count == 0 || count == 8) return NULL;
    uint64_t mantissa = digits_value(digits, count);
    const char *stop = p + count;
    count = 0;
    if (*stop == '.') {
        digits = load_digits(++stop, limit, limit);
        count = count_digits(digits);
        stop += count;
        if (count == 0 || is_digit(*stop)) return NULL;
        mantissa = mantissa * INTEGER_POWERS_OF_TEN[count] + digits_value(digits, count);
    }
    if (stop > end || (*stop | 0x20) == 'e') return NULL;
    *value = (double)(int64_t)mantissa / POWERS_OF_TEN[count];
    return stop;
}

/* The others. Kept apart so that the common ones need not save its registers. */
__attribute__((noinline)) static int read_uncommon(const char **cursor, const char *end,
                                                   const char *limit, double *value) {
    const char *p = *cursor;
    uint64_t mantissa = 0;
    int negative = p < end && *p == '-';
    p += negative;
    const char *first = p;
    p = read_digits(p, end, limit, &mantissa);
    long digits = p - first;
    long decimals = 0;
    if (digits == 0) return NUMBER_BAD;
    if (p < end && *p == '.') {
        const char *point = ++p;
        p = read_digits(p, end, limit, &mantissa);
        decimals = p - point;
        if (decimals == 0) return NUMBER_BAD;
        digits += decimals;
    }
    if (p < end && (*p | 0x20) == 'e') return NUMBER_SLOW;
    if (digits > 19 || decimals > 22 || mantissa > (UINT64_C(1) << 53)) return NUMBER_SLOW;
    double result = (double)(int64_t)mantissa / POWERS_OF_TEN[decimals];
    *value = negative ? -result : result;
    *cursor = p;
    return NUMBER_OK;
}

/* Read -?digits(.digits)? from *cursor; an exponent or too many digits say NUMBER_SLOW.
 * On NUMBER_OK the cursor stands behind the number; otherwise it does not move. */
static inline int read_decimal_within(const char **cursor, const char *end, const char *limit,
                                      double *value) {
    const char *stop = read_common(*cursor, end, limit, value);
    if (stop == NULL) return read_uncommon(cursor, end, limit, value);
    *cursor = stop;
    return NUMBER_OK;
}

/* Read up to 18 digits, no sign: update ids and milliseconds. */
static inline int read_integer_within(const char **cursor, const char *end, const char *limit,
                                      int64_t *value) {
    const char *first = *cursor;
    uint64_t result = 0;
    const char *p = read_digits(first, end, limit, &result);
    if (p == first || p - first > 18) return NUMBER_BAD;
    *value = (int64_t)result;
    *cursor = p;
    return NUMBER_OK;
}

static inline int read_integer(const char **cursor, const char *end, int64_t *value) {
    return read_integer_within(cursor, end, end, value);
}

/* Behind the characters a number may consist of, from p. */
static inline const char *number_end(const char *p, const char *end) {
    while (p < end && (is_digit(*p) || *p == '.' || *p == '-' || *p == '+' || (*p | 0x20) == 'e'))
        p++;
    return p;
}

/* What was called slow: an exponent, or more digits than are exact. Takes the GIL for
 * granted. */
static int slow_decimal(const char **cursor, const char *end, double *value) {
    char text[64];
    const char *stop = number_end(*cursor, end);
    size_t length = (size_t)(stop - *cursor);
    if (length >= sizeof(text)) return NUMBER_BAD;
    memcpy(text, *cursor, length);
    text[length] = 0;
    double result = PyOS_string_to_double(text, NULL, PyExc_OverflowError);
    if (result == -1.0 && PyErr_Occurred()) {
        PyErr_Clear();
        return NUMBER_BAD;
    }
    *value = result;
    *cursor = stop;
    return NUMBER_OK;
}

#endif
