/* The header of a WebSocket frame (RFC 6455, 5.2), as far as almost all frames need it. */
#ifndef SPREADSCAN_WS_FRAME_H
#define SPREADSCAN_WS_FRAME_H

#include <stddef.h>
#include <stdint.h>

/* A plain frame is a whole message of up to 65,535 bytes, unmasked and of no extension. */
enum { NOT_PLAIN = -1, HEADER_INCOMPLETE = 0, MAX_PLAIN_HEADER = 4, MAX_PLAIN_PAYLOAD = 65535 };

/* Bytes of the header at p, whose payload size is stored; or one of the above. */
static inline int plain_header(const char *p, const char *end, ptrdiff_t *payload_size) {
    const uint8_t *head = (const uint8_t *)p;
    if (end - p < 2) return HEADER_INCOMPLETE;
    if (head[0] != 0x81 && head[0] != 0x82) return NOT_PLAIN; /* FIN, text or binary */
    *payload_size = head[1];
    if (head[1] < 126) return 2;
    if (head[1] > 126) return NOT_PLAIN; /* masked, or longer */
    if (end - p < 4) return HEADER_INCOMPLETE;
    *payload_size = head[2] << 8 | head[3];
    return *payload_size < 126 ? NOT_PLAIN : 4; /* the shortest form is a must */
}

#endif
