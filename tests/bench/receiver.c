/* The feed's work in plain C, as a measure for the kernel: WebSocket frames from a blocking wire,
 * JSON values by a search for their keys, symbol by hash, price into the seqlocked store, bit into
 * the bitmap. No per-source counters, no health, no Python.
 *
 *     receiver PORT PATH SYMBOLS PRICES DIRTY [CA_FILE]
 *
 * SYMBOLS holds one name a line, the line number is the id. PRICES and DIRTY are mapped files. CA_FILE
 * is whose certificates are believed, in a build over TLS.
 * Prints "COUNT CPU_NS", and for a path with /paced/ the latency of each frame in ns, one a line.
 */
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "atomics.h"
#include "layout.h"
#include "wire.h"

#define TABLE_SIZE 4096
#define MAX_SAMPLES 1000000

typedef struct {
    char name[48];
    size_t length;
    int id;
} symbol_t;

static symbol_t table[TABLE_SIZE];
static prices_t *prices;
static dirty_t *dirty;
static price_data_t last[MAX_SYMBOLS];
static int64_t *samples;
static long sample_count;

static int64_t read_clock_ns(clockid_t clock) {
    struct timespec now;
    clock_gettime(clock, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static int64_t now_ns(void) {
    return read_clock_ns(CLOCK_MONOTONIC);
}

static int64_t cpu_ns(void) {
    return read_clock_ns(CLOCK_PROCESS_CPUTIME_ID);
}

static uint32_t hash_of(const char *name, size_t length) {
    uint32_t hash = 2166136261u; /* FNV-1a */
    for (size_t i = 0; i < length; i++) hash = (hash ^ (unsigned char)name[i]) * 16777619u;
    return hash;
}

static symbol_t *find(const char *name, size_t length) {
    uint32_t place = hash_of(name, length) % TABLE_SIZE;
    while (table[place].length) {
        if (table[place].length == length && memcmp(table[place].name, name, length) == 0)
            return &table[place];
        place = (place + 1) % TABLE_SIZE;
    }
    return &table[place];
}

static void load_symbols(const char *path) {
    FILE *file = fopen(path, "r");
    char line[64];
    if (!file) die(path);
    for (int id = 0; fgets(line, sizeof line, file); id++) {
        size_t length = strcspn(line, "\n");
        symbol_t *symbol = find(line, length);
        memcpy(symbol->name, line, length);
        symbol->length = length;
        symbol->id = id;
    }
    fclose(file);
}

static void *map_file(const char *path) {
    struct stat facts;
    int file = open(path, O_RDWR);
    if (file < 0 || fstat(file, &facts)) die(path);
    void *mapped = mmap(NULL, (size_t)facts.st_size, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    if (mapped == MAP_FAILED) die(path);
    close(file);
    return mapped;
}

/* The value behind "key": within one object, without its quotes; NULL when the key is not there. */
static const char *value_of(const char *p, const char *end, char key) {
    for (; end - p >= 5; p++) {
        if (p[0] == '"' && p[1] == key && p[2] == '"' && p[3] == ':') {
            p += 4;
            return *p == '"' ? p + 1 : p;
        }
    }
    return NULL;
}

static int read_number(const char *p, const char *end, double *value) {
    static const double powers[] = {1e0, 1e1, 1e2,  1e3,  1e4,  1e5,  1e6,  1e7, 1e8,
                                    1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16};
    int64_t mantissa = 0;
    int decimals = 0, digits = 0;
    for (; p < end && *p >= '0' && *p <= '9'; p++, digits++) mantissa = mantissa * 10 + (*p - '0');
    if (p < end && *p == '.')
        for (p++; p < end && *p >= '0' && *p <= '9'; p++, digits++, decimals++)
            mantissa = mantissa * 10 + (*p - '0');
    if (digits == 0 || digits > 16) return 0;
    *value = (double)mantissa / powers[decimals];
    return 1;
}

static void publish(int id, const price_data_t *value) {
    price_seq_t *seq = &prices->seqs[id];
    uint64_t writing = load_relaxed_u64(&seq->sequence) | 1;
    uint64_t *target = (uint64_t *)&prices->entries[id];
    const uint64_t *source = (const uint64_t *)value;
    store_relaxed_u64(&seq->sequence, writing);
    fence_release();
    for (int word = 0; word < 8; word++) store_relaxed_u64(target + word, source[word]);
    store_release_u64(&seq->sequence, writing + 1);
    fetch_or_seq_cst_u64(&dirty->words[0][id >> 6], UINT64_C(1) << (id & 63));
}

static int consume(const char *p, const char *end, int64_t received_ns) {
    const char *inner = memmem(p, (size_t)(end - p), "\"data\":", 7);
    if (inner) p = inner + 7;
    const char *name = value_of(p, end, 's'), *id_text = value_of(p, end, 'u');
    const char *texts[4] = {value_of(p, end, 'b'), value_of(p, end, 'a'), value_of(p, end, 'B'),
                            value_of(p, end, 'A')};
    double numbers[4];
    if (!name || !id_text) return 0;
    for (int i = 0; i < 4; i++)
        if (!texts[i] || !read_number(texts[i], end, &numbers[i]) || !(numbers[i] > 0) ||
            !isfinite(numbers[i]))
            return 0;
    const char *name_end = memchr(name, '"', (size_t)(end - name));
    if (!name_end || numbers[0] >= numbers[1]) return 0;
    symbol_t *symbol = find(name, (size_t)(name_end - name));
    if (!symbol->length) return 0;
    int64_t update_id = 0;
    for (; id_text < end && *id_text >= '0' && *id_text <= '9'; id_text++)
        update_id = update_id * 10 + (*id_text - '0');
    price_data_t *value = &last[symbol->id];
    if (update_id < value->update_id) return 0;
    int64_t published_ns = now_ns();
    value->bid = numbers[0];
    value->ask = numbers[1];
    value->bid_qty = numbers[2];
    value->ask_qty = numbers[3];
    value->exchange_ns = -1;
    value->received_ns = received_ns;
    value->update_id = update_id;
    value->publish_delay_ns = (uint32_t)(published_ns - received_ns);
    publish(symbol->id, value);
    if (samples && sample_count < MAX_SAMPLES) samples[sample_count++] = published_ns - update_id;
    return 1;
}

static wire_t connect_to(int port, const char *path, const char *ca_file) {
    char request[512];
    wire_t server = wire_open(port, ca_file);
    int length = snprintf(request, sizeof request,
                          "GET %s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nUpgrade: websocket\r\n"
                          "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
                          "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
                          path, port);
    wire_write(server, request, length);
    return server;
}

/* Consume whole frames from [p, end); return where an unfinished one begins, NULL after a close. */
static const char *consume_frames(const char *p, const char *end, long *count) {
    int64_t received_ns = now_ns();
    while (end - p >= 2) {
        const unsigned char *head = (const unsigned char *)p;
        size_t size = head[1] & 127, header = 2;
        if (size == 126) {
            if (end - p < 4) return p;
            size = (size_t)head[2] << 8 | head[3];
            header = 4;
        }
        if ((size_t)(end - p) < header + size) return p;
        if ((head[0] & 15) == 8) return NULL;
        *count += consume(p + header, p + header + size, received_ns);
        p += header + size;
    }
    return p;
}

int main(int argc, char **argv) {
    static char buffer[WIRE_BUFFER_BYTES];
    size_t held = 0;
    long count = 0;
    int64_t began_ns = 0;
    if (argc != 6 && argc != 7) return 64;
    load_symbols(argv[3]);
    prices = map_file(argv[4]);
    dirty = map_file(argv[5]);
    if (strstr(argv[2], "/paced/")) samples = calloc(MAX_SAMPLES, sizeof *samples);
    wire_t server = connect_to(atoi(argv[1]), argv[2], argc == 7 ? argv[6] : NULL);
    for (int upgraded = 0;;) {
        held += wire_read(server, buffer + held, sizeof buffer - held);
        const char *start = buffer;
        if (!upgraded) {
            char *body = memmem(buffer, held, "\r\n\r\n", 4);
            if (!body) continue;
            upgraded = 1;
            start = body + 4;
        }
        if (!began_ns) began_ns = cpu_ns();
        start = consume_frames(start, buffer + held, &count);
        if (!start) break;
        held -= (size_t)(start - buffer);
        memmove(buffer, start, held);
    }
    printf("%ld %lld\n", count, (long long)(cpu_ns() - began_ns));
    for (long i = 0; i < sample_count; i++) printf("%lld\n", (long long)samples[i]);
    return 0;
}
