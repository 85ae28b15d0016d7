/* The benchmark's jobs as a C filter on libmilter, written as its manual teaches.
 *   cc -O2 -o libmilter libmilter.c -lmilter -lpthread      (Debian: libmilter-dev)
 *   ./libmilter inet:PORT@127.0.0.1|unix:PATH noop|headers|headers-nr|body */
#include <libmilter/mfapi.h>

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What a connection remembers of the mail under way. */
struct state {
    unsigned fields;
    size_t octets;
    uint32_t hash;
};

static void begin(struct state *state) { *state = (struct state){.hash = 2166136261u}; }

static struct state *state_of(SMFICTX *ctx)
{
    struct state *state = smfi_getpriv(ctx);
    if (!state && (state = malloc(sizeof *state))) {
        begin(state);
        smfi_setpriv(ctx, state);
    }
    return state;
}

static sfsistat on_close(SMFICTX *ctx)
{
    free(smfi_getpriv(ctx));
    smfi_setpriv(ctx, NULL);
    return SMFIS_CONTINUE;
}

static sfsistat on_abort(SMFICTX *ctx)
{
    struct state *state = smfi_getpriv(ctx);
    if (state) begin(state);
    return SMFIS_CONTINUE;
}

/* noop: every event comes and is answered, nothing is done */
static sfsistat noop_connect(SMFICTX *ctx, char *host, _SOCK_ADDR *address)
{
    (void)ctx, (void)host, (void)address;
    return SMFIS_CONTINUE;
}
static sfsistat noop_text(SMFICTX *ctx, char *text)
{
    (void)ctx, (void)text;
    return SMFIS_CONTINUE;
}
static sfsistat noop_unknown(SMFICTX *ctx, const char *text)
{
    (void)ctx, (void)text;
    return SMFIS_CONTINUE;
}
static sfsistat noop_envelope(SMFICTX *ctx, char **arguments)
{
    (void)ctx, (void)arguments;
    return SMFIS_CONTINUE;
}
static sfsistat noop_header(SMFICTX *ctx, char *name, char *value)
{
    (void)ctx, (void)name, (void)value;
    return SMFIS_CONTINUE;
}
static sfsistat noop_body(SMFICTX *ctx, unsigned char *bytes, size_t length)
{
    (void)ctx, (void)bytes, (void)length;
    return SMFIS_CONTINUE;
}
static sfsistat noop_event(SMFICTX *ctx)
{
    (void)ctx;
    return SMFIS_CONTINUE;
}

/* headers: looks at each field, adds one at the end */
static sfsistat on_header(SMFICTX *ctx, char *name, char *value)
{
    struct state *state = state_of(ctx);
    if (!state) return SMFIS_TEMPFAIL;
    state->fields++;
    state->octets += strlen(name);
    for (const char *at = value; *at; at++) state->octets += *at != '\n'; /* the value unfolded */
    return SMFIS_CONTINUE;
}
static sfsistat on_header_unanswered(SMFICTX *ctx, char *name, char *value)
{
    on_header(ctx, name, value);
    return SMFIS_NOREPLY;
}
static sfsistat headers_end(SMFICTX *ctx)
{
    struct state *state = state_of(ctx);
    char text[64];
    if (!state) return SMFIS_TEMPFAIL;
    snprintf(text, sizeof text, "fields=%u octets=%zu", state->fields, state->octets);
    begin(state);
    return smfi_addheader(ctx, "X-Bench", text) == MI_SUCCESS ? SMFIS_CONTINUE : SMFIS_TEMPFAIL;
}
/* headers-nr: the same, with no answer to any header, as a filter that knows the protocol well may ask */
static sfsistat ask_no_replies(SMFICTX *ctx, unsigned long actions, unsigned long steps, unsigned long f2,
                               unsigned long f3, unsigned long *want_actions, unsigned long *want_steps,
                               unsigned long *want_f2, unsigned long *want_f3)
{
    (void)ctx, (void)f2, (void)f3;
    *want_actions = actions & SMFIF_ADDHDRS;
    *want_steps = steps & (SMFIP_NOCONNECT | SMFIP_NOHELO | SMFIP_NOMAIL | SMFIP_NORCPT | SMFIP_NODATA | SMFIP_NOUNKNOWN |
                           SMFIP_NOEOH | SMFIP_NOBODY | SMFIP_NR_HDR);
    *want_f2 = *want_f3 = 0;
    return SMFIS_CONTINUE;
}

/* body: hashes every octet, adds one field at the end */
static sfsistat on_body(SMFICTX *ctx, unsigned char *bytes, size_t length)
{
    struct state *state = state_of(ctx);
    if (!state) return SMFIS_TEMPFAIL;
    uint32_t hash = state->hash;
    for (size_t i = 0; i < length; i++) hash = (hash ^ bytes[i]) * 16777619u;
    state->hash = hash;
    state->octets += length;
    return SMFIS_CONTINUE;
}
static sfsistat body_end(SMFICTX *ctx)
{
    struct state *state = state_of(ctx);
    char text[64];
    if (!state) return SMFIS_TEMPFAIL;
    snprintf(text, sizeof text, "octets=%zu fnv1a=%08x", state->octets, state->hash);
    begin(state);
    return smfi_addheader(ctx, "X-Bench", text) == MI_SUCCESS ? SMFIS_CONTINUE : SMFIS_TEMPFAIL;
}

static struct smfiDesc job_named(const char *name)
{
    struct smfiDesc noop = {.xxfi_connect = noop_connect, .xxfi_helo = noop_text, .xxfi_envfrom = noop_envelope,
                            .xxfi_envrcpt = noop_envelope, .xxfi_header = noop_header, .xxfi_eoh = noop_event,
                            .xxfi_body = noop_body, .xxfi_eom = noop_event, .xxfi_abort = noop_event,
                            .xxfi_close = noop_event, .xxfi_unknown = noop_unknown, .xxfi_data = noop_event};
    struct smfiDesc headers = {.xxfi_flags = SMFIF_ADDHDRS, .xxfi_header = on_header, .xxfi_eom = headers_end,
                               .xxfi_abort = on_abort, .xxfi_close = on_close};
    struct smfiDesc body = {.xxfi_flags = SMFIF_ADDHDRS, .xxfi_body = on_body, .xxfi_eom = body_end,
                            .xxfi_abort = on_abort, .xxfi_close = on_close};
    if (!strcmp(name, "noop")) return noop;
    if (!strcmp(name, "body")) return body;
    if (!strcmp(name, "headers-nr")) {
        headers.xxfi_header = on_header_unanswered;
        headers.xxfi_negotiate = ask_no_replies;
        return headers;
    }
    if (!strcmp(name, "headers")) return headers;
    fprintf(stderr, "libmilter: job \"%s\" is unknown, expected noop, headers, headers-nr or body\n", name);
    exit(2);
}

int main(int argc, char **argv)
{
    if (argc == 2 && !strcmp(argv[1], "--version")) {
        unsigned major, minor, patch;
        smfi_version(&major, &minor, &patch);
        printf("%u.%u.%u\n", major, minor, patch);
        return 0;
    }
    if (argc != 3) {
        fprintf(stderr, "usage: libmilter inet:PORT@ADDRESS|unix:PATH noop|headers|headers-nr|body\n");
        return 2;
    }
    struct smfiDesc filter = job_named(argv[2]);
    filter.xxfi_name = "bench";
    filter.xxfi_version = SMFI_VERSION;
    /* libmilter's own backlog of 20 would make 200 connections at once a test of retries */
    if (smfi_setconn(argv[1]) != MI_SUCCESS || smfi_setbacklog(1024) != MI_SUCCESS || smfi_register(filter) != MI_SUCCESS ||
        smfi_opensocket(1) != MI_SUCCESS) {
        fprintf(stderr, "libmilter: could not set up a filter on \"%s\"\n", argv[1]);
        return 1;
    }
    return smfi_main() == MI_SUCCESS ? 0 : 1;
}
