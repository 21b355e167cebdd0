/* What the simulated provider and the load generator share: the clock, time marks inside events, a histogram.
 *
 * A mark is '@', 14 digits of CLOCK_MONOTONIC in nanoseconds, ';'. The provider writes it into the text of an event just
 * before the system call; the load generator finds it again, whatever JSON stands around it. */
#ifndef BENCH_WIRE_H
#define BENCH_WIRE_H
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define MARK_DIGITS 14
#define MARK_BYTES (MARK_DIGITS + 2)

static inline uint64_t now_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000ull + (uint64_t)now.tv_nsec;
}

static inline struct timespec timespec_of(uint64_t ns) {
    return (struct timespec){.tv_sec = (time_t)(ns / 1000000000ull), .tv_nsec = (long)(ns % 1000000000ull)};
}

static inline void write_digits(char *at, uint64_t value) {
    for (int i = MARK_DIGITS - 1; i >= 0; i--) {
        at[i] = (char)('0' + value % 10);
        value /= 10;
    }
}

/* The time of the mark at `at`, which has MARK_BYTES bytes; 0: there is none. */
static inline uint64_t read_mark(const char *at) {
    if (at[0] != '@' || at[MARK_BYTES - 1] != ';') return 0;
    uint64_t value = 0;
    for (int i = 1; i <= MARK_DIGITS; i++) {
        unsigned digit = (unsigned)(at[i] - '0');
        if (digit > 9) return 0;
        value = value * 10 + digit;
    }
    return value;
}

/* Log-linear: 128 steps for each power of two, so that an error is below 0.8 %. */
#define STEP_BITS 7
#define STEPS ((64 - STEP_BITS + 1) << STEP_BITS)
typedef struct {
    uint64_t steps[STEPS], count, largest;
} histogram;

static inline void record(histogram *h, uint64_t value) {
    int step = (int)value;
    if (value >= (1u << STEP_BITS)) {
        int power = 63 - __builtin_clzll(value);
        step = ((power - STEP_BITS + 1) << STEP_BITS) + (int)((value >> (power - STEP_BITS)) & ((1u << STEP_BITS) - 1));
    }
    h->steps[step]++;
    h->count++;
    if (value > h->largest) h->largest = value;
}

/* Microseconds; -1: nothing was recorded. */
static inline double quantile_us(const histogram *h, double quantile) {
    if (!h->count) return -1;
    uint64_t wanted = (uint64_t)(quantile * (double)h->count + 0.5), seen = 0;
    if (wanted < 1) wanted = 1;
    for (int step = 0; step < STEPS; step++) {
        seen += h->steps[step];
        if (seen < wanted) continue;
        if (step < (1 << STEP_BITS)) return (double)step / 1000;
        int power = (step >> STEP_BITS) + STEP_BITS - 1;
        uint64_t mantissa = (uint64_t)(step & ((1 << STEP_BITS) - 1)) | (1u << STEP_BITS);
        return (double)(mantissa << (power - STEP_BITS)) / 1000;
    }
    return (double)h->largest / 1000;
}

static inline void *must(void *pointer) {
    if (!pointer) {
        fputs("out of memory\n", stderr);
        exit(3);
    }
    return pointer;
}
#endif
