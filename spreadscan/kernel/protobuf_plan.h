/* A protobuf frame by its plan: walked once, in the order in which it was sent.
 *
 * Wire format: protobuf.dev/programming-guides/encoding. Of a field that comes twice the last
 * counts, and a message that comes in pieces is the sum of them, as there. Groups (wire types 3 and
 * 4) belong to proto2 and are refused. As in JSON, the edge that followed in the frame before is
 * tried first.
 *
 * Every function takes the end of what it may read and returns the position behind what it read,
 * or NULL where the bytes are no protobuf, are cut off, or hold a wanted field in another wire type
 * than the plan's. Recursion goes no deeper than the plan's own paths.
 */
#ifndef SPREADSCAN_PROTOBUF_PLAN_H
#define SPREADSCAN_PROTOBUF_PLAN_H

#include "number.h"
#include "plan.h"

enum { WIRE_VARINT = 0, WIRE_64 = 1, WIRE_BYTES = 2, WIRE_32 = 5 };

/* At most ten bytes, of which the last holds one bit. */
static const char *read_long_varint(const char *p, const char *end, uint64_t *value) {
    uint64_t result = 0;
    for (int shift = 0; p < end && shift < 64; shift += 7) {
        uint64_t byte = (unsigned char)*p++;
        result |= (byte & 0x7F) << shift;
        if (byte < 0x80) {
            if (shift == 63 && byte > 1) return NULL;
            *value = result;
            return p;
        }
    }
    return NULL;
}

/* Nearly all lengths, and the numbers of the first fifteen fields, are of one byte. */
static inline const char *read_varint(const char *p, const char *end, uint64_t *value) {
    if (p < end && (unsigned char)*p < 0x80) {
        *value = (unsigned char)*p;
        return p + 1;
    }
    return read_long_varint(p, end, value);
}

/* Behind the length at p, which is checked against the end. */
static inline const char *read_length(const char *p, const char *end, uint64_t *length) {
    p = read_varint(p, end, length);
    return p != NULL && *length <= (uint64_t)(end - p) ? p : NULL;
}

static inline const char *skip_field(const char *p, const char *end, int wire_type) {
    uint64_t size;
    switch (wire_type) {
    case WIRE_VARINT:
        return read_varint(p, end, &size);
    case WIRE_64:
        return end - p >= 8 ? p + 8 : NULL;
    case WIRE_BYTES:
        p = read_length(p, end, &size);
        return p == NULL ? NULL : p + size;
    case WIRE_32:
        return end - p >= 4 ? p + 4 : NULL;
    default:
        return NULL;
    }
}

/* The text from p to stop, as the number it must be from its first to its last byte. */
static inline int text_number(const char *p, const char *stop, int field, frame_t *frame) {
    int outcome;
    if (field <= FIELD_ASK_QTY) {
        outcome = read_decimal_within(&p, stop, frame->end, &frame->numbers[field]);
        if (outcome == NUMBER_SLOW) outcome = slow_decimal(&p, stop, &frame->numbers[field]);
    } else {
        outcome = read_integer_within(
            &p, stop, frame->end,
            field == FIELD_EXCHANGE_MS ? &frame->exchange_ms : &frame->update_id);
    }
    return outcome == NUMBER_OK && p == stop;
}

/* What was read last counts: it replaces what an earlier one of the same field has left. */
static inline void settle(frame_t *frame, int field, int is_present, int is_good) {
    uint32_t bit = UINT32_C(1) << field;
    frame->seen = is_present ? frame->seen | bit : frame->seen & ~bit;
    frame->bad = is_present && !is_good ? frame->bad | bit : frame->bad & ~bit;
}

static inline const char *protobuf_take(const plan_t *plan, int field, const char *p,
                                        const char *end, int wire_type, frame_t *frame) {
    uint64_t value;
    if (wire_type == WIRE_VARINT && (field == FIELD_EXCHANGE_MS || field == FIELD_UPDATE_ID)) {
        p = read_varint(p, end, &value);
        if (p == NULL) return NULL;
        *(field == FIELD_EXCHANGE_MS ? &frame->exchange_ms : &frame->update_id) = (int64_t)value;
        settle(frame, field, 1, value <= INT64_MAX);
        return p;
    }
    if (wire_type != WIRE_BYTES) return NULL;
    p = read_length(p, end, &value);
    if (p == NULL) return NULL;
    const char *stop = p + value;
    if (field == FIELD_SYMBOL) {
        frame->symbol = p;
        frame->symbol_length = (int64_t)value;
        frame->seen |= 1 << FIELD_SYMBOL;
    } else if (field >= FIELD_WHERE) {
        uint32_t bit = UINT32_C(1) << (field - FIELD_WHERE);
        frame->passed &= ~bit;
        if (fulfilled(plan, field - FIELD_WHERE, p, stop) != NULL) frame->passed |= bit;
    } else {
        settle(frame, field, value > 0, text_number(p, stop, field, frame));
    }
    return stop;
}

/* The edge of a field number; NULL if nobody wants it. */
static inline edge_t *protobuf_edge(plan_t *plan, const node_t *node, int number) {
    edge_t *edge = &plan->edges[node->first_edge];
    for (int index = 0; index < node->edge_count; index++, edge++)
        if (edge->number == number) return edge;
    return NULL;
}

/* The message from p to end. A message that holds a side and lacks it is told by empty_side. */
static const char *protobuf_message(plan_t *plan, int node_number, const char *p, const char *end,
                                    frame_t *frame) {
    node_t *node = &plan->nodes[node_number];
    int *expected = &node->expected;
    uint64_t tag, length;
    frame->empty_side |= node_number > 0 && node->holds_side;
    while (p < end) {
        p = read_varint(p, end, &tag);
        if (p == NULL || tag > UINT32_MAX || tag < 8) return NULL;
        int number = (int)(tag >> 3), wire_type = (int)(tag & 7);
        edge_t *edge = &plan->edges[*expected];
        if (edge->number != number) {
            edge = protobuf_edge(plan, node, number);
            if (edge != NULL) *expected = (int)(edge - plan->edges);
        }
        if (edge == NULL) {
            p = skip_field(p, end, wire_type);
        } else {
            expected = &edge->expected;
            if (edge->node < 0) {
                p = protobuf_take(plan, edge->field, p, end, wire_type, frame);
            } else {
                p = wire_type == WIRE_BYTES ? read_length(p, end, &length) : NULL;
                if (p != NULL) p = protobuf_message(plan, edge->node, p, p + length, frame);
            }
        }
        if (p == NULL) return NULL;
    }
    return p;
}

/* The whole frame; empty_side afterwards says that a quote lacks a side. */
static inline const char *protobuf_walk(plan_t *plan, const char *p, frame_t *frame) {
    p = protobuf_message(plan, 0, p, frame->end, frame);
    int has_sides = frame->empty_side || frame->seen & SIDES;
    frame->empty_side = has_sides && (frame->seen & SIDES) != SIDES;
    return p;
}

#endif
