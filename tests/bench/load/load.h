/* Load generator for milters: the MTA's side of the protocol, as Postfix or Sendmail speak it.
 * Plain C with epoll and one thread, so that it costs little beside the filter that it measures. */
#ifndef LOAD_H
#define LOAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

enum dialect { POSTFIX, SENDMAIL };

/* What the filter under test is written to do; decides the one right answer to the end of a mail. */
enum job {
    JOB_NOOP,    /* no edit */
    JOB_HEADERS, /* one added field: X-Bench: fields=N octets=N, names and unfolded values of all header fields */
    JOB_BODY     /* one added field: X-Bench: octets=N fnv1a=HEX, over the whole body */
};

#define OFFER_VERSION 6u
#define OFFER_ACTIONS 0x1ffu
#define OFFER_PROTOCOL 0x1fffffu

/* Where --hold stops: in the middle of an SMTP session, as a client that thinks leaves it. */
enum hold {
    HOLD_NOT,
    HOLD_HELLO, /* connected and greeted, no mail begun */
    HOLD_HEADER /* envelope and header are sent, the body is not */
};

#define SMFIF_ADDHDRS 0x1u
#define SMFIP_NOCONNECT 0x1u
#define SMFIP_NOHELO 0x2u
#define SMFIP_NOMAIL 0x4u
#define SMFIP_NORCPT 0x8u
#define SMFIP_NOBODY 0x10u
#define SMFIP_NOHDRS 0x20u
#define SMFIP_NOEOH 0x40u
#define SMFIP_NR_HDR 0x80u
#define SMFIP_NODATA 0x200u
#define SMFIP_SKIP 0x400u
#define SMFIP_NR_CONN 0x1000u
#define SMFIP_NR_HELO 0x2000u
#define SMFIP_NR_MAIL 0x4000u
#define SMFIP_NR_RCPT 0x8000u
#define SMFIP_NR_DATA 0x10000u
#define SMFIP_NR_EOH 0x40000u
#define SMFIP_NR_BODY 0x80000u
#define SMFIP_HDR_LEADSPC 0x100000u

#define ID_LENGTH 11 /* a queue id, as long as Postfix makes them by default */
#define CHUNK 65535  /* largest body payload of one frame, both MTAs */
#define MAX_STAGES 7 /* stages that SETSYMLIST can name */

struct options {
    const char *socket;
    enum dialect dialect;
    enum job job;
    int connections;
    double seconds; /* measured time at least */
    double warmup;  /* seconds before the measured time */
    long messages;  /* 0: until the time is over */
    int per_connection; /* mails before the connection is closed and opened again; 0: never */
    size_t body;    /* octets of each body */
    int headers;    /* header fields of each mail */
    int filters;    /* filters that do the job one after the other: each adds its field to what the one before left */
    enum hold hold;
    bool real_tcp;  /* leave Nagle and delayed ACK as the MTAs have them */
    bool await_close; /* after Q wait until the filter closes, to see surplus replies */
    double patience; /* seconds without an answer that count as an error */
};

/* A run of bytes: in the connection's own text (which holds the queue ids) or in the shared body. */
struct piece {
    uint32_t offset;
    uint32_t length;
    bool shared;
};

/* One write; then, if `command` is not 0, the wait for the reply to that command. */
struct step {
    uint32_t first_piece;
    uint32_t pieces;
    uint32_t length;
    char command;
};

/* Everything that one connection sends after the negotiation, which decides what is left out. */
struct script {
    uint8_t *text;
    size_t text_length, text_room;
    struct piece *pieces;
    size_t piece_count, piece_room;
    struct step *steps;
    size_t step_count, step_room;
    uint32_t *ids; /* where in `text` a queue id stands */
    size_t id_count, id_room;
    uint32_t hello_steps; /* steps before this one: once per connection; from it on: each mail */
    uint32_t body_steps;  /* with HOLD_HEADER: the step where the body begins */
    uint32_t abort_length; /* the mail part begins with this many bytes of A, left out before the first mail */
    uint64_t frames_per_mail;
    uint32_t tail_offset, tail_length; /* last octets of the body: they hold the queue id */
    bool lead_space;
};

/* The macros that the filter asked for, by stage number; NULL: the MTA's own choice. */
struct symbols {
    char *names[MAX_STAGES];
};

/* What every mail has in common, whatever is negotiated. */
struct mail {
    uint8_t *body;       /* all octets but the tail */
    size_t body_length;
    uint32_t body_fnv;   /* of `body` */
    int fields;
    size_t field_octets; /* names and unfolded values: no line ends, no blank at the start */
};

#define FNV_START 2166136261u
uint32_t fnv1a(uint32_t hash, const uint8_t *bytes, size_t length);

void prepare_mail(struct mail *mail, const struct options *options);
struct script *build_script(const struct options *options, struct mail *mail, uint32_t protocol,
                            const struct symbols *symbols);

struct samples {
    uint32_t *values; /* units of 100 ns */
    size_t count, room;
};
void add_sample(struct samples *samples, uint64_t nanoseconds);
double percentile(struct samples *samples, double part); /* microseconds; sorts */

void *more(void *array, size_t count, size_t *room, size_t size);
void fatal(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn));

#endif
