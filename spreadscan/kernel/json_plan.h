/* A JSON frame by its plan: held against the frame before, else walked once, in the order sent.
 *
 * The edge that followed in the frame before is tried first, as an exchange sends its keys in the
 * same order: a frame costs little more than its bytes. What no edge names is stepped over. The
 * walk goes to the end of the frame, so that one cut off anywhere is refused.
 *
 * Every function takes a position in the frame and returns the one behind what it read, or NULL
 * where the text is no JSON, is cut off, or where a condition failed (`rejected`). Recursion goes
 * no deeper than the plan's own paths.
 */
#ifndef SPREADSCAN_JSON_PLAN_H
#define SPREADSCAN_JSON_PLAN_H

#include "json_shape.h"
#include "json_walk.h"
#include "number.h"
#include "plan.h"

static const char *json_walk(plan_t *plan, int node, const char *p, frame_t *frame);

/* The number at p, quoted or not; "" is none. Anything else is a bad number and stepped over. */
static inline const char *json_number(const char *p, int field, frame_t *frame) {
    const char *start = p, *end = frame->end;
    uint32_t bit = UINT32_C(1) << field;
    int is_quoted = *p == '"';
    p += is_quoted;
    int outcome;
    if (field <= FIELD_ASK_QTY) {
        const char *stop = read_common(p, end, frame->limit, &frame->numbers[field]);
        if (stop != NULL && stop < end && (!is_quoted || *stop == '"')) {
            frame->seen |= bit;
            return stop + is_quoted;
        }
        outcome = read_uncommon(&p, end, frame->limit, &frame->numbers[field]);
        if (outcome == NUMBER_SLOW) outcome = slow_decimal(&p, end, &frame->numbers[field]);
    } else {
        outcome = read_integer_within(
            &p, end, frame->limit, field == FIELD_EXCHANGE_MS ? &frame->exchange_ms : &frame->update_id);
    }
    if (outcome == NUMBER_OK && (!is_quoted || (p < end && *p == '"'))) {
        frame->seen |= bit;
        return p + is_quoted;
    }
    p = skip_value(start, end);
    if (is_quoted && p == start + 2) {
        frame->seen &= ~bit;
    } else {
        frame->seen |= bit;
        frame->bad |= bit;
    }
    return p;
}

/* The text at p: a symbol, or what a condition compares, which may be a bare word too. */
static inline const char *json_text(const plan_t *plan, const char *p, int field, frame_t *frame) {
    const char *start = p, *end = frame->end, *stop;
    int is_escaped = 0;
    if (*p == '"') {
        start = p + 1;
        stop = find_quote_or_escape(start, end);
        if (stop == NULL) return NULL;
        p = stop + 1;
        if (*stop == '\\') {
            is_escaped = 1;
            p = skip_string(stop, end);
            if (p == NULL) return NULL;
            stop = p - 1;
        }
    } else {
        stop = p = skip_value(start, end);
        if (p == NULL) return NULL;
        if (field == FIELD_SYMBOL) {
            frame->seen &= ~(UINT32_C(1) << FIELD_SYMBOL);
            return p;
        }
    }
    if (field == FIELD_SYMBOL) {
        frame->symbol = start;
        frame->symbol_length = stop - start;
        frame->escaped_symbol = is_escaped;
        frame->seen |= 1 << FIELD_SYMBOL;
        return p;
    }
    const where_t *where = fulfilled(plan, field - FIELD_WHERE, start, stop);
    if (where == NULL) {
        frame->rejected = 1;
        return NULL;
    }
    frame->passed |= UINT32_C(1) << where->condition;
    return p;
}

/* The value at p, as the field it is. A symbol or a side that was there already, be it by another of
 * the plan's paths, would let a quote be put together from two: such a frame is no good. */
static inline const char *json_field(const plan_t *plan, int field, const char *p, frame_t *frame) {
    if (p >= frame->end || (field <= FIELD_ASK_QTY && (frame->seen >> field & 1))) return NULL;
    if (field >= FIELD_BID && field <= FIELD_UPDATE_ID) return json_number(p, field, frame);
    return json_text(plan, p, field, frame);
}

/* A value, or the rest of an array, that nobody wants. */
static inline const char *json_skip(plan_t *plan, int what, const char *p, const char *end) {
    const char *stop = what == STEP_VALUE ? skip_value(p, end) : skip_rest(p, end, 1);
    if (stop != NULL) note_step(plan, what, p, stop);
    return stop;
}

/* The value at p is wanted: go on below it, or read it as the field it is. */
static inline const char *json_take(plan_t *plan, const edge_t *edge, const char *p,
                                    frame_t *frame) {
    if (edge->node >= 0) return json_walk(plan, edge->node, p, frame);
    const char *stop = json_field(plan, edge->field, p, frame);
    if (stop != NULL) note_step(plan, edge->field, p, stop);
    return stop;
}

/* The edge of a key, which stands in the frame with its closing quote; NULL if nobody wants it. */
static inline edge_t *json_edge(plan_t *plan, const node_t *node, const char *key, int64_t length,
                                const char *frame_end) {
    if (!(node->key_bits & key_bit(key, length))) return NULL;
    uint64_t word = 0;
    if (length < 8 && frame_end - key >= 8)
        word = load8(key) & ~UINT64_C(0) >> (56 - 8 * length);
    else if (length < 8)
        memcpy(&word, key, (size_t)length + 1);
    edge_t *edge = &plan->edges[node->first_edge];
    for (int index = 0; index < node->edge_count; index++, edge++) {
        if (edge->mask) {
            /* A word is zero behind its quote, and no key holds one: equal words, equal keys. */
            if (edge->word == word) return edge;
        } else if (edge->key_length == length && memcmp(edge->key, key, (size_t)length) == 0) {
            return edge;
        }
    }
    return NULL;
}

/* From behind the opening brace. */
static inline const char *json_object(plan_t *plan, node_t *node, const char *p, frame_t *frame) {
    const char *end = frame->end;
    int *expected = &node->expected;
    p = skip_space(p, end);
    if (p < end && *p == '}') return p + 1;
    for (;;) {
        if (p >= end || *p != '"') return NULL;
        p++;
        edge_t *edge = &plan->edges[*expected];
        if (edge->mask && end - p >= 8 && (load8(p) & edge->mask) == edge->word) {
            p += edge->key_length + 1;
        } else {
            const char *key = p;
            p = skip_string(p, end);
            if (p == NULL) return NULL;
            edge = json_edge(plan, node, key, p - key - 1, end);
            if (edge != NULL) *expected = (int)(edge - plan->edges);
        }
        p = skip_space(p, end);
        if (p >= end || *p != ':') return NULL;
        p = skip_space(p + 1, end);
        if (edge == NULL) {
            p = json_skip(plan, STEP_VALUE, p, end);
        } else {
            expected = &edge->expected;
            p = json_take(plan, edge, p, frame);
        }
        if (p == NULL) return NULL;
        p = skip_space(p, end);
        if (p >= end) return NULL;
        if (*p == '}') return p + 1;
        if (*p != ',') return NULL;
        p = skip_space(p + 1, end);
    }
}

/* From behind the opening bracket. */
static inline const char *json_array(plan_t *plan, const node_t *node, const char *p,
                                     frame_t *frame) {
    const char *end = frame->end;
    const edge_t *last = &plan->edges[node->first_edge] + node->edge_count;
    p = skip_space(p, end);
    if (p < end && *p == ']') {
        frame->empty_side |= node->holds_side;
        return p + 1;
    }
    for (int number = 0;; number++) {
        const edge_t *edge = &plan->edges[node->first_edge];
        while (edge < last && edge->number != number) edge++;
        p = edge == last ? json_skip(plan, STEP_VALUE, p, end) : json_take(plan, edge, p, frame);
        if (p == NULL) return NULL;
        if (number == node->last_number) return json_skip(plan, STEP_REST, p, end);
        p = skip_space(p, end);
        if (p >= end) return NULL;
        if (*p == ']') return p + 1;
        if (*p != ',') return NULL;
        p = skip_space(p + 1, end);
    }
}

/* p stands at a value that a path passes through; one of another kind is stepped over. */
static const char *json_walk(plan_t *plan, int node, const char *p, frame_t *frame) {
    node_t *place = &plan->nodes[node];
    if (p >= frame->end) return NULL;
    if (place->is_array && *p == '[') return json_array(plan, place, p + 1, frame);
    if (!place->is_array && *p == '{') return json_object(plan, place, p + 1, frame);
    /* In the next frame it may be of the right kind: a shape must not hold it. */
    plan->shape.step_count = MAX_STEPS + 1;
    return skip_value(p, frame->end);
}

/* The frame from p, if it is of the known shape; NULL if not. */
static inline const char *json_replay(plan_t *plan, const char *p, frame_t *frame) {
    const shape_t *shape = &plan->shape;
    const char *end = frame->end;
    for (int index = 0; index < shape->known_count; index++) {
        const step_t *step = &shape->steps[index];
        p = match_text(shape, &step->before, p, end, frame->limit);
        if (p == NULL) return NULL;
        if (step->what >= 0)
            p = json_field(plan, step->what, p, frame);
        else if (step->what == STEP_VALUE)
            p = skip_value(p, end);
        else
            p = skip_rest(p, end, 1 + STEP_REST - step->what);
        if (p == NULL) return NULL;
    }
    p = match_text(shape, &shape->tail, p, end, frame->limit);
    return p == end ? p : NULL;
}

static inline void forget_all(frame_t *frame) {
    frame->seen = frame->bad = frame->passed = 0;
    frame->rejected = frame->empty_side = frame->escaped_symbol = 0;
    frame->symbol = NULL;
    frame->symbol_length = 0;
}

/* The whole frame, whose first brace stands at p. */
static inline const char *json_frame(plan_t *plan, const char *p, frame_t *frame) {
    const char *start = p;
    if (plan->shape.known_count > 0) {
        p = json_replay(plan, start, frame);
        if (p != NULL) return p;
        forget_all(frame);
    }
    plan->shape.step_count = plan->shape.known_count = 0;
    p = json_walk(plan, 0, start, frame);
    if (p == NULL) return NULL;
    p = skip_space(p, frame->end);
    if (p == frame->end && (frame->seen & SIDES) == SIDES && !frame->empty_side)
        keep_shape(plan, start, p);
    return p;
}

#endif
