/*
 * torpor.h: an application asks for a boot image of itself, and is told in which life it goes on.
 *
 * Like fork(2), torpor_checkpoint() returns more than once: TORPOR_SAVED in the application that goes
 * on, and TORPOR_RESTORED in every later life that is begun from the image, as often as that happens.
 * Two lives of one image have the same random state, keys and nonces: on TORPOR_RESTORED make new ones.
 *
 * Outside of a capsule every call returns TORPOR_UNAVAILABLE at once and does nothing else.
 *
 * C11 and POSIX.1-2008. Nothing is allocated; a handle is a struct of the caller's of about 66 KiB.
 * Every function but torpor_init() is async-signal-safe (signal-safety(7)), and leaves errno as it was,
 * as long as the handle that it is given is not in use by what the signal has interrupted: give a
 * handler a handle of its own. A handle belongs to one thread at a time; after fork(2) the child calls
 * torpor_init() on a handle of its own.
 */
#ifndef TORPOR_H
#define TORPOR_H

#include <stdbool.h>
#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Longest message in either direction, in bytes, newline included. */
#define TORPOR_MESSAGE_MAX 65536
/* Bytes of a ticket, a token and an image's id, with the NUL that ends them. */
#define TORPOR_TICKET_SIZE 65
#define TORPOR_TOKEN_SIZE 17
#define TORPOR_IMAGE_ID_SIZE 33
/* Longest label and longest reason, in bytes, that are sent. */
#define TORPOR_TEXT_MAX 600

enum torpor_outcome {
    TORPOR_SAVED,       /* the image is durable, the application goes on */
    TORPOR_RESTORED,    /* this is a later life of the image */
    TORPOR_PENDING,     /* not finished yet (wait = false, or torpor_outcome) */
    TORPOR_DONE,        /* what was asked for is done: calls without an outcome of their own */
    TORPOR_UNAVAILABLE, /* not in a capsule, or nobody listens: nothing was done */
    TORPOR_UNKNOWN,     /* the agent has never heard of the ticket */
    TORPOR_FAILED       /* refused or failed; code and message say why; the application runs on */
};

/* One connection to the control socket. Its members are the library's. */
typedef struct torpor {
    int descriptor; /* -1 while there is no connection */
    bool inside;    /* TORPOR_SOCKET names a socket */
    unsigned long next_id;
    size_t held;     /* bytes in buffer */
    size_t consumed; /* of these, those of messages that have been looked at */
    int timeout_ms;
    int reconnect_ms;
    char path[108];
    char buffer[TORPOR_MESSAGE_MAX + 1];
} torpor;

typedef struct torpor_result {
    enum torpor_outcome outcome;
    char image_id[TORPOR_IMAGE_ID_SIZE]; /* saved, restored, and the answer of torpor_restore; else empty */
    double pause_ms;                     /* saved: how long the application stood still; -1 if not known */
    char occurrence[24];                 /* restored: "operator", "crash", …; empty if not known */
    double elapsed_ms;                   /* restored: from the taking of the image to its restore */
    char code[32];                       /* failed: for programs, such as "no-room" */
    char message[600];                   /* failed, unavailable: for people */
} torpor_result;

typedef struct torpor_request {
    const char *label;  /* NULL: none */
    const char *ticket; /* NULL: a random one. 8 to 64 of letters, digits, '-', '_'; see torpor_outcome_of() */
    int keep;           /* 1: keep the earlier image, 0: replace it once this one is durable, -1: as configured */
    bool no_wait;       /* true: return TORPOR_PENDING at once */
} torpor_request;

/* Reads TORPOR_SOCKET; does not connect. timeout_ms bounds each wait for an answer; 0 or less: 6 minutes. */
void torpor_init(torpor *handle, int timeout_ms);
/* Closes the connection. The handle can be used on; it connects anew. */
void torpor_close(torpor *handle);
/* True in a capsule. Whether somebody listens is known when something is asked. */
bool torpor_available(const torpor *handle);

/*
 * Asks for an image and returns when it is durable (or in a later life of it). When the connection ends
 * meanwhile, connects anew for up to 30 seconds and asks for the outcome of the ticket.
 * request may be NULL. Returns result->outcome.
 */
enum torpor_outcome torpor_checkpoint(torpor *handle, const torpor_request *request, torpor_result *result);
/* What became of a ticket. */
enum torpor_outcome torpor_outcome_of(torpor *handle, const char *ticket, torpor_result *result);
/* Asks to be put back to an own image, by the first digits of its id or by its label (the other is NULL).
 * TORPOR_DONE: the restore has begun and this life will end soon. */
enum torpor_outcome torpor_restore(torpor *handle, const char *image, const char *label, torpor_result *result);
/* "I am alive." */
enum torpor_outcome torpor_heartbeat(torpor *handle, torpor_result *result);
/* "My start-up is finished": a good moment for an image. */
enum torpor_outcome torpor_ready(torpor *handle, torpor_result *result);
/* "Not now", for timeout_ms (1 to 600000) or until torpor_allow(). */
enum torpor_outcome torpor_inhibit(torpor *handle, const char *reason, int timeout_ms,
                                   char token[TORPOR_TOKEN_SIZE], torpor_result *result);
enum torpor_outcome torpor_allow(torpor *handle, const char *token, torpor_result *result);
/*
 * Any method of docs/protocol.md: params is JSON (NULL: none); *answer points to the JSON of its result,
 * inside the handle, until the next call on it.
 */
enum torpor_outcome torpor_call(torpor *handle, const char *method, const char *params,
                                const char **answer, torpor_result *result);
/* A ticket of 32 random hexadecimal digits. */
void torpor_ticket(char ticket[TORPOR_TICKET_SIZE]);

/* "saved", "restored", … */
const char *torpor_outcome_name(enum torpor_outcome outcome);

#ifdef __cplusplus
}
#endif
#endif
