/* One connection to the filter: its state, and what to do when its socket is ready. */
#ifndef CONNECTION_H
#define CONNECTION_H

#include "load.h"

#include <sys/socket.h>

enum phase {
    CLOSED,
    BACKLOG_FULL, /* a Unix socket whose queue was full: connect again later */
    CONNECTING,
    NEGOTIATING,
    TALKING,
    HELD,   /* nothing more is sent, for now or with --hold for ever */
    LEAVING /* Q is sent; the filter closes */
};

struct connection {
    int fd;
    enum phase phase;
    bool wants_write;
    const struct script *script;
    uint8_t *text; /* own copy of the script's, with the queue ids of the mail under way */
    size_t text_room;
    uint32_t step;
    uint32_t written;    /* bytes of the step's write that are out */
    uint64_t writes;     /* times that a reply let us go on */
    char awaited;        /* command whose reply is due, or 0 */
    bool in_mail;
    int mails;           /* on this connection */
    long all_mails;      /* and on those before in its place */
    int edits;           /* in the answer to E so far */
    size_t edit_octets;  /* names and values of the fields that they added */
    uint64_t connect_started, mail_started, last_progress;
    uint8_t *input;
    size_t input_length, input_room;
};

struct run {
    struct options options;
    struct mail mail;
    struct sockaddr_storage address;
    socklen_t address_length;
    int epoll;
    struct connection *connections;
    int open;            /* connections that are not CLOSED */
    int held;            /* connections that are HELD */
    bool gathering;      /* none may begin a mail before all are up */
    bool stopping;       /* no new mail is started */
    bool counting;       /* inside the measured time */
    uint64_t counting_since, counting_until; /* UINT64_MAX and 0 before they are known */
    double parts;        /* mails that those under way make at the end of the measured time, less those at its start */
    long started, finished, counted, sessions, replies, frames, errors;
    uint32_t version, actions, protocol; /* as last negotiated */
    uint64_t next_id;
    struct samples latency, setup;
};

uint64_t now(void);
uint32_t u32(const uint8_t *b);
void open_connection(struct run *run, struct connection *c);
void close_connection(struct run *run, struct connection *c);
void reopen(struct run *run, struct connection *c);
void start_script(struct run *run, struct connection *c, const struct script *script);
void advance(struct run *run, struct connection *c);
void on_readable(struct run *run, struct connection *c); /* answers.c */
void on_ready(struct run *run, struct connection *c, uint32_t events);
void fail(struct run *run, struct connection *c, const char *format, ...) __attribute__((format(printf, 3, 4)));

#endif
