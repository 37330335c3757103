/* Holds N MB of touched memory, asks for M checkpoints of itself, and reports how long each took:
 * "round trip, pause, heartbeat" in milliseconds, one line each. */
#define _DEFAULT_SOURCE 1
#include "torpor.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

static torpor handle;

static double now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6;
}

int main(int count, char **words)
{
    if (count != 4)
        return 2;
    size_t bytes = strtoul(words[1], NULL, 10) << 20;
    unsigned *memory = malloc(bytes);
    FILE *report = fopen(words[3], "w");
    if (memory == NULL || report == NULL)
        return 1;
    for (size_t i = 0; i < bytes / sizeof *memory; i++)
        memory[i] = (unsigned)(i * 2654435761u); /* no page like another */
    torpor_init(&handle, 0);
    for (long round = strtol(words[2], NULL, 10); round > 0; round--) {
        torpor_request request = {.keep = 0};
        torpor_result result;
        double began = now_ms();
        if (torpor_checkpoint(&handle, &request, &result) != TORPOR_SAVED) {
            fprintf(report, "%s %s\n", torpor_outcome_name(result.outcome), result.message);
            return 1;
        }
        double ended = now_ms(), stood_still = result.pause_ms;
        torpor_heartbeat(&handle, &result);
        fprintf(report, "%.3f %.3f %.3f\n", ended - began, stood_still, now_ms() - ended);
        fflush(report);
        usleep(20000);
    }
    for (;;)
        pause();
}
