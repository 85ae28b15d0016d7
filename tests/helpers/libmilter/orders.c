/* A filter on libmilter that does what the mail's sender orders: <VERDICT-STAGE@...>, as in <reject-rcpt@...>, or
 * <edit@...> for one edit of each kind, or <slow@...> for five seconds at the end with signs of life. It logs its
 * callbacks in order, one letter each, into header X-Calls.
 *   cc -o orders orders.c -lmilter -lpthread      (Debian: libmilter-dev)
 *   ./orders inet:PORT@127.0.0.1|unix:PATH */
#include <libmilter/mfapi.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct state {
    char order[64]; /* what the sender asks for */
    char calls[256];
    char id[64]; /* macro i at the end */
    int mails, aborts;
};

static struct state *state_of(SMFICTX *ctx)
{
    struct state *state = smfi_getpriv(ctx);
    if (!state) {
        state = calloc(1, sizeof *state);
        if (!state) abort();
        smfi_setpriv(ctx, state);
    }
    return state;
}

static void note(struct state *state, const char *letter)
{
    if (strlen(state->calls) + 1 < sizeof state->calls) strcat(state->calls, letter);
}

/* The verdict ordered for a stage. */
static sfsistat verdict(SMFICTX *ctx, const char *stage)
{
    struct state *state = state_of(ctx);
    const char *dash = strchr(state->order, '-');
    if (!dash || strcmp(dash + 1, stage)) return SMFIS_CONTINUE;
    size_t length = (size_t)(dash - state->order);
#define IS(word) (length == strlen(word) && !strncmp(state->order, word, length))
    if (IS("accept")) return SMFIS_ACCEPT;
    if (IS("reject")) return SMFIS_REJECT;
    if (IS("tempfail")) return SMFIS_TEMPFAIL;
    if (IS("discard")) return SMFIS_DISCARD;
    if (IS("skip")) return SMFIS_SKIP;
    if (IS("text")) {
        smfi_setreply(ctx, "554", "5.7.1", "100%% no");
        return SMFIS_REJECT;
    }
    if (IS("lines")) {
        smfi_setmlreply(ctx, "451", "4.7.1", "one", "two", NULL);
        return SMFIS_TEMPFAIL;
    }
    return SMFIS_CONTINUE;
}

static sfsistat on_connect(SMFICTX *ctx, char *host, _SOCK_ADDR *address)
{
    (void)host, (void)address;
    note(state_of(ctx), "C");
    return SMFIS_CONTINUE;
}
static sfsistat on_helo(SMFICTX *ctx, char *name)
{
    note(state_of(ctx), "H");
    return strcmp(name, "reject.example") ? SMFIS_CONTINUE : SMFIS_REJECT;
}
static sfsistat on_mail(SMFICTX *ctx, char **arguments)
{
    struct state *state = state_of(ctx);
    const char *at = strchr(arguments[0], '@');
    snprintf(state->order, sizeof state->order, "%.*s", at ? (int)(at - arguments[0] - 1) : 0, arguments[0] + 1);
    note(state, "M");
    return verdict(ctx, "mail");
}
static sfsistat on_rcpt(SMFICTX *ctx, char **arguments)
{
    note(state_of(ctx), "R");
    return strstr(arguments[0], "nobody") ? SMFIS_REJECT : verdict(ctx, "rcpt");
}
static sfsistat on_data(SMFICTX *ctx)
{
    note(state_of(ctx), "T");
    return verdict(ctx, "data");
}
static sfsistat on_header(SMFICTX *ctx, char *name, char *value)
{
    (void)name, (void)value;
    note(state_of(ctx), "L");
    return verdict(ctx, "header");
}
static sfsistat on_eoh(SMFICTX *ctx)
{
    note(state_of(ctx), "N");
    return verdict(ctx, "endOfHeaders");
}
static sfsistat on_body(SMFICTX *ctx, unsigned char *bytes, size_t length)
{
    (void)bytes, (void)length;
    note(state_of(ctx), "B");
    return verdict(ctx, "body");
}
static sfsistat on_eom(SMFICTX *ctx)
{
    struct state *state = state_of(ctx);
    char *id = smfi_getsymval(ctx, "i");
    char text[400];
    note(state, "E");
    snprintf(text, sizeof text, "%s aborts=%d mails=%d i=%s", state->calls, state->aborts, ++state->mails,
             id ? id : "none");
    state->calls[0] = 0;
    if (smfi_progress(ctx) != MI_SUCCESS || smfi_addheader(ctx, "X-Calls", text) != MI_SUCCESS) return SMFIS_TEMPFAIL;
    if (!strcmp(state->order, "edit")) {
        if (smfi_insheader(ctx, 0, "X-Top", "a\n b") != MI_SUCCESS || smfi_chgheader(ctx, "Subject", 1, "changed") != MI_SUCCESS ||
            smfi_chgheader(ctx, "X-Gone", 1, NULL) != MI_SUCCESS || smfi_addrcpt(ctx, "<new@example.com>") != MI_SUCCESS ||
            smfi_addrcpt_par(ctx, "<par@example.com>", "NOTIFY=NEVER") != MI_SUCCESS ||
            smfi_delrcpt(ctx, "<recipient@example.com>") != MI_SUCCESS || smfi_chgfrom(ctx, "<>", NULL) != MI_SUCCESS ||
            smfi_quarantine(ctx, "looks odd") != MI_SUCCESS)
            return SMFIS_TEMPFAIL;
        for (int i = 0; i < 3; i++)
            if (smfi_replacebody(ctx, (unsigned char *)"line\r\n", 6) != MI_SUCCESS) return SMFIS_TEMPFAIL;
    }
    if (!strcmp(state->order, "slow"))
        for (int i = 0; i < 25; i++) {
            usleep(200000);
            if (smfi_progress(ctx) != MI_SUCCESS) return SMFIS_TEMPFAIL;
        }
    return verdict(ctx, "endOfMessage");
}
static sfsistat on_unknown(SMFICTX *ctx, const char *text)
{
    (void)ctx;
    return strncmp(text, "FORBIDDEN", 9) ? SMFIS_CONTINUE : SMFIS_REJECT;
}
static sfsistat on_abort(SMFICTX *ctx)
{
    struct state *state = state_of(ctx);
    state->aborts++;
    state->calls[0] = 0;
    return SMFIS_CONTINUE;
}
static sfsistat on_close(SMFICTX *ctx)
{
    free(smfi_getpriv(ctx));
    smfi_setpriv(ctx, NULL);
    return SMFIS_CONTINUE;
}

int main(int argc, char **argv)
{
    struct smfiDesc filter = {.xxfi_name = "orders",
                              .xxfi_version = SMFI_VERSION,
                              .xxfi_flags = SMFIF_ADDHDRS | SMFIF_CHGHDRS | SMFIF_CHGBODY | SMFIF_ADDRCPT | SMFIF_ADDRCPT_PAR |
                                            SMFIF_DELRCPT | SMFIF_CHGFROM | SMFIF_QUARANTINE,
                              .xxfi_connect = on_connect,
                              .xxfi_helo = on_helo,
                              .xxfi_envfrom = on_mail,
                              .xxfi_envrcpt = on_rcpt,
                              .xxfi_data = on_data,
                              .xxfi_header = on_header,
                              .xxfi_eoh = on_eoh,
                              .xxfi_body = on_body,
                              .xxfi_eom = on_eom,
                              .xxfi_unknown = on_unknown,
                              .xxfi_abort = on_abort,
                              .xxfi_close = on_close};
    if (argc != 2) {
        fprintf(stderr, "usage: orders inet:PORT@ADDRESS|unix:PATH\n");
        return 2;
    }
    if (smfi_setconn(argv[1]) != MI_SUCCESS || smfi_register(filter) != MI_SUCCESS || smfi_opensocket(1) != MI_SUCCESS) {
        fprintf(stderr, "orders: could not set up a filter on \"%s\"\n", argv[1]);
        return 1;
    }
    /* Whoever started it waits for this line. */
    puts("ready");
    fflush(stdout);
    return smfi_main() == MI_SUCCESS ? 0 : 1;
}
