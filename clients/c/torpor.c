/* See torpor.h. No stdio and no allocation: both would be unsafe in a signal handler. */
#define _DEFAULT_SOURCE 1
#include "torpor.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

enum { DEFAULT_TIMEOUT_MS = 6 * 60 * 1000, RECONNECT_MS = 30 * 1000, RETRY_MS = 50 };

/* What a transport came to. */
enum transport { ANSWERED, LOST, TIMED_OUT };

/* ---- text, without stdio ---- */

/* A message under construction. It is cut, and marked so, rather than overrun. */
struct text {
    char *at;
    size_t used, size;
    bool cut;
};

static void put_bytes(struct text *text, const char *bytes, size_t length)
{
    if (text->used + length >= text->size) {
        text->cut = true;
        return;
    }
    memcpy(text->at + text->used, bytes, length);
    text->used += length;
    text->at[text->used] = '\0';
}

static void put(struct text *text, const char *string)
{
    put_bytes(text, string, strlen(string));
}

static void put_number(struct text *text, unsigned long number)
{
    char digits[24];
    size_t at = sizeof digits;
    do
        digits[--at] = (char)('0' + number % 10);
    while ((number /= 10) > 0);
    put_bytes(text, digits + at, sizeof digits - at);
}

/* As a JSON string. What is not UTF-8 is for the agent to refuse. */
static void put_quoted(struct text *text, const char *string)
{
    static const char hex[] = "0123456789abcdef";
    put(text, "\"");
    for (; *string != '\0'; string++) {
        unsigned char byte = (unsigned char)*string;
        if (byte == '"' || byte == '\\') {
            char escaped[2] = {'\\', (char)byte};
            put_bytes(text, escaped, 2);
        } else if (byte < 0x20) {
            char escaped[6] = {'\\', 'u', '0', '0', hex[byte >> 4], hex[byte & 15]};
            put_bytes(text, escaped, 6);
        } else {
            put_bytes(text, string, 1);
        }
    }
    put(text, "\"");
}

static void copy(char *to, size_t size, const char *from)
{
    size_t length = strlen(from);
    if (length >= size)
        length = size - 1;
    memcpy(to, from, length);
    to[length] = '\0';
}

/* ---- JSON, as much of it as the answers need ---- */

static const char *skip_space(const char *at)
{
    while (*at == ' ' || *at == '\t' || *at == '\r')
        at++;
    return at;
}

/* The first byte behind a string that begins at `at`. */
static const char *skip_string(const char *at)
{
    for (at++; *at != '\0' && *at != '"'; at++)
        if (*at == '\\' && at[1] != '\0')
            at++;
    return *at == '"' ? at + 1 : at;
}

/* The first byte behind a value: whatever is nested in it is stepped over. */
static const char *skip_value(const char *at)
{
    unsigned depth = 0;
    for (; *at != '\0'; at++) {
        if (*at == '"') {
            at = skip_string(at) - 1;
        } else if (*at == '{' || *at == '[') {
            depth++;
        } else if (*at == '}' || *at == ']') {
            if (depth == 0)
                return at;
            if (--depth == 0)
                return at + 1;
        } else if (*at == ',' && depth == 0) {
            return at;
        }
    }
    return at;
}

/* The value of a member of the object that begins at `object`; NULL if it has none. */
static const char *member(const char *object, const char *name)
{
    size_t length = strlen(name);
    const char *at = object == NULL ? "" : skip_space(object);
    if (*at != '{')
        return NULL;
    at = skip_space(at + 1);
    while (*at == '"') {
        const char *key = at + 1;
        at = skip_string(at);
        bool same = (size_t)(at - 1 - key) == length && memcmp(key, name, length) == 0;
        at = skip_space(at);
        if (*at != ':')
            return NULL;
        at = skip_space(at + 1);
        if (same)
            return at;
        at = skip_space(skip_value(at));
        if (*at == ',')
            at = skip_space(at + 1);
    }
    return NULL;
}

static unsigned hex_digits(const char *at)
{
    unsigned value = 0;
    for (int i = 0; i < 4; i++) {
        char c = at[i];
        if (c >= '0' && c <= '9')
            value = value * 16 + (unsigned)(c - '0');
        else if ((c | 32) >= 'a' && (c | 32) <= 'f')
            value = value * 16 + (unsigned)((c | 32) - 'a') + 10;
        else
            return '?';
    }
    return value;
}

static void put_code_point(struct text *text, unsigned code)
{
    char bytes[3];
    if (code < 0x80) {
        bytes[0] = (char)code;
        put_bytes(text, bytes, 1);
    } else if (code < 0x800) {
        bytes[0] = (char)(0xc0 | code >> 6);
        bytes[1] = (char)(0x80 | (code & 63));
        put_bytes(text, bytes, 2);
    } else if (code >= 0xd800 && code < 0xe000) {
        put(text, "?"); /* one half of a pair: the agent sends such characters unescaped */
    } else {
        bytes[0] = (char)(0xe0 | code >> 12);
        bytes[1] = (char)(0x80 | (code >> 6 & 63));
        bytes[2] = (char)(0x80 | (code & 63));
        put_bytes(text, bytes, 3);
    }
}

/* A string member, unescaped and cut to size; empty if there is none. */
static void string_member(const char *object, const char *name, char *to, size_t size)
{
    struct text text = {to, 0, size, false};
    to[0] = '\0';
    const char *at = member(object, name);
    if (at == NULL || *at != '"')
        return;
    for (at++; *at != '\0' && *at != '"' && !text.cut; at++) {
        if (*at != '\\') {
            put_bytes(&text, at, 1);
            continue;
        }
        at++;
        if (*at == '\0')
            return;
        if (*at == 'u') {
            if (strnlen(at + 1, 4) < 4)
                return;
            put_code_point(&text, hex_digits(at + 1));
            at += 4;
        } else {
            char plain = *at == 'n' ? '\n' : *at == 't' ? '\t' : *at == 'r' ? '\r' : *at;
            put_bytes(&text, &plain, 1);
        }
    }
}

/* strtod(3) is not async-signal-safe; the agent's numbers are plain decimals. */
static double number_member(const char *object, const char *name, double otherwise)
{
    const char *at = member(object, name);
    double value = 0, digit = 1;
    if (at == NULL || *at < '0' || *at > '9')
        return otherwise;
    for (; *at >= '0' && *at <= '9'; at++)
        value = value * 10 + (*at - '0');
    if (*at == '.')
        for (at++; *at >= '0' && *at <= '9'; at++)
            value += (*at - '0') * (digit /= 10);
    return value;
}

/* ---- the connection ---- */

static int64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void drop(torpor *handle)
{
    if (handle->descriptor >= 0)
        close(handle->descriptor);
    handle->descriptor = -1;
    handle->held = handle->consumed = 0;
}

/* 0, or the error. */
static int connect_once(torpor *handle)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    memcpy(address.sun_path, handle->path, sizeof handle->path);
    int descriptor = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (descriptor < 0)
        return errno;
    while (connect(descriptor, (struct sockaddr *)&address, sizeof address) < 0) {
        int error = errno;
        if (error == EINTR)
            continue;
        close(descriptor);
        return error;
    }
    handle->descriptor = descriptor;
    return 0;
}

/* Until the agent, which may be starting anew, listens again. */
static bool reconnect(torpor *handle)
{
    int64_t deadline = now_ms() + handle->reconnect_ms;
    drop(handle);
    while (connect_once(handle) != 0) {
        if (now_ms() >= deadline)
            return false;
        poll(NULL, 0, RETRY_MS);
    }
    return true;
}

static bool send_all(torpor *handle, const char *bytes, size_t length)
{
    while (length > 0) {
        ssize_t sent = send(handle->descriptor, bytes, length, MSG_NOSIGNAL);
        if (sent < 0 && errno == EINTR)
            continue;
        if (sent <= 0)
            return false;
        bytes += sent;
        length -= (size_t)sent;
    }
    return true;
}

/* The next whole line, ended by a NUL in place of its newline. */
static enum transport next_line(torpor *handle, int64_t deadline, char **line)
{
    for (;;) {
        char *begin = handle->buffer + handle->consumed;
        char *end = memchr(begin, '\n', handle->held - handle->consumed);
        if (end != NULL) {
            *end = '\0';
            *line = begin;
            handle->consumed = (size_t)(end + 1 - handle->buffer);
            return ANSWERED;
        }
        memmove(handle->buffer, begin, handle->held - handle->consumed);
        handle->held -= handle->consumed;
        handle->consumed = 0;
        if (handle->held == TORPOR_MESSAGE_MAX)
            return LOST; /* longer than was agreed */
        int64_t left = deadline - now_ms();
        if (left <= 0)
            return TIMED_OUT;
        struct pollfd ready = {.fd = handle->descriptor, .events = POLLIN};
        if (poll(&ready, 1, (int)left) <= 0)
            continue;
        ssize_t got = recv(handle->descriptor, handle->buffer + handle->held,
                           TORPOR_MESSAGE_MAX - handle->held, 0);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return LOST;
        handle->held += (size_t)got;
    }
}

/* Sends a request and waits for its answer: *answer is the whole message. */
static enum transport exchange(torpor *handle, const char *method, const char *params,
                               const char **answer, bool *too_long)
{
    char message[4096];
    struct text text = {message, 0, sizeof message, false};
    unsigned long id = handle->next_id++;
    put(&text, "{\"jsonrpc\":\"2.0\",\"id\":");
    put_number(&text, id);
    put(&text, ",\"method\":");
    put_quoted(&text, method);
    put(&text, ",\"params\":");
    put(&text, params == NULL ? "{}" : params);
    put(&text, "}\n");
    *too_long = text.cut;
    if (text.cut)
        return ANSWERED;
    if (!send_all(handle, message, text.used))
        return LOST;
    int64_t deadline = now_ms() + handle->timeout_ms;
    for (;;) {
        char *line;
        enum transport got = next_line(handle, deadline, &line);
        if (got != ANSWERED)
            return got;
        double found = number_member(line, "id", -1);
        /* A refusal of the whole connection has no id. */
        if (found == (double)id || (found < 0 && member(line, "error") != NULL)) {
            *answer = line;
            return ANSWERED;
        }
    }
}

/* ---- results ---- */

static enum torpor_outcome conclude(torpor_result *result, enum torpor_outcome outcome, const char *code,
                                    const char *message)
{
    result->outcome = outcome;
    copy(result->code, sizeof result->code, code);
    copy(result->message, sizeof result->message, message);
    return outcome;
}

static void clear(torpor_result *result)
{
    memset(result, 0, sizeof *result);
    result->pause_ms = -1;
}

static enum torpor_outcome unreachable(torpor_result *result)
{
    return conclude(result, TORPOR_FAILED, "agent-unreachable",
                    "The connection to the agent was lost and it can't be reached.");
}

/* Connects if there is no connection. False with the outcome in result. */
static bool have_connection(torpor *handle, torpor_result *result)
{
    if (!handle->inside) {
        conclude(result, TORPOR_UNAVAILABLE, "", "Not in a capsule: TORPOR_SOCKET names no socket.");
        return false;
    }
    if (handle->descriptor >= 0 || connect_once(handle) == 0)
        return true;
    conclude(result, TORPOR_UNAVAILABLE, "", "Nobody listens on the control socket now.");
    return false;
}

/* One request on a connection that may have ended since it was last used: then on a new one. */
static enum torpor_outcome ask(torpor *handle, const char *method, const char *params,
                               const char **answer, torpor_result *result)
{
    const char *message = NULL;
    bool too_long = false;
    clear(result);
    if (!have_connection(handle, result))
        return result->outcome;
    enum transport got = exchange(handle, method, params, &message, &too_long);
    if (got == LOST) {
        if (!reconnect(handle))
            return unreachable(result);
        got = exchange(handle, method, params, &message, &too_long);
    }
    if (too_long)
        return conclude(result, TORPOR_FAILED, "message-too-large", "The request is too long to be sent.");
    if (got == TIMED_OUT) {
        drop(handle); /* its answer may still come, and must not be taken for another's */
        return conclude(result, TORPOR_FAILED, "agent-unreachable", "The agent did not answer in time.");
    }
    if (got == LOST)
        return unreachable(result);
    const char *error = member(message, "error");
    if (error != NULL) {
        result->outcome = TORPOR_FAILED;
        string_member(error, "message", result->message, sizeof result->message);
        string_member(member(error, "data"), "code", result->code, sizeof result->code);
        return result->outcome;
    }
    *answer = member(message, "result");
    if (*answer == NULL)
        return conclude(result, TORPOR_FAILED, "internal", "The agent's answer has no result.");
    result->outcome = TORPOR_DONE;
    return result->outcome;
}

static enum torpor_outcome read_outcome(const char *answer, torpor_result *result)
{
    static const struct {
        const char *name;
        enum torpor_outcome outcome;
    } names[] = {
        {"saved", TORPOR_SAVED},     {"restored", TORPOR_RESTORED}, {"pending", TORPOR_PENDING},
        {"unknown", TORPOR_UNKNOWN}, {"failed", TORPOR_FAILED},     {"restoring", TORPOR_DONE},
    };
    char name[16];
    string_member(answer, "outcome", name, sizeof name);
    string_member(answer, "imageId", result->image_id, sizeof result->image_id);
    string_member(answer, "occurrence", result->occurrence, sizeof result->occurrence);
    string_member(answer, "code", result->code, sizeof result->code);
    string_member(answer, "message", result->message, sizeof result->message);
    result->pause_ms = number_member(answer, "pauseMs", -1);
    result->elapsed_ms = number_member(answer, "elapsedMs", 0);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strcmp(name, names[i].name) == 0)
            return result->outcome = names[i].outcome;
    return conclude(result, TORPOR_FAILED, "internal", "The agent's answer has no outcome that is known.");
}

static enum torpor_outcome ask_outcome(torpor *handle, const char *method, const char *params,
                                       torpor_result *result)
{
    const char *answer = NULL;
    if (ask(handle, method, params, &answer, result) == TORPOR_DONE)
        read_outcome(answer, result);
    return result->outcome;
}

/* ---- what is offered ---- */

void torpor_init(torpor *handle, int timeout_ms)
{
    const char *path = getenv("TORPOR_SOCKET");
    memset(handle, 0, offsetof(torpor, buffer));
    handle->descriptor = -1;
    handle->next_id = 1;
    handle->timeout_ms = timeout_ms > 0 ? timeout_ms : DEFAULT_TIMEOUT_MS;
    handle->reconnect_ms = RECONNECT_MS;
    handle->inside = path != NULL && path[0] != '\0' && strlen(path) < sizeof handle->path;
    if (handle->inside)
        copy(handle->path, sizeof handle->path, path);
    if (handle->inside && access(path, F_OK) != 0)
        handle->inside = false;
}

void torpor_close(torpor *handle)
{
    int before = errno;
    drop(handle);
    errno = before;
}

bool torpor_available(const torpor *handle)
{
    return handle->inside;
}

void torpor_ticket(char ticket[TORPOR_TICKET_SIZE])
{
    static const char hex[] = "0123456789abcdef";
    unsigned char random[16];
    int before = errno;
    size_t got = 0;
    while (got < sizeof random) {
        ssize_t more = getrandom(random + got, sizeof random - got, 0);
        if (more > 0)
            got += (size_t)more;
    }
    for (size_t i = 0; i < sizeof random; i++) {
        ticket[2 * i] = hex[random[i] >> 4];
        ticket[2 * i + 1] = hex[random[i] & 15];
    }
    ticket[2 * sizeof random] = '\0';
    errno = before;
}

enum torpor_outcome torpor_checkpoint(torpor *handle, const torpor_request *request, torpor_result *result)
{
    static const torpor_request defaults = {.keep = -1};
    char own_ticket[TORPOR_TICKET_SIZE], params[2048], by_ticket[128];
    struct text text = {params, 0, sizeof params, false};
    int before = errno;
    if (request == NULL)
        request = &defaults;
    clear(result);
    if (!have_connection(handle, result)) {
        errno = before;
        return result->outcome;
    }
    const char *ticket = request->ticket;
    if (ticket == NULL) {
        torpor_ticket(own_ticket);
        ticket = own_ticket;
    }
    put(&text, "{\"ticket\":");
    put_quoted(&text, ticket);
    struct text asked = {by_ticket, 0, sizeof by_ticket, false};
    put(&asked, params);
    put(&asked, "}");
    if (request->label != NULL) {
        put(&text, ",\"label\":");
        put_quoted(&text, request->label);
    }
    if (request->keep >= 0)
        put(&text, request->keep > 0 ? ",\"keep\":true" : ",\"keep\":false");
    if (request->no_wait)
        put(&text, ",\"wait\":false");
    put(&text, "}");
    if (text.cut || asked.cut) {
        errno = before;
        return conclude(result, TORPOR_FAILED, "invalid-params", "The label or the ticket is too long.");
    }
    /*
     * The end of the connection has one of three reasons: this is a later life, the agent was started
     * anew, or the connection had ended before it was used. The ticket tells them apart; where the agent
     * has not heard of it, or is still at it, asking again with the same ticket joins.
     */
    for (;;) {
        const char *message = NULL;
        bool too_long = false;
        enum transport got = exchange(handle, "checkpoint", params, &message, &too_long);
        if (got == ANSWERED && !too_long) {
            const char *error = member(message, "error");
            if (error == NULL) {
                read_outcome(member(message, "result"), result);
            } else {
                result->outcome = TORPOR_FAILED;
                string_member(error, "message", result->message, sizeof result->message);
                string_member(member(error, "data"), "code", result->code, sizeof result->code);
            }
            break;
        }
        if (got == TIMED_OUT || too_long) {
            drop(handle);
            conclude(result, TORPOR_FAILED, "agent-unreachable", "The agent did not answer in time.");
            break;
        }
        if (!reconnect(handle)) {
            unreachable(result);
            break;
        }
        ask_outcome(handle, "outcome", by_ticket, result);
        if (result->outcome != TORPOR_PENDING && result->outcome != TORPOR_UNKNOWN)
            break;
        if (!have_connection(handle, result))
            break;
    }
    errno = before;
    return result->outcome;
}

/* {"NAME":"VALUE"} */
static bool one_member(char *params, size_t size, const char *name, const char *value)
{
    struct text text = {params, 0, size, false};
    put(&text, "{");
    put_quoted(&text, name);
    put(&text, ":");
    put_quoted(&text, value);
    put(&text, "}");
    return !text.cut;
}

static enum torpor_outcome too_long(torpor_result *result)
{
    clear(result);
    return conclude(result, TORPOR_FAILED, "invalid-params", "A parameter is too long.");
}

enum torpor_outcome torpor_outcome_of(torpor *handle, const char *ticket, torpor_result *result)
{
    char params[128];
    int before = errno;
    if (!one_member(params, sizeof params, "ticket", ticket))
        return too_long(result);
    ask_outcome(handle, "outcome", params, result);
    errno = before;
    return result->outcome;
}

enum torpor_outcome torpor_restore(torpor *handle, const char *image, const char *label, torpor_result *result)
{
    char params[1024];
    int before = errno;
    const char *name = image != NULL ? "image" : "label";
    const char *value = image != NULL ? image : label != NULL ? label : "";
    if (!one_member(params, sizeof params, name, value))
        return too_long(result);
    ask_outcome(handle, "restore", params, result);
    errno = before;
    return result->outcome;
}

enum torpor_outcome torpor_call(torpor *handle, const char *method, const char *params,
                                const char **answer, torpor_result *result)
{
    int before = errno;
    ask(handle, method, params, answer, result);
    errno = before;
    return result->outcome;
}

enum torpor_outcome torpor_heartbeat(torpor *handle, torpor_result *result)
{
    const char *answer;
    return torpor_call(handle, "heartbeat", NULL, &answer, result);
}

enum torpor_outcome torpor_ready(torpor *handle, torpor_result *result)
{
    const char *answer;
    return torpor_call(handle, "ready", NULL, &answer, result);
}

enum torpor_outcome torpor_inhibit(torpor *handle, const char *reason, int timeout_ms,
                                   char token[TORPOR_TOKEN_SIZE], torpor_result *result)
{
    const char *answer;
    char params[TORPOR_TEXT_MAX * 2];
    struct text text = {params, 0, sizeof params, false};
    token[0] = '\0';
    put(&text, "{\"reason\":");
    put_quoted(&text, reason);
    put(&text, ",\"timeoutMs\":");
    put_number(&text, timeout_ms > 0 ? (unsigned long)timeout_ms : 0);
    put(&text, "}");
    if (text.cut)
        return too_long(result);
    if (torpor_call(handle, "inhibit", params, &answer, result) == TORPOR_DONE)
        string_member(answer, "token", token, TORPOR_TOKEN_SIZE);
    return result->outcome;
}

enum torpor_outcome torpor_allow(torpor *handle, const char *token, torpor_result *result)
{
    const char *answer;
    char params[128];
    if (!one_member(params, sizeof params, "token", token))
        return too_long(result);
    return torpor_call(handle, "allow", params, &answer, result);
}

const char *torpor_outcome_name(enum torpor_outcome outcome)
{
    static const char *const names[] = {"saved",       "restored", "pending", "done",
                                        "unavailable", "unknown",  "failed"};
    return (size_t)outcome < sizeof names / sizeof *names ? names[outcome] : "failed";
}
