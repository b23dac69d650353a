/* What an eventfd alone takes between two cores, as a measure for the wake-up of the engine.
 *
 *     wake_floor SAMPLES FIRST_CORE SECOND_CORE
 *
 * One process writes, the other sleeps in poll and then stores the number it has seen. Prints how
 * long each took from before the write until the writer saw the number, ns, one a line.
 */
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

/* The sleeper needs its time from saying so to being asleep, as in bench_signal.py. */
#define SETTLE_NS 20000
#define PATIENCE_S 10

typedef struct {
    _Alignas(64) _Atomic int64_t seen;
    _Alignas(64) _Atomic int64_t waiting;
} shared_t;

static void die(const char *what) {
    perror(what);
    exit(1);
}

static int64_t now_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static void stay_on(int core) {
    cpu_set_t cores;
    CPU_ZERO(&cores);
    CPU_SET(core, &cores);
    if (sched_setaffinity(0, sizeof cores, &cores)) die("sched_setaffinity");
}

static void sleeper(shared_t *shared, int wake_fd) {
    struct pollfd waiter = {.fd = wake_fd, .events = POLLIN};
    uint64_t drained;
    for (int64_t number = 1;; number++) {
        atomic_store(&shared->waiting, number);
        if (poll(&waiter, 1, -1) != 1 || read(wake_fd, &drained, 8) != 8) die("poll");
        atomic_store(&shared->seen, number);
    }
}

int main(int argc, char **argv) {
    if (argc != 4) return 64;
    shared_t *shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE,
                            MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    int wake_fd = eventfd(0, EFD_NONBLOCK);
    if (shared == MAP_FAILED || wake_fd < 0) die("set-up");
    /* Both sides spin, perhaps with priority over everything else: never for long. */
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    alarm(PATIENCE_S);
    /* Forked on its own core: on this one it would wait for ever behind a parent that spins. */
    stay_on(atoi(argv[3]));
    pid_t child = fork();
    if (child < 0) die("fork");
    if (child == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        sleeper(shared, wake_fd);
    }
    stay_on(atoi(argv[2]));
    for (int64_t number = 1, one = 1; number <= atol(argv[1]); number++) {
        while (atomic_load(&shared->waiting) < number) {}
        for (int64_t settled_ns = now_ns() + SETTLE_NS; now_ns() < settled_ns;) {}
        int64_t began_ns = now_ns();
        if (write(wake_fd, &one, 8) != 8) die("write");
        while (atomic_load(&shared->seen) < number) {}
        printf("%lld\n", (long long)(now_ns() - began_ns));
    }
    kill(child, SIGKILL);
    return 0;
}
