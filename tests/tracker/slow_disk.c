/* A disk in trouble, for one process: fsync and fdatasync fail or take long while a file exists.
 *
 * SLOW_DISK_FILE names the file; its content is "fail", or how many milliseconds a sync takes.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static int troubled(void) {
    const char *name = getenv("SLOW_DISK_FILE");
    char text[32] = {0};
    struct timespec pause;
    long wait_ms;
    int file = name == NULL ? -1 : open(name, O_RDONLY | O_CLOEXEC);
    if (file < 0) return 0;
    if (read(file, text, sizeof text - 1) < 0) text[0] = 0;
    close(file);
    if (strncmp(text, "fail", 4) == 0) {
        errno = EIO;
        return 1;
    }
    /* In small steps, so that it ends when the file is taken away. */
    for (wait_ms = atol(text); wait_ms > 0 && access(name, F_OK) == 0; wait_ms -= 10) {
        pause.tv_sec = 0;
        pause.tv_nsec = 10000000;
        nanosleep(&pause, NULL);
    }
    return 0;
}

int fsync(int descriptor) {
    int (*real)(int) = (int (*)(int))dlsym(RTLD_NEXT, "fsync");
    return troubled() ? -1 : real(descriptor);
}

int fdatasync(int descriptor) {
    int (*real)(int) = (int (*)(int))dlsym(RTLD_NEXT, "fdatasync");
    return troubled() ? -1 : real(descriptor);
}
