// personality(2) of each thread: inherited from one that has another than the usual, and one of its own.
#include <sys/personality.h>

#include "state.h"

static const unsigned long whole = ADDR_NO_RANDOMIZE | SHORT_INODE, own = READ_IMPLIES_EXEC | STICKY_TIMEOUTS;
static pthread_barrier_t barrier;

static void *body(void *changes) {
    if (changes) MUST(personality(own));
    pthread_barrier_wait(&barrier);
    pthread_barrier_wait(&barrier);
    EQUAL(personality(0xffffffff), changes ? own : whole);
    return NULL;
}

int main(int argc, char **argv) {
    state_begin(argc, argv);
    MUST(personality(whole));
    OK(pthread_barrier_init(&barrier, NULL, 4));
    pthread_t threads[3];
    for (int i = 0; i < 3; i++) OK(pthread_create(&threads[i], NULL, body, i == 1 ? &barrier : NULL));
    pthread_barrier_wait(&barrier);
    state_ready();
    pthread_barrier_wait(&barrier);
    for (int i = 0; i < 3; i++) OK(pthread_join(threads[i], NULL));
    EQUAL(personality(0xffffffff), whole);
    state_pass();
}
