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

#define MAX_PIECES 16
#define MAX_ERRORS_SHOWN 10

uint64_t now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

uint32_t u32(const uint8_t *b) { return (uint32_t)b[0] << 24 | b[1] << 16 | b[2] << 8 | b[3]; }

void close_connection(struct run *run, struct connection *c)
{
    if (c->fd >= 0) close(c->fd);
    c->fd = -1;
    c->phase = CLOSED;
    run->open--;
}

/* Its place is taken by a new connection, as long as there is work. */
void reopen(struct run *run, struct connection *c)
{
    close_connection(run, c);
    if (!run->stopping) open_connection(run, c);
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
    if (run->options.await_close) c->phase = LEAVING;
    else reopen(run, c);
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
    c->edits = 0;
    c->edit_octets = 0;
    c->step = c->script->hello_steps;
    c->written = c->mails ? 0 : c->script->abort_length;
    return true;
}

static bool hold_here(const struct run *run, const struct connection *c)
{
    if (run->gathering || run->options.hold == HOLD_HELLO) return !c->in_mail && c->step >= c->script->hello_steps;
    return run->options.hold == HOLD_HEADER && c->in_mail && c->step >= c->script->body_steps;
}

/* From the first frame after the negotiation on. */
void start_script(struct run *run, struct connection *c, const struct script *script)
{
    c->script = script;
    if (c->text_room < script->text_length) {
        free(c->text);
        c->text = malloc(script->text_length);
        if (!c->text) fatal("no memory for the text of connection %d", (int)(c - run->connections));
        c->text_room = script->text_length;
    }
    memcpy(c->text, script->text, script->text_length);
    c->phase = TALKING;
    c->step = 0;
    c->written = 0;
    advance(run, c);
}

/* Goes on until a reply is to be awaited or the socket is full. */
void advance(struct run *run, struct connection *c)
{
    c->writes++;
    for (;;) {
        if (hold_here(run, c)) {
            c->phase = HELD;
            c->awaited = 0;
            run->held++;
            return;
        }
        if (!c->in_mail && c->step >= c->script->hello_steps && !begin_mail(run, c)) return;
        if (!write_step(run, c)) return;
        c->awaited = c->script->steps[c->step].command;
        c->step++;
        c->written = 0;
        if (c->awaited) return;
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
