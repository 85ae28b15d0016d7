/* What the filter answers: negotiation, replies, edits; each has to be the one right answer to the job. */
#include "connection.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MAX_REPLY (1u << 20)

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
    /* Both MTAs keep from a filter of an older version what that version does not know. */
    if (run->version < 4) run->protocol |= SMFIP_NODATA;
    struct symbols symbols = {{0}};
    read_symbols(run, c, &symbols, payload + 12, length - 12);
    if (c->phase == CLOSED) return;
    add_sample(&run->setup, now() - c->connect_started);
    run->sessions++;
    start_script(run, c, script_for(run, payload, length, &symbols));
}

/* An added field must be the one that the job makes of this very mail, and of the fields added before it. */
static void on_added_field(struct run *run, struct connection *c, const uint8_t *payload, size_t length)
{
    const struct options *o = &run->options;
    const struct mail *m = &run->mail;
    char want[128], got[256] = {0};
    if (o->job == JOB_NOOP || c->edits >= o->filters) {
        fail(run, c, "%d edits, expected %s", c->edits + 1, o->job == JOB_NOOP ? "none" : "one of each filter");
        return;
    }
    if (o->job == JOB_HEADERS) {
        snprintf(want, sizeof want, "fields=%d octets=%zu", m->fields + c->edits, m->field_octets + c->edit_octets);
    } else {
        uint32_t fnv = fnv1a(m->body_fnv, c->text + c->script->tail_offset, c->script->tail_length);
        snprintf(want, sizeof want, "octets=%zu fnv1a=%08x", m->body_length + c->script->tail_length, fnv);
    }
    if (length < 3 || length >= sizeof got || payload[length - 1]) {
        fail(run, c, "a header edit of %zu bytes, expected name, NUL, value, NUL in at most %zu", length, sizeof got);
        return;
    }
    static const char name[] = "X-Bench";
    memcpy(got, payload, length);
    const char *value = got + strlen(got) + 1;
    if (c->script->lead_space && *value == ' ') value++;
    if (length <= sizeof name || strcmp(got, name) || strcmp(value, want)) {
        fail(run, c, "the edit \"%.60s: %.100s\", expected one added field \"X-Bench: %s\"", got, value, want);
        return;
    }
    c->edits++;
    c->edit_octets += strlen(name) + strlen(want);
}

static void on_end_of_mail(struct run *run, struct connection *c)
{
    int edits = run->options.job == JOB_NOOP ? 0 : run->options.filters;
    if (c->edits != edits) {
        fail(run, c, "%d edits, expected %d", c->edits, edits);
        return;
    }
    run->finished++;
    run->frames += (long)c->script->frames_per_mail;
    if (run->counting) run->counted++;
    /* Whenever it ends: were only those counted that end in time, the slow ones would be missing. */
    if (c->mail_started >= run->counting_since) add_sample(&run->latency, now() - c->mail_started);
    c->mails++;
    c->all_mails++;
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
        size_t skip = code == 'i' && length >= 4 ? 4 : 0;
        on_added_field(run, c, payload + skip, length - skip);
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

void on_readable(struct run *run, struct connection *c)
{
    if (c->input_room - c->input_length < 4096) {
        c->input_room = c->input_room ? c->input_room * 2 : 8192;
        c->input = realloc(c->input, c->input_room);
        if (!c->input) fatal("no memory for replies");
    }
    ssize_t n = read(c->fd, c->input + c->input_length, c->input_room - c->input_length);
    if (n < 0 && errno == EAGAIN) return;
    if (n <= 0 && c->phase == LEAVING && !c->input_length) {
        reopen(run, c);
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

