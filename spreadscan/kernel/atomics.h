/* C11 atomics on plain words of shared memory; the ordering is in each name.
 *
 * Words are naturally aligned and lock-free on the supported platforms (x86-64, arm64), which is
 * asserted below; a mapping shared between processes needs address-free atomics, and lock-free
 * ones are (C11 7.17.5p3).
 */
#ifndef SPREADSCAN_ATOMICS_H
#define SPREADSCAN_ATOMICS_H

#include <stdatomic.h>
#include <stdint.h>

_Static_assert(ATOMIC_LLONG_LOCK_FREE == 2 && ATOMIC_INT_LOCK_FREE == 2,
               "spreadscan needs lock-free 32- and 64-bit atomics");
#if !defined(__BYTE_ORDER__) || __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "spreadscan supports little-endian machines only"
#endif

#define AT64(word) ((_Atomic uint64_t *)(word))
#define AT32(word) ((_Atomic uint32_t *)(word))

static inline uint64_t load_relaxed_u64(const uint64_t *word) {
    return atomic_load_explicit(AT64(word), memory_order_relaxed);
}
static inline uint64_t load_acquire_u64(const uint64_t *word) {
    return atomic_load_explicit(AT64(word), memory_order_acquire);
}
static inline void store_relaxed_u64(uint64_t *word, uint64_t value) {
    atomic_store_explicit(AT64(word), value, memory_order_relaxed);
}
static inline void store_release_u64(uint64_t *word, uint64_t value) {
    atomic_store_explicit(AT64(word), value, memory_order_release);
}
static inline uint64_t exchange_acq_rel_u64(uint64_t *word, uint64_t value) {
    return atomic_exchange_explicit(AT64(word), value, memory_order_acq_rel);
}
/* One try: 1 when the word held `expected` and holds `value` now. */
static inline int replace_acq_rel_u64(uint64_t *word, uint64_t expected, uint64_t value) {
    return atomic_compare_exchange_strong_explicit(AT64(word), &expected, value,
                                                   memory_order_acq_rel, memory_order_acquire);
}
/* Sequentially consistent: the feed's half of the sleep handshake, see wake_if_sleeping. */
static inline uint64_t fetch_or_seq_cst_u64(uint64_t *word, uint64_t bits) {
    return atomic_fetch_or_explicit(AT64(word), bits, memory_order_seq_cst);
}
static inline uint32_t load_seq_cst_u32(const uint32_t *word) {
    return atomic_load_explicit(AT32(word), memory_order_seq_cst);
}
static inline void store_seq_cst_u32(uint32_t *word, uint32_t value) {
    atomic_store_explicit(AT32(word), value, memory_order_seq_cst);
}
static inline uint32_t exchange_seq_cst_u32(uint32_t *word, uint32_t value) {
    return atomic_exchange_explicit(AT32(word), value, memory_order_seq_cst);
}
static inline void fence_acquire(void) { atomic_thread_fence(memory_order_acquire); }
static inline void fence_release(void) { atomic_thread_fence(memory_order_release); }
static inline void fence_seq_cst(void) { atomic_thread_fence(memory_order_seq_cst); }

/* Fetch a line that will be written soon; its content does not matter to the program. */
static inline void prefetch_for_write(const void *line) { __builtin_prefetch(line, 1); }

/* Tell the core that this is a spin loop: frees the sibling thread and saves power. A
 * reader's few attempts count on a real pause: arm64's `yield` is none on most cores, `isb` is. */
static inline void cpu_relax(void) {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ __volatile__("isb" ::: "memory");
#else
#error "spreadscan supports x86-64 and arm64 only"
#endif
}

#endif
