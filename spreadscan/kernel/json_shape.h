/* The shape of the frame before: the text between its values.
 *
 * An exchange sends the same text again and again and changes only the values in it. So while a
 * frame is walked by its plan, each value is noted as a step, and a frame that held a quote leaves
 * its shape: the text before each value and what the value was. The next frame is first held against
 * that shape: text is compared, values are read by the same functions as in a walk. Equal text with
 * one JSON value at each of the same places is the same JSON structure, so a frame that fits means
 * what a walk would have found. One that does not is walked.
 */
#ifndef SPREADSCAN_JSON_SHAPE_H
#define SPREADSCAN_JSON_SHAPE_H

#include "json_walk.h"
#include "plan.h"

/* Note what a walk found from start to stop. */
static inline void note_step(plan_t *plan, int what, const char *start, const char *stop) {
    shape_t *shape = &plan->shape;
    int last = shape->step_count - 1;
    if (what == STEP_REST && last >= 0 && last < MAX_STEPS && shape->steps[last].what <= STEP_REST &&
        shape->steps[last].stop == start) {
        shape->steps[last].what--;
        shape->steps[last].stop = stop;
        return;
    }
    if (shape->step_count < MAX_STEPS) {
        step_t *step = &shape->steps[shape->step_count];
        step->start = start;
        step->stop = stop;
        step->what = what;
    }
    shape->step_count++;
}

/* Copy the text from start to stop behind *used* words; 0 when there is no room. */
static inline int keep_text(shape_t *shape, text_t *text, const char *start, const char *stop,
                            int *used) {
    if (stop - start > SHAPE_BYTES - 8 * *used || *used == SHAPE_BYTES / 8) return 0;
    text->place = *used;
    text->length = (int)(stop - start);
    text->words = text->length > 0 ? (text->length + 7) / 8 : 1;
    text->mask = text->length > 0 ? ~UINT64_C(0) >> (8 * (8 * text->words - text->length)) : 0;
    memcpy(shape->text + *used, start, (size_t)text->length);
    *used += text->words;
    return 1;
}

/* Make the frame that was just walked the known shape; a longer one than fits is not kept. */
static inline void keep_shape(plan_t *plan, const char *start, const char *end) {
    shape_t *shape = &plan->shape;
    int used = 0;
    if (shape->step_count > MAX_STEPS) return;
    for (int index = 0; index < shape->step_count; index++) {
        step_t *step = &shape->steps[index];
        if (!keep_text(shape, &step->before, start, step->start, &used)) return;
        start = step->stop;
    }
    if (keep_text(shape, &shape->tail, start, end, &used)) shape->known_count = shape->step_count;
}

/* Behind the text at p when it is the one that is known, else NULL. */
static inline const char *match_text(const shape_t *shape, const text_t *text, const char *p,
                                     const char *end, const char *limit) {
    const uint64_t *known = shape->text + text->place;
    const char *stop = p + text->length;
    if (stop > end) return NULL;
    if (limit - p < 8 * text->words)
        return memcmp(p, known, (size_t)text->length) == 0 ? stop : NULL;
    for (int words = text->words; words > 1; words--, p += 8, known++)
        if (load8(p) != *known) return NULL;
    return (load8(p) ^ *known) & text->mask ? NULL : stop;
}

#endif
