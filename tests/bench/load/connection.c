#include "connection.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

#define MAX_REPLY (1u << 20)
#define MAX_PIECES 16
#define MAX_ERRORS_SHOWN 10

uint64_t now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static uint32_t u32(const uint8_t *b) { return (uint32_t)b[0] << 24 | b[1] << 16 | b[2] << 8 | b[3]; }

static void close_connection(struct run *run, struct connection *c)
{
    if (c->fd >= 0) close(c->fd);
    c->fd = -1;
    c->phase = CLOSED;
    run->open--;
}

void fail(struct run *run, struct connection *c, const char *format, ...)
{
    if (run->errors++ < MAX_ERRORS_SHOWN) {
        va_list args;
        fprintf(stderr, "load: connection %d, mail %d", (int)(c - run->connections), c->mails + 1);
        if (c->awaited) fprintf(stderr, ", reply to %c", c->awaited);
        fprintf(stderr, ": ");
        va_start(args, format);
        vfprintf(stderr, format, args);
        va_end(args);
        fprintf(stderr, "\n");
    }
    run->stopping = true; /* figures of a run with errors mean nothing */
    if (c->phase != CLOSED) close_connection(run, c);
}

static void watch(struct run *run, struct connection *c, int operation, bool write)
{
    struct epoll_event event = {.events = EPOLLIN | (write ? EPOLLOUT : 0u), .data.ptr = c};
    if (epoll_ctl(run->epoll, operation, c->fd, &event)) fatal("epoll_ctl: %s", strerror(errno));
    c->wants_write = write;
}

/* Writes straight from a small buffer: O and the last frames. They fit in any socket buffer. */
static bool send_small(struct run *run, struct connection *c, const void *bytes, size_t length)
{
    ssize_t n = send(c->fd, bytes, length, MSG_NOSIGNAL);
    if (n == (ssize_t)length) return true;
    fail(run, c, "could not write %zu bytes: %s", length, n < 0 ? strerror(errno) : "only a part was taken");
    return false;
}

static void negotiate(struct run *run, struct connection *c)
{
    static const uint8_t offer[] = {0, 0, 0, 13, 'O', 0, 0, 0, 6, 0, 0, 1, 0xff, 0, 0x1f, 0xff, 0xff};
    c->phase = NEGOTIATING;
    c->awaited = 'O';
    watch(run, c, EPOLL_CTL_MOD, false);
    send_small(run, c, offer, sizeof offer);
}

void open_connection(struct run *run, struct connection *c)
{
    int family = run->address.ss_family, one = 1;
    if (c->phase == CLOSED) {
        run->open++;
        c->phase = CONNECTING;
        c->connect_started = c->last_progress = now();
    }
    c->fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (c->fd < 0) fatal("socket: %s", strerror(errno));
    if (family == AF_INET && !run->options.real_tcp) setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    c->input_length = 0;
    c->mails = 0;
    c->awaited = 0;
    c->in_mail = false;
    if (!connect(c->fd, (struct sockaddr *)&run->address, run->address_length) || errno == EINPROGRESS) {
        c->phase = CONNECTING;
        watch(run, c, EPOLL_CTL_ADD, true);
    } else if (errno == EAGAIN) {
        close(c->fd);
        c->fd = -1;
        c->phase = BACKLOG_FULL;
    } else {
        fail(run, c, "could not connect to %s: %s", run->options.socket, strerror(errno));
    }
}

/* Writes what is left of the current step. False: the socket is full, or the connection was lost. */
static bool write_step(struct run *run, struct connection *c)
{
    const struct script *s = c->script;
    const struct step *step = &s->steps[c->step];
    while (c->written < step->length) {
        struct iovec parts[MAX_PIECES];
        uint32_t skip = c->written;
        int count = 0;
        for (uint32_t i = 0; i < step->pieces && count < MAX_PIECES; i++) {
            const struct piece *p = &s->pieces[step->first_piece + i];
            if (skip >= p->length) {
                skip -= p->length;
                continue;
            }
            uint8_t *base = p->shared ? run->mail.body : c->text;
            parts[count++] = (struct iovec){base + p->offset + skip, p->length - skip};
            skip = 0;
        }
        ssize_t n = count == 1 ? write(c->fd, parts[0].iov_base, parts[0].iov_len) : writev(c->fd, parts, count);
        if (n < 0 && errno == EAGAIN) {
            if (!c->wants_write) watch(run, c, EPOLL_CTL_MOD, true);
            return false;
        }
        if (n < 0) {
            fail(run, c, "could not write: %s", strerror(errno));
            return false;
        }
        c->written += (uint32_t)n;
    }
    if (c->wants_write) watch(run, c, EPOLL_CTL_MOD, false);
    return true;
}

static void leave(struct run *run, struct connection *c)
{
    static const uint8_t postfix[] = {0, 0, 0, 1, 'A', 0, 0, 0, 1, 'A', 0, 0, 0, 1, 'Q'};
    static const uint8_t sendmail[] = {0, 0, 0, 1, 'Q'};
    bool sent = run->options.dialect == POSTFIX ? send_small(run, c, postfix, sizeof postfix)
                                                : send_small(run, c, sendmail, sizeof sendmail);
    if (!sent) return;
    if (run->options.await_close) {
        c->phase = LEAVING;
    } else {
        close_connection(run, c);
        if (!run->stopping) open_connection(run, c);
    }
}

/* True: a mail was begun. False: the connection is done. */
static bool begin_mail(struct run *run, struct connection *c)
{
    const struct options *o = &run->options;
    bool all_started = o->messages && run->started >= o->messages;
    if (run->stopping || all_started || (o->per_connection && c->mails >= o->per_connection)) {
        if (all_started) run->stopping = true;
        leave(run, c);
        return false;
    }
    char id[ID_LENGTH + 1];
    snprintf(id, sizeof id, "4%010llX", (unsigned long long)(run->next_id++ & 0xffffffffffull));
    for (size_t i = 0; i < c->script->id_count; i++) memcpy(c->text + c->script->ids[i], id, ID_LENGTH);
    run->started++;
    c->mail_started = now();
    c->in_mail = true;
    c->skip_body = false;
    c->edits = 0;
    c->step = c->script->hello_steps;
    c->written = c->mails ? 0 : c->script->abort_length;
    return true;
}

/* Goes on until a reply is to be awaited or the socket is full. */
static void advance(struct run *run, struct connection *c)
{
    c->writes++;
    for (;;) {
        if (!c->in_mail && c->step >= c->script->hello_steps && !begin_mail(run, c)) return;
        if (!write_step(run, c)) return;
        c->awaited = c->script->steps[c->step].command;
        c->step++;
        c->written = 0;
        if (c->awaited) return;
    }
}

static void read_symbols(struct run *run, struct connection *c, struct symbols *symbols, const uint8_t *at, size_t left)
{
    while (left) {
        const uint8_t *end = left > 4 ? memchr(at + 4, 0, left - 4) : NULL;
        if (!end || u32(at) >= MAX_STAGES) {
            fail(run, c, "the macro lists of the reply to O are malformed, %zu bytes before their end", left);
            return;
        }
        symbols->names[u32(at)] = (char *)at + 4;
        left -= (size_t)(end + 1 - at);
        at = end + 1;
    }
}

/* Connections that negotiate the same share a script; a filter that gives many answers gets many scripts. */
static const struct script *script_for(struct run *run, const uint8_t *reply, size_t length, const struct symbols *symbols)
{
    static struct known {
        uint8_t reply[2048];
        size_t length;
        struct script *script;
    } known[8];
    static int count;
    for (int i = 0; i < count; i++)
        if (known[i].length == length && !memcmp(known[i].reply, reply, length)) return known[i].script;
    if (count == 8 || length > sizeof known[0].reply)
        fatal("the filter's reply to O is over %zu bytes, or differs from connection to connection", sizeof known[0].reply);
    struct script *script = build_script(&run->options, &run->mail, run->protocol, symbols);
    memcpy(known[count].reply, reply, length);
    known[count].length = length;
    known[count++].script = script;
    return script;
}

static void on_negotiated(struct run *run, struct connection *c, char code, const uint8_t *payload, size_t length)
{
    if (code != 'O' || length < 12) {
        fail(run, c, "answered with '%c' and %zu bytes, expected O and 12 bytes or more", code, length);
        return;
    }
    run->version = u32(payload);
    run->actions = u32(payload + 4);
    run->protocol = u32(payload + 8);
    bool needs_add = run->options.job != JOB_NOOP;
    if (run->version < 2 || run->version > OFFER_VERSION || run->actions & ~OFFER_ACTIONS ||
        run->protocol & ~OFFER_PROTOCOL || (needs_add && !(run->actions & SMFIF_ADDHDRS))) {
        fail(run, c, "negotiated version %u, actions 0x%x, protocol 0x%x; expected 2 to %u, at most 0x%x%s, at most 0x%x",
             run->version, run->actions, run->protocol, OFFER_VERSION, OFFER_ACTIONS,
             needs_add ? " and at least ADDHDRS (0x1)" : "", OFFER_PROTOCOL);
        return;
    }
    struct symbols symbols = {{0}};
    read_symbols(run, c, &symbols, payload + 12, length - 12);
    if (c->phase == CLOSED) return;
    add_sample(&run->setup, now() - c->connect_started);
    run->sessions++;
    c->script = script_for(run, payload, length, &symbols);
    if (c->text_room < c->script->text_length) {
        free(c->text);
        c->text = malloc(c->script->text_length);
        if (!c->text) fatal("no memory for the text of connection %d", (int)(c - run->connections));
        c->text_room = c->script->text_length;
    }
    memcpy(c->text, c->script->text, c->script->text_length);
    c->phase = TALKING;
    c->step = 0;
    c->written = 0;
    advance(run, c);
}

/* The edits must be those that the job makes of this very mail. */
static bool edits_right(struct run *run, struct connection *c)
{
    if (run->options.job == JOB_NOOP) {
        if (!c->edits) return true;
        fail(run, c, "%d edits, expected none", c->edits);
        return false;
    }
    char want[128];
    const struct mail *m = &run->mail;
    if (run->options.job == JOB_HEADERS) {
        snprintf(want, sizeof want, "fields=%d octets=%zu", m->fields, m->field_octets);
    } else {
        uint32_t fnv = fnv1a(m->body_fnv, c->text + c->script->tail_offset, c->script->tail_length);
        snprintf(want, sizeof want, "octets=%zu fnv1a=%08x", m->body_length + c->script->tail_length, fnv);
    }
    static const char name[] = "X-Bench";
    const char *value = c->edit + sizeof name;
    bool shape = c->edits == 1 && c->edit_length > sizeof name && !memcmp(c->edit, name, sizeof name);
    if (shape && c->script->lead_space && *value == ' ') value++;
    if (shape && !strcmp(value, want)) return true;
    fail(run, c, "%d edits, the last \"%.60s: %.100s\"; expected one added field \"X-Bench: %s\"", c->edits, c->edit,
         c->edits ? c->edit + strlen(c->edit) + 1 : "", want);
    return false;
}

static void on_end_of_mail(struct run *run, struct connection *c)
{
    if (!edits_right(run, c)) return;
    uint64_t time = now();
    run->finished++;
    run->frames += (long)c->script->frames_per_mail;
    if (run->counting) {
        run->counted++;
        if (c->mail_started >= run->counting_since) add_sample(&run->latency, time - c->mail_started);
    }
    c->mails++;
    c->in_mail = false;
    c->awaited = 0;
    advance(run, c);
}

static void on_reply(struct run *run, struct connection *c, char code, const uint8_t *payload, size_t length)
{
    run->replies++;
    if (!c->awaited) {
        fail(run, c, "sent '%c' (%zu bytes) that no command asked for", code, length);
    } else if (c->awaited == 'O') {
        on_negotiated(run, c, code, payload, length);
    } else if (c->awaited == 'E' && code == 'p') {
        c->last_progress = now();
    } else if (c->awaited == 'E' && (code == 'h' || code == 'i')) {
        size_t skip = code == 'i' ? 4 : 0;
        c->edits++;
        c->edit_length = length - skip;
        if (length < skip + 3 || c->edit_length >= sizeof c->edit || payload[length - 1]) {
            fail(run, c, "a header edit of %zu bytes, expected name, NUL, value, NUL in at most %zu", length, sizeof c->edit);
            return;
        }
        memcpy(c->edit, payload + skip, c->edit_length);
        c->edit[c->edit_length] = 0;
    } else if (c->awaited == 'E' && (code == 'c' || code == 'a') && !length) {
        on_end_of_mail(run, c);
    } else if (c->awaited == 'B' && code == 's' && run->protocol & SMFIP_SKIP && !length) {
        /* the filter has seen enough: on to the write that ends with E */
        while (c->script->steps[c->step].command == 'B') c->step++;
        advance(run, c);
    } else if (c->awaited != 'E' && code == 'c' && !length) {
        advance(run, c);
    } else {
        fail(run, c, "'%c' (0x%02x) with %zu bytes, which this job never answers here", code, (uint8_t)code, length);
    }
}

static void on_readable(struct run *run, struct connection *c)
{
    if (c->input_room - c->input_length < 4096) {
        c->input_room = c->input_room ? c->input_room * 2 : 8192;
        c->input = realloc(c->input, c->input_room);
        if (!c->input) fatal("no memory for replies");
    }
    ssize_t n = read(c->fd, c->input + c->input_length, c->input_room - c->input_length);
    if (n < 0 && errno == EAGAIN) return;
    if (n <= 0 && c->phase == LEAVING && !c->input_length) {
        close_connection(run, c);
        if (!run->stopping) open_connection(run, c);
        return;
    }
    if (n <= 0) {
        fail(run, c, "the filter closed the connection: %s", n ? strerror(errno) : "end of file");
        return;
    }
    c->input_length += (size_t)n;
    c->last_progress = now();
    size_t at = 0, total = c->input_length;
    uint64_t writes = c->writes;
    while (total - at >= 5) {
        uint32_t length = u32(c->input + at);
        if (!length || length > MAX_REPLY) {
            fail(run, c, "a reply of length %u, expected 1 to %u", length, MAX_REPLY);
            return;
        }
        if (total - at < 4 + (size_t)length) break;
        on_reply(run, c, (char)c->input[at + 4], c->input + at + 5, length - 1);
        at += 4 + (size_t)length;
        /* What came in the same read after the answer that let us go on cannot answer anything. */
        if (c->writes != writes && at < total) {
            fail(run, c, "%zu bytes more than the one reply that was due", total - at);
            return;
        }
        /* closed, or closed and opened again */
        if (c->phase < NEGOTIATING) return;
    }
    memmove(c->input, c->input + at, total - at);
    c->input_length = total - at;
    if (c->awaited == 'E' && c->writes == writes && run->address.ss_family == AF_INET && !run->options.real_tcp) {
        /* A filter that writes edit and verdict apart, Nagle on, waits for our ACK, which would be 40 ms late. */
        int one = 1;
        setsockopt(c->fd, IPPROTO_TCP, TCP_QUICKACK, &one, sizeof one);
    }
}

void on_ready(struct run *run, struct connection *c, uint32_t events)
{
    if (c->phase == CONNECTING) {
        int error = 0;
        socklen_t size = sizeof error;
        getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &error, &size);
        if (error) fail(run, c, "could not connect to %s: %s", run->options.socket, strerror(error));
        else if (events & EPOLLOUT) negotiate(run, c);
        return;
    }
    if (events & EPOLLOUT && c->phase == TALKING) advance(run, c);
    if (events & (EPOLLIN | EPOLLHUP | EPOLLERR) && c->fd >= 0 && c->phase >= NEGOTIATING) on_readable(run, c);
}
