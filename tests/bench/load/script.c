/* The frames of a mail as Postfix 3.7 and Sendmail 8.17 send them in their default configuration: which macros
 * at which stage, which frames share a write, and what the negotiation takes away. */
#include "load.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ID "@@@@@@@@@@@" /* replaced by each mail's queue id */

struct macro {
    const char *name;
    const char *value;
};

/* Indexed by the stage numbers of SETSYMLIST. */
static const struct macro postfix_macros[MAX_STAGES][6] = {
    {{"j", "mx.example.test"}, {"{daemon_name}", "mx.example.test"}, {"{daemon_addr}", "127.0.0.1"},
     {"v", "Postfix 3.7.11"}, {"_", "client.example.org [192.0.2.7]"}},
    {{0}},
    {{"{mail_addr}", "sender@example.org"}, {"{mail_host}", "example.org"}, {"{mail_mailer}", "smtp"}},
    {{"{rcpt_addr}", "rcpt@example.test"}, {"{rcpt_host}", "example.test"}, {"{rcpt_mailer}", "virtual"}},
    {{"i", ID}},
    {{"i", ID}},
    {{"i", ID}},
};
static const struct macro sendmail_macros[MAX_STAGES][6] = {
    {{"j", "mx.example.test"}, {"_", "client.example.org [192.0.2.7]"}, {"{daemon_name}", "MTA"},
     {"{if_name}", "localhost"}},
    {{0}},
    {{"i", ID}, {"{mail_mailer}", "esmtp"}, {"{mail_host}", "example.org."}, {"{mail_addr}", "sender@example.org"}},
    {{"{rcpt_mailer}", "local"}, {"{rcpt_host}", ""}, {"{rcpt_addr}", "rcpt"}},
    {{0}},
    {{"{msg_id}", "<" ID "@mail.example.org>"}},
    {{0}},
};

/* A mail as it arrives from another server. Fields after these are made up: X-Field-N. */
static const char *const fields[][2] = {
    {"Received", "from mail.example.org (mail.example.org [192.0.2.7])\n\tby relay.example.org (Postfix) with "
                 "ESMTPS id " ID "\n\tfor <rcpt@example.test>; Sun, 22 Nov 2026 07:30:08 +0000 (UTC)"},
    {"Received", "from desk.example.org (desk.example.org [198.51.100.23])\n\tby mail.example.org (Postfix) "
                 "with ESMTPSA id 4C1D2E3F\n\tfor <rcpt@example.test>; Sun, 22 Nov 2026 07:30:07 +0000 (UTC)"},
    {"DKIM-Signature", "v=1; a=rsa-sha256; c=relaxed/simple; d=example.org; s=2026;\n\tt=1795333807; "
                       "bh=47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=;\n\th=From:To:Subject:Date:Message-ID:"
                       "MIME-Version;\n\tb=ZHVtbXktc2lnbmF0dXJlLXRoYXQtaXMtYXMtbG9uZy1hcy1hLXJlYWwtb25l"},
    {"From", "\"Sender, A.\" <sender@example.org>"},
    {"To", "Recipient <rcpt@example.test>"},
    {"Cc", "other@example.test, third@example.test"},
    {"Subject", "Minutes of the meeting, reference " ID},
    {"Date", "Sun, 22 Nov 2026 08:30:07 +0100"},
    {"Message-ID", "<" ID "@mail.example.org>"},
    {"In-Reply-To", "<7d1f0a9c-1c11-4b7a-9a55-0fb2f3a7c001@mail.example.test>"},
    {"References", "<7d1f0a9c-1c11-4b7a-9a55-0fb2f3a7c001@mail.example.test>\n "
                   "<7d1f0a9c-1c11-4b7a-9a55-0fb2f3a7c000@mail.example.org>"},
    {"User-Agent", "Mozilla Thunderbird"},
    {"MIME-Version", "1.0"},
    {"Content-Type", "text/plain; charset=UTF-8; format=flowed"},
    {"Content-Transfer-Encoding", "8bit"},
    {"Content-Language", "en-GB"},
    {"X-Spam-Status", "No, score=-1.9 required=5.0 tests=BAYES_00,DKIM_SIGNED,DKIM_VALID"},
    {"X-Originating-IP", "[198.51.100.23]"},
    {"List-Id", "Minutes <minutes.example.org>"},
    {"List-Unsubscribe", "<https://lists.example.org/minutes/unsubscribe>"},
};
#define KNOWN_FIELDS (int)(sizeof fields / sizeof fields[0])

static void field(int n, char *name, size_t name_room, char *value, size_t value_room)
{
    if (n < KNOWN_FIELDS) {
        snprintf(name, name_room, "%s", fields[n][0]);
        snprintf(value, value_room, "%s", fields[n][1]);
    } else {
        snprintf(name, name_room, "X-Field-%d", n + 1);
        snprintf(value, value_room, "value %d of a field that this load generator made up", n + 1);
    }
}

uint32_t fnv1a(uint32_t hash, const uint8_t *bytes, size_t length)
{
    for (size_t i = 0; i < length; i++) hash = (hash ^ bytes[i]) * 16777619u;
    return hash;
}

static const char tail[] = "Reference: " ID "\r\n";
#define TAIL (sizeof tail - 1)

void prepare_mail(struct mail *mail, const struct options *options)
{
    static const char line[] = "The quick brown fox jumps over the lazy dog while the mail waits for its filter.\r\n";
    size_t length = options->body > TAIL ? options->body - TAIL : 0;
    mail->body = malloc(length + 1);
    if (!mail->body) fatal("no memory for a body of %zu octets", options->body);
    for (size_t i = 0; i < length; i++) mail->body[i] = line[i % (sizeof line - 1)];
    mail->body_length = length;
    mail->body_fnv = fnv1a(FNV_START, mail->body, length);
    mail->fields = options->headers;
    mail->field_octets = 0;
    for (int n = 0; n < options->headers; n++) {
        char name[64], value[600];
        field(n, name, sizeof name, value, sizeof value);
        mail->field_octets += strlen(name) + strlen(value);
        for (const char *at = value; (at = strchr(at, '\n')); at++) mail->field_octets--;
    }
}

struct builder {
    struct script *script;
    const struct options *options;
    const struct symbols *symbols;
    uint32_t protocol;
    size_t piece_start; /* first piece of the write that is being put together */
    uint32_t length;    /* its bytes so far */
};

static void add_piece(struct builder *b, uint32_t offset, uint32_t length, bool shared)
{
    struct script *s = b->script;
    b->length += length;
    if (s->piece_count > b->piece_start) {
        struct piece *last = &s->pieces[s->piece_count - 1];
        if (last->shared == shared && last->offset + last->length == offset) {
            last->length += length;
            return;
        }
    }
    s->pieces = more(s->pieces, s->piece_count, &s->piece_room, sizeof *s->pieces);
    s->pieces[s->piece_count++] = (struct piece){offset, length, shared};
}

static void add_text(struct builder *b, const void *bytes, size_t length)
{
    struct script *s = b->script;
    while (s->text_length + length > s->text_room) {
        s->text_room = s->text_room ? s->text_room * 2 : 8192;
        s->text = realloc(s->text, s->text_room);
        if (!s->text) fatal("no memory for the text of a mail");
    }
    memcpy(s->text + s->text_length, bytes, length);
    const uint8_t *at = s->text + s->text_length, *end = at + length;
    while ((at = memmem(at, (size_t)(end - at), ID, ID_LENGTH))) {
        s->ids = more(s->ids, s->id_count, &s->id_room, sizeof *s->ids);
        s->ids[s->id_count++] = (uint32_t)(at - s->text);
        at += ID_LENGTH;
    }
    add_piece(b, (uint32_t)s->text_length, (uint32_t)length, false);
    s->text_length += length;
}

/* Ends the write. `command` is the one whose reply is awaited next, 0 for none. */
static void end_write(struct builder *b, char command)
{
    struct script *s = b->script;
    if (!b->length) return;
    s->steps = more(s->steps, s->step_count, &s->step_room, sizeof *s->steps);
    s->steps[s->step_count++] = (struct step){(uint32_t)b->piece_start, (uint32_t)(s->piece_count - b->piece_start),
                                              b->length, command};
    b->piece_start = s->piece_count;
    b->length = 0;
}

static void frame_start(struct builder *b, char command, size_t payload)
{
    uint32_t length = (uint32_t)payload + 1;
    uint8_t start[5] = {length >> 24, length >> 16, length >> 8, length, (uint8_t)command};
    add_text(b, start, sizeof start);
    b->script->frames_per_mail++;
}

/* Sendmail gives each frame a write of its own; Postfix writes when it is about to wait for a reply. */
static void frame_end(struct builder *b, bool awaits, char command)
{
    if (awaits || b->options->dialect == SENDMAIL) end_write(b, awaits ? command : 0);
}

static bool listed(const char *list, const char *name)
{
    size_t length = strlen(name);
    bool braced = length == 3 && name[0] == '{';
    for (const char *at = list; *at;) {
        size_t word = strcspn(at, " ,");
        if (word == length && !memcmp(at, name, length)) return true;
        if (length == 1 && word == 3 && at[0] == '{' && at[1] == name[0] && at[2] == '}') return true;
        if (braced && word == 1 && at[0] == name[1]) return true;
        at += word;
        at += strspn(at, " ,");
    }
    return false;
}

static void macro_frame(struct builder *b, char command, int stage)
{
    const struct macro(*table)[6] = b->options->dialect == POSTFIX ? postfix_macros : sendmail_macros;
    const char *list = stage >= 0 ? b->symbols->names[stage] : NULL;
    char payload[1024];
    size_t length = 0;
    payload[length++] = command;
    for (const struct macro *m = stage >= 0 ? table[stage] : NULL; m && m->name; m++) {
        if (list && *list && !listed(list, m->name)) continue;
        if (list && !*list && b->options->dialect == SENDMAIL) continue; /* Postfix falls back to its own list */
        length += (size_t)snprintf(payload + length, sizeof payload - length, "%s", m->name) + 1;
        length += (size_t)snprintf(payload + length, sizeof payload - length, "%s", m->value) + 1;
    }
    frame_start(b, 'D', length);
    add_text(b, payload, length);
    frame_end(b, false, 0);
}

/* A command with a payload in memory, sent unless `no` and waited for unless `nr` was negotiated. */
static void command(struct builder *b, char code, uint32_t no, uint32_t nr, const void *payload, size_t length)
{
    if (b->protocol & no) return;
    frame_start(b, code, length);
    if (length) add_text(b, payload, length);
    frame_end(b, !(b->protocol & nr), code);
}

static void body_frames(struct builder *b, struct mail *mail, bool macros)
{
    size_t sent = 0, total = mail->body_length + TAIL;
    while (sent < total) {
        size_t chunk = total - sent < CHUNK ? total - sent : CHUNK;
        if (macros) macro_frame(b, 'B', 5);
        frame_start(b, 'B', chunk);
        size_t left = chunk;
        if (sent < mail->body_length) {
            size_t part = mail->body_length - sent < left ? mail->body_length - sent : left;
            add_piece(b, (uint32_t)sent, (uint32_t)part, true);
            sent += part;
            left -= part;
        }
        if (left) {
            size_t from = sent - mail->body_length;
            uint32_t at = b->script->tail_offset + (uint32_t)from;
            add_piece(b, at, (uint32_t)left, false);
            sent += left;
        }
        frame_end(b, !(b->protocol & SMFIP_NR_BODY), 'B');
    }
}

struct script *build_script(const struct options *options, struct mail *mail, uint32_t protocol,
                            const struct symbols *symbols)
{
    static const char connect[] = "client.example.org\0004\x9b\xac" "192.0.2.7";
    static const char sender[] = "<sender@example.org>\0SIZE=4096\0BODY=8BITMIME";
    static const char recipient[] = "<rcpt@example.test>";
    static const char helo[] = "client.example.org";
    bool postfix = options->dialect == POSTFIX;
    struct script *s = calloc(1, sizeof *s);
    if (!s) fatal("no memory for a script");
    struct builder b = {.script = s, .options = options, .symbols = symbols, .protocol = protocol};
    s->lead_space = protocol & SMFIP_HDR_LEADSPC;

    /* The tail stands in the text once, outside any write; body frames point to it. */
    s->tail_offset = 0;
    s->tail_length = TAIL;
    add_text(&b, tail, TAIL);
    s->piece_count = 0;
    b.length = 0;

    macro_frame(&b, 'C', 0);
    command(&b, 'C', SMFIP_NOCONNECT, SMFIP_NR_CONN, connect, sizeof connect);
    macro_frame(&b, 'H', 1);
    command(&b, 'H', SMFIP_NOHELO, SMFIP_NR_HELO, helo, sizeof helo);
    end_write(&b, 0);
    s->hello_steps = (uint32_t)s->step_count;
    s->frames_per_mail = 0;

    if (postfix) { /* the abort of the mail before: Postfix keeps it in its buffer until now */
        frame_start(&b, 'A', 0);
        s->abort_length = 5;
    }
    macro_frame(&b, 'M', 2);
    command(&b, 'M', SMFIP_NOMAIL, SMFIP_NR_MAIL, sender, sizeof sender);
    macro_frame(&b, 'R', 3);
    command(&b, 'R', SMFIP_NORCPT, SMFIP_NR_RCPT, recipient, sizeof recipient);
    if (postfix) macro_frame(&b, 'T', 4);
    command(&b, 'T', SMFIP_NODATA, SMFIP_NR_DATA, "", 0);
    end_write(&b, 0); /* Postfix: another process goes on from here, so nothing may stay in the buffer */

    for (int n = 0; n < options->headers && !(protocol & SMFIP_NOHDRS); n++) {
        char name[64], value[600], payload[700];
        field(n, name, sizeof name, value, sizeof value);
        int length = snprintf(payload, sizeof payload, "%s%c%s%s", name, 0, s->lead_space ? " " : "", value);
        if (postfix) macro_frame(&b, 'L', 6);
        command(&b, 'L', SMFIP_NOHDRS, SMFIP_NR_HDR, payload, (size_t)length + 1);
    }
    if (postfix && !(protocol & SMFIP_NOEOH)) macro_frame(&b, 'N', 6);
    if (!postfix && symbols->names[6] && *symbols->names[6]) macro_frame(&b, 'N', 6);
    command(&b, 'N', SMFIP_NOEOH, SMFIP_NR_EOH, "", 0);
    if (options->hold) end_write(&b, 0);
    s->body_steps = (uint32_t)s->step_count;
    if (!(protocol & SMFIP_NOBODY)) body_frames(&b, mail, postfix);
    macro_frame(&b, 'E', 5);
    command(&b, 'E', 0, 0, "", 0);
    return s;
}
