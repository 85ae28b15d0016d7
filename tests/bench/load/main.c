/* load: plays many MTA connections against a milter and prints one line of JSON.
 *   cc -O2 -o load main.c connection.c answers.c script.c
 *   ./load --socket unix:/path --connections 16 --seconds 5 --dialect postfix --job headers */
#include "connection.h"

#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/un.h>

static const char usage[] =
    "usage: load --socket inet:PORT@ADDRESS|unix:PATH [options]\n"
    "  --connections N      connections kept busy at once (1)\n"
    "  --seconds S          measured time (5); it goes on until as many mails are answered as there are connections,\n"
    "                       up to ten times as long; after\n"
    "  --warmup S           time that is not measured (0)\n"
    "  --messages N         mails in all instead of a time\n"
    "  --per-connection N   mails before a connection is closed and opened again (100; 0: never)\n"
    "  --dialect NAME       postfix or sendmail (postfix)\n"
    "  --job NAME           noop, headers or body: what the filter does to each mail (noop)\n"
    "  --body BYTES         body of each mail (2048)\n"
    "  --headers N          header fields of each mail (20)\n"
    "  --filters N          filters that do the job in a row, each to what the one before left (1)\n"
    "  --hold WHERE         opens all connections, goes to hello (no mail begun) or header (before the body), says so\n"
    "                       in a line of JSON, and keeps them there until its standard input ends\n"
    "  --real-tcp           leave Nagle's algorithm and delayed ACKs on, as MTAs do; default: no such stalls\n"
    "  --await-close        after QUIT wait until the filter closes, to see surplus replies\n"
    "  --patience S         seconds without an answer that count as an error (30)\n";

void fatal(const char *format, ...)
{
    va_list args;
    fprintf(stderr, "load: ");
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fprintf(stderr, "\n");
    exit(2);
}

void *more(void *array, size_t count, size_t *room, size_t size)
{
    if (count < *room) return array;
    *room = *room ? *room * 2 : 64;
    array = realloc(array, *room * size);
    if (!array) fatal("no memory for %zu elements", *room);
    return array;
}

void add_sample(struct samples *samples, uint64_t nanoseconds)
{
    uint64_t units = nanoseconds / 100;
    samples->values = more(samples->values, samples->count, &samples->room, sizeof *samples->values);
    samples->values[samples->count++] = units > UINT32_MAX ? UINT32_MAX : (uint32_t)units;
}

static int ascending(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return x < y ? -1 : x > y;
}

double percentile(struct samples *samples, double part)
{
    if (!samples->count) return 0;
    qsort(samples->values, samples->count, sizeof *samples->values, ascending);
    size_t at = (size_t)(part * (double)samples->count);
    return samples->values[at < samples->count ? at : samples->count - 1] / 10.0;
}

static double number(const char *option, const char *text, double least, double most)
{
    char *end;
    double value = strtod(text, &end);
    if (end == text || *end || value < least || value > most)
        fatal("--%s is \"%s\", expected a number from %g to %g", option, text, least, most);
    return value;
}

static void parse_options(struct options *o, int argc, char **argv)
{
    enum { SOCKET = 1, CONNECTIONS, SECONDS, WARMUP, MESSAGES, PER, DIALECT, JOB, BODY, HEADERS, FILTERS, HOLD, REAL, AWAIT,
           PATIENCE, HELP };
    static const struct option options[] = {
        {"socket", 1, 0, SOCKET}, {"connections", 1, 0, CONNECTIONS}, {"seconds", 1, 0, SECONDS},
        {"warmup", 1, 0, WARMUP}, {"messages", 1, 0, MESSAGES}, {"per-connection", 1, 0, PER},
        {"dialect", 1, 0, DIALECT}, {"job", 1, 0, JOB}, {"body", 1, 0, BODY}, {"headers", 1, 0, HEADERS},
        {"filters", 1, 0, FILTERS}, {"hold", 1, 0, HOLD},
        {"real-tcp", 0, 0, REAL}, {"await-close", 0, 0, AWAIT}, {"patience", 1, 0, PATIENCE}, {"help", 0, 0, HELP}, {0}};
    *o = (struct options){.connections = 1, .seconds = 5, .per_connection = 100, .body = 2048, .headers = 20,
                          .filters = 1, .patience = 30};
    for (int code; (code = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        switch (code) {
        case SOCKET: o->socket = optarg; break;
        case CONNECTIONS: o->connections = (int)number("connections", optarg, 1, 20000); break;
        case SECONDS: o->seconds = number("seconds", optarg, 0.05, 86400); break;
        case WARMUP: o->warmup = number("warmup", optarg, 0, 3600); break;
        case MESSAGES: o->messages = (long)number("messages", optarg, 1, 1e9); break;
        case PER: o->per_connection = (int)number("per-connection", optarg, 0, 1e9); break;
        case BODY: o->body = (size_t)number("body", optarg, 32, 1e8); break;
        case HEADERS: o->headers = (int)number("headers", optarg, 0, 1000); break;
        case FILTERS: o->filters = (int)number("filters", optarg, 1, 100); break;
        case HOLD:
            if (!strcmp(optarg, "hello")) o->hold = HOLD_HELLO;
            else if (!strcmp(optarg, "header")) o->hold = HOLD_HEADER;
            else fatal("--hold is \"%s\", expected hello or header", optarg);
            break;
        case PATIENCE: o->patience = number("patience", optarg, 0.1, 3600); break;
        case REAL: o->real_tcp = true; break;
        case AWAIT: o->await_close = true; break;
        case DIALECT:
            if (!strcmp(optarg, "postfix")) o->dialect = POSTFIX;
            else if (!strcmp(optarg, "sendmail")) o->dialect = SENDMAIL;
            else fatal("--dialect is \"%s\", expected postfix or sendmail", optarg);
            break;
        case JOB:
            if (!strcmp(optarg, "noop")) o->job = JOB_NOOP;
            else if (!strcmp(optarg, "headers")) o->job = JOB_HEADERS;
            else if (!strcmp(optarg, "body")) o->job = JOB_BODY;
            else fatal("--job is \"%s\", expected noop, headers or body", optarg);
            break;
        case HELP: fputs(usage, stdout); exit(0);
        default: fputs(usage, stderr); exit(2);
        }
    }
    if (!o->socket || optind < argc) {
        fputs(usage, stderr);
        exit(2);
    }
}

static void parse_address(struct run *run)
{
    const char *spec = run->options.socket;
    char host[64];
    int port;
    if (!strncmp(spec, "unix:", 5)) {
        struct sockaddr_un *address = (struct sockaddr_un *)&run->address;
        address->sun_family = AF_UNIX;
        if (strlen(spec + 5) >= sizeof address->sun_path) fatal("the path of \"%s\" is too long for a Unix socket", spec);
        strcpy(address->sun_path, spec + 5);
        run->address_length = sizeof *address;
    } else if (sscanf(spec, "inet:%d@%63s", &port, host) == 2) {
        struct sockaddr_in *address = (struct sockaddr_in *)&run->address;
        address->sin_family = AF_INET;
        address->sin_port = htons((uint16_t)port);
        if (inet_pton(AF_INET, host, &address->sin_addr) != 1) fatal("\"%s\" in \"%s\" is no IPv4 address", host, spec);
        run->address_length = sizeof *address;
    } else {
        fatal("--socket is \"%s\", expected inet:PORT@ADDRESS or unix:PATH", spec);
    }
}

static double cpu_seconds(void)
{
    struct rusage r;
    getrusage(RUSAGE_SELF, &r);
    return (double)(r.ru_utime.tv_sec + r.ru_stime.tv_sec) + (double)(r.ru_utime.tv_usec + r.ru_stime.tv_usec) / 1e6;
}

/* Once in a while: connections refused by a full backlog, and connections that hang. */
static void look_after(struct run *run)
{
    uint64_t time = now();
    for (int i = 0; i < run->options.connections; i++) {
        struct connection *c = &run->connections[i];
        if (c->phase == CLOSED || c->phase == HELD) continue;
        if ((double)(time - c->last_progress) / 1e9 > run->options.patience)
            fail(run, c, "no answer for %g seconds", run->options.patience);
        else if (c->phase == BACKLOG_FULL)
            open_connection(run, c);
    }
}

/* How many mails the parts of those under way make, by the replies that came. Many connections in step would else make
 * a rate of leaps. */
static double begun_parts(const struct run *run)
{
    double parts = 0;
    for (int i = 0; i < run->options.connections; i++) {
        const struct connection *c = &run->connections[i];
        if (!c->in_mail || c->phase == CLOSED) continue;
        uint32_t hello = c->script->hello_steps;
        parts += (double)(c->step - hello) / ((double)c->script->step_count - hello);
    }
    return parts;
}

/* Begins and ends the measured time. */
static void keep_time(struct run *run, uint64_t time)
{
    const struct options *o = &run->options;
    if (o->messages || run->stopping || time < run->counting_since) return;
    if (!run->counting) {
        run->counting = true;
        run->counting_since = time;
        run->parts = -begun_parts(run);
        return;
    }
    double seconds = (double)(time - run->counting_since) / 1e9;
    if (seconds < o->seconds || (run->counted < o->connections && seconds < 10 * o->seconds)) return;
    run->parts += begun_parts(run);
    run->counting_until = time;
    run->counting = false;
    run->stopping = true;
}

/* All connections are up: the mails begin. */
static void release(struct run *run)
{
    run->gathering = false;
    run->held = 0;
    for (int i = 0; i < run->options.connections; i++) {
        struct connection *c = &run->connections[i];
        if (c->phase != HELD) continue;
        c->phase = TALKING;
        c->last_progress = now();
        advance(run, c);
    }
}

/* The place among the connections that got the fewest mails answered, or the most. */
static long busiest(const struct run *run, bool most)
{
    long found = run->connections[0].all_mails;
    for (int i = 1; i < run->options.connections; i++) {
        long mails = run->connections[i].all_mails;
        if (most ? mails > found : mails < found) found = mails;
    }
    return found;
}

/* Until all connections are closed, or held for good. Connections that are still to come would make the measured time
 * another load, so mails begin when all are up. */
static void talk(struct run *run)
{
    const struct options *o = &run->options;
    struct epoll_event events[512];
    uint64_t last_look = now();
    run->counting_since = UINT64_MAX;
    run->gathering = true;
    for (int i = 0; i < o->connections; i++) open_connection(run, &run->connections[i]);
    /* one that failed will never be up, and the others would wait for it */
    while (run->open && !(run->errors && (run->gathering || o->hold))) {
        int count = epoll_wait(run->epoll, events, 512, 2);
        if (count < 0 && errno != EINTR) fatal("epoll_wait: %s", strerror(errno));
        uint64_t time = now();
        if (run->held == o->connections) {
            if (o->hold && (!run->gathering || o->hold == HOLD_HELLO)) return;
            run->counting = o->messages;
            run->counting_since = time + (uint64_t)(o->messages ? 0 : o->warmup * 1e9);
            release(run);
        }
        keep_time(run, time);
        if (time - last_look > 2000000) {
            last_look = time;
            look_after(run);
        }
        for (int i = 0; i < count; i++) {
            struct connection *c = events[i].data.ptr;
            if (c->fd >= 0) on_ready(run, c, events[i].events);
        }
    }
    if (!run->counting_until) run->counting_until = now();
}

static int stay(struct run *run)
{
    if (run->errors) return 1;
    printf("{\"held\":%d}\n", run->held);
    fflush(stdout);
    while (getchar() != EOF) {}
    return 0;
}

int main(int argc, char **argv)
{
    static struct run run;
    struct rlimit files;
    signal(SIGPIPE, SIG_IGN);
    if (!getrlimit(RLIMIT_NOFILE, &files)) {
        files.rlim_cur = files.rlim_max;
        setrlimit(RLIMIT_NOFILE, &files);
    }
    parse_options(&run.options, argc, argv);
    parse_address(&run);
    prepare_mail(&run.mail, &run.options);
    run.epoll = epoll_create1(EPOLL_CLOEXEC);
    run.connections = calloc((size_t)run.options.connections, sizeof *run.connections);
    if (run.epoll < 0 || !run.connections) fatal("could not set up: %s", strerror(errno));
    for (int i = 0; i < run.options.connections; i++) run.connections[i].fd = -1;
    run.next_id = 1;
    talk(&run);
    if (run.options.hold) return stay(&run);

    const struct options *o = &run.options;
    double seconds = (double)(run.counting_until - run.counting_since) / 1e9;
    printf("{\"messages\":%ld,\"seconds\":%.6f,\"rate\":%.2f,", run.counted, seconds,
           ((double)run.counted + run.parts) / seconds);
    printf("\"latency_us\":{\"p50\":%.1f,\"p90\":%.1f,\"p99\":%.1f,\"max\":%.1f},", percentile(&run.latency, 0.5),
           percentile(&run.latency, 0.9), percentile(&run.latency, 0.99), percentile(&run.latency, 1));
    printf("\"setup_us\":{\"p50\":%.1f,\"p99\":%.1f},", percentile(&run.setup, 0.5), percentile(&run.setup, 0.99));
    printf("\"least_messages\":%ld,\"most_messages\":%ld,", busiest(&run, false), busiest(&run, true));
    printf("\"all_messages\":%ld,\"sessions\":%ld,\"frames\":%ld,\"replies\":%ld,", run.finished, run.sessions, run.frames,
           run.replies);
    printf("\"negotiated\":{\"version\":%u,\"actions\":%u,\"protocol\":%u},", run.version, run.actions, run.protocol);
    printf("\"cpu_seconds\":%.3f,\"errors\":%ld}\n", cpu_seconds(), run.errors);
    if (!run.errors && o->messages && run.finished != o->messages)
        fatal("%ld mails were answered, expected %ld", run.finished, o->messages);
    if (run.errors) fprintf(stderr, "load: FAILED with %ld errors\n", run.errors);
    return run.errors ? 1 : 0;
}
