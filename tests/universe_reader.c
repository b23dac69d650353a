/* Reads symbols.bin and directions.bin by the layout in generated/README.md, and prints them.
 *
 * It shares nothing with the package: what it prints alike was written as the page says. Usage:
 * universe_reader symbols.bin directions.bin. Exit status 0, or 1 for a file that is not as stated.
 */

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { NUM_SOURCES = 8 };

struct text {
    const char *bytes;
    uint64_t length;
};

static unsigned char data[1 << 22];
static size_t size, at;

static void refuse(const char *reason) {
    fprintf(stderr, "%s at byte %zu of %zu\n", reason, at, size);
    exit(1);
}

static void open_file(const char *path) {
    FILE *file = fopen(path, "rb");
    if (file == NULL) {
        perror(path);
        exit(1);
    }
    size = fread(data, 1, sizeof data, file);
    at = 0;
    if (!feof(file))
        refuse("file too large");
    fclose(file);
}

static const unsigned char *take(uint64_t length) {
    if (length > size - at)
        refuse("file ends early");
    at += length;
    return data + at - length;
}

/* Byte by byte, so that the machine's own order does not matter. */
static uint64_t number(int width) {
    const unsigned char *bytes = take(width);
    uint64_t value = 0;
    for (int i = 0; i < width; i++)
        value |= (uint64_t)bytes[i] << (8 * i);
    return value;
}

static double f64(void) {
    uint64_t bits = number(8);
    double value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static struct text string(void) {
    struct text text;
    text.length = number(8);
    text.bytes = (const char *)take(text.length);
    return text;
}

static int is_some(void) {
    uint64_t tag = number(1);
    if (tag > 1)
        refuse("option tag above 1");
    return (int)tag;
}

static void print_symbol(void) {
    struct text names[NUM_SOURCES] = {0};
    int is_named[NUM_SOURCES];
    uint64_t symbol_id = number(2);
    struct text name = string();
    printf("symbol %" PRIu64 " %.*s\n", symbol_id, (int)name.length, name.bytes);
    for (int source = 0; source < NUM_SOURCES; source++) {
        is_named[source] = is_some();
        if (is_named[source])
            names[source] = string();
    }
    for (int source = 0; source < NUM_SOURCES; source++) {
        if (is_some() != is_named[source])
            refuse("name without instrument, or the other way round");
        if (!is_named[source])
            continue;
        printf("  source %d %.*s", source, (int)names[source].length, names[source].bytes);
        for (int field = 0; field < 6; field++)
            printf(" %.17g", f64());
        printf(" %" PRIu64 "\n", number(1));
    }
}

static void print_direction(void) {
    uint64_t direction_id = number(1), spot_source = number(1), futures_source = number(1);
    uint64_t count = number(8);
    printf("direction %" PRIu64 " %" PRIu64 " %" PRIu64 ":", direction_id, spot_source,
           futures_source);
    while (count-- > 0)
        printf(" %" PRIu64, number(2));
    printf("\n");
}

static void print_file(const char *path, void (*print_record)(void)) {
    open_file(path);
    for (uint64_t count = number(8); count > 0; count--)
        print_record();
    if (at != size)
        refuse("bytes behind the last record");
}

int main(int argc, char **argv) {
    if (argc != 3)
        return 64;
    print_file(argv[1], print_symbol);
    print_file(argv[2], print_direction);
    return 0;
}
