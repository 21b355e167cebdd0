/* loader -p PORT -u PATH -b BODY ...: opens streams, reads server-sent events (or lines), measures. One thread, epoll.
 *
 *   -H 'Name: value'   a header; may be repeated        -c N   connections, each with one stream at a time
 *   -n N   streams in all                               -t S   or: seconds in which new streams begin
 *   -r MS  the connections begin within this time       -v S   latencies of the first S seconds are not recorded
 *   -e N   time marks that each stream must have        -l     hold: see below
 *
 * Prints one JSON object. A latency is from a mark's time (see wire.h) to the end of the read that brought it. Marks that
 * are not later than the one before are copies (some formats repeat the whole text at the end) and are not counted.
 *
 * hold: opens the connections, prints READY on stderr when each has a mark, waits for a byte on stdin, closes all at once;
 * the answer then holds the id and the time of each close. "#K000000" in the body becomes the id of the stream. */
#include "wire.h"
#include <getopt.h>
#include <poll.h>

enum phase { IDLE, CONNECTING, HEAD, BODY };
enum framing { UNTIL_CLOSE, BY_LENGTH, CHUNKED };
enum chunk_part { SIZE, EXTENSION, DATA, DATA_END, TRAILER };

typedef struct {
    int fd, status, keeps, has_ended;
    enum phase phase;
    enum framing framing;
    enum chunk_part part;
    long id, marks;
    uint64_t began, last_mark;
    size_t body_left, head_used, line_used, line_size;
    char head[8192], *line;
} connection;

static struct sockaddr_in address = {.sin_family = AF_INET};
static char *request;
static size_t request_bytes;
static char *request_id;
static int poller, holds;
static long expected = -1;
static long started, finished, good, with_mark;
static long failed_connect, failed_status, failed_count, failed_end, failed_closed;
static uint64_t marks, copies, body_reads, last_finish, record_from;
static histogram latency, first, whole;
static char fault_sample[200];

static void fault(connection *c, long *counter, const char *what) {
    (*counter)++;
    if (*fault_sample) return;
    snprintf(fault_sample, sizeof fault_sample, "%s; status %d, %ld marks; %.100s", what, c->status, c->marks, c->head);
    for (char *at = fault_sample; *at; at++) if (*at == '"' || *at == '\\' || (unsigned char)*at < 32) *at = ' ';
}

static void hang_up(connection *c) {
    if (c->fd >= 0) close(c->fd);
    c->fd = -1;
    c->phase = IDLE;
}

static void give_up(connection *c, long *counter, const char *what) {
    if (c->phase != IDLE) {
        fault(c, counter, what);
        finished++;
    }
    hang_up(c);
}

static void watch(connection *c, int operation, uint32_t interest) {
    epoll_ctl(poller, operation, c->fd, &(struct epoll_event){.events = interest, .data.ptr = c});
}

/* --- requests */

static void send_request(connection *c) {
    if (request_id) {
        char digits[8];
        snprintf(digits, sizeof digits, "%06ld", c->id % 1000000);
        memcpy(request_id, digits, 6);
    }
    c->began = now_ns();
    c->phase = HEAD;
    if (write(c->fd, request, request_bytes) != (ssize_t)request_bytes) give_up(c, &failed_connect, "cannot send");
}

static void begin(connection *c) {
    char *line = c->line;
    size_t line_size = c->line_size;
    int fd = c->fd, one = 1;
    memset(c, 0, sizeof *c);
    c->line = line;
    c->line_size = line_size;
    c->fd = fd;
    c->id = started++;
    c->keeps = 1;
    if (fd >= 0) {
        send_request(c);
        return;
    }
    c->phase = CONNECTING;
    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (connect(c->fd, (void *)&address, sizeof address) < 0 && errno != EINPROGRESS) {
        give_up(c, &failed_connect, "cannot connect");
        return;
    }
    watch(c, EPOLL_CTL_ADD, EPOLLOUT);
}

/* --- answers */

static void end_stream(connection *c, uint64_t at) {
    if (c->status != 200) fault(c, &failed_status, "status");
    else if (expected >= 0 && c->marks != expected) fault(c, &failed_count, "number of marks");
    else if (!c->has_ended) fault(c, &failed_end, "no ending");
    else good++;
    record(&whole, at - c->began);
    finished++;
    last_finish = at;
    c->phase = IDLE;
    if (!c->keeps) hang_up(c);
}

static void read_line(connection *c, const char *line, size_t bytes, uint64_t at) {
    const char *end = line + bytes;
    int has_mark = 0;
    for (const char *from = line; (from = memchr(from, '@', (size_t)(end - from))); from++) {
        uint64_t mark = end - from >= MARK_BYTES ? read_mark(from) : 0;
        if (!mark) continue;
        has_mark = 1;
        if (mark <= c->last_mark) {
            copies++;
            continue;
        }
        if (!c->marks++) {
            with_mark++;
            record(&first, at - c->began);
        }
        marks++;
        c->last_mark = mark;
        if (at >= record_from) record(&latency, at > mark ? at - mark : 0);
    }
    static const char *const endings[] = {"[DONE]", "message_stop", "response.completed", "\"done\":true", "finishReason", "RUN_FINISHED"};
    for (size_t i = 0; i < sizeof endings / sizeof *endings && (!has_mark || c->marks >= expected) && !c->has_ended; i++)
        c->has_ended = memmem(line, bytes, endings[i], strlen(endings[i])) != NULL;
}

static void read_text(connection *c, const char *text, size_t bytes, uint64_t at) {
    while (bytes) {
        const char *newline = memchr(text, '\n', bytes);
        size_t count = newline ? (size_t)(newline - text) : bytes;
        if (newline && !c->line_used) {
            read_line(c, text, count, at);
        } else {
            if (c->line_used + count > c->line_size) {
                c->line_size = 2 * (c->line_used + count) + 512;
                c->line = must(realloc(c->line, c->line_size));
            }
            memcpy(c->line + c->line_used, text, count);
            c->line_used += count;
            if (newline) {
                read_line(c, c->line, c->line_used, at);
                c->line_used = 0;
            }
        }
        count += newline != NULL;
        text += count;
        bytes -= count;
    }
}

static int hex_digit(char c) { return c >= '0' && c <= '9' ? c - '0' : (c | 32) >= 'a' && (c | 32) <= 'f' ? (c | 32) - 'a' + 10 : -1; }

/* 1: the body has ended. */
static int read_chunks(connection *c, const char *bytes, size_t count, uint64_t at) {
    for (const char *end = bytes + count; bytes < end;) {
        if (c->part == DATA) {
            size_t here = (size_t)(end - bytes) < c->body_left ? (size_t)(end - bytes) : c->body_left;
            read_text(c, bytes, here, at);
            bytes += here;
            c->body_left -= here;
            if (!c->body_left) c->part = DATA_END;
            continue;
        }
        char byte = *bytes++;
        int digit = hex_digit(byte);
        if (c->part == SIZE && digit >= 0) c->body_left = 16 * c->body_left + (size_t)digit;
        else if (c->part == SIZE && byte == ';') c->part = EXTENSION;
        else if (byte == '\n' && c->part == TRAILER) return 1; /* no provider here sends trailers */
        else if (byte == '\n' && c->part == DATA_END) c->part = SIZE;
        else if (byte == '\n') c->part = c->body_left ? DATA : TRAILER;
    }
    return 0;
}

static int read_body(connection *c, const char *bytes, size_t count, uint64_t at) {
    if (c->framing == CHUNKED) return read_chunks(c, bytes, count, at);
    read_text(c, bytes, count, at);
    if (c->framing == UNTIL_CLOSE) return 0;
    c->body_left -= count < c->body_left ? count : c->body_left;
    return !c->body_left;
}

/* Bytes of `bytes` that belong to the head; 0: all of them, and it goes on. */
static size_t read_head(connection *c, const char *bytes, size_t count) {
    size_t before = c->head_used, room = sizeof c->head - 1 - before;
    size_t here = count < room ? count : room;
    memcpy(c->head + before, bytes, here);
    c->head_used += here;
    c->head[c->head_used] = 0;
    char *end = strstr(c->head, "\r\n\r\n"), *found;
    if (!end) return 0;
    end[2] = 0;
    c->status = atoi(c->head + 9);
    if (strcasestr(c->head, "\r\ntransfer-encoding: chunked")) c->framing = CHUNKED;
    else if ((found = strcasestr(c->head, "\r\ncontent-length:"))) {
        c->framing = BY_LENGTH;
        c->body_left = strtoul(found + 17, NULL, 10);
    }
    c->keeps = c->framing != UNTIL_CLOSE && !strcasestr(c->head, "\r\nconnection: close");
    c->phase = BODY;
    return (size_t)(end + 4 - c->head) - before;
}

static void read_answer(connection *c) {
    static char buffer[262144];
    ssize_t count = read(c->fd, buffer, sizeof buffer);
    uint64_t at = now_ns();
    if (count < 0 && errno == EAGAIN) return;
    if (count <= 0) {
        if (count == 0 && c->phase == BODY && c->framing == UNTIL_CLOSE) {
            c->keeps = 0;
            end_stream(c, at);
        } else {
            give_up(c, &failed_closed, "closed early");
        }
        return;
    }
    const char *bytes = buffer;
    if (c->phase == HEAD) {
        size_t head = read_head(c, bytes, (size_t)count);
        if (c->phase == HEAD) return;
        bytes += head;
        count -= (ssize_t)head;
        if (c->framing == BY_LENGTH && !c->body_left) end_stream(c, at);
    }
    if (c->phase != BODY || !count) return;
    body_reads++;
    if (read_body(c, bytes, (size_t)count, at)) end_stream(c, at);
}

static void serve(connection *c, uint32_t ready) {
    if (c->fd < 0) return;
    if (c->phase != CONNECTING) {
        read_answer(c);
        return;
    }
    int error = 0;
    socklen_t size = sizeof error;
    getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &error, &size);
    if (error || ready & EPOLLERR) {
        give_up(c, &failed_connect, "cannot connect");
        return;
    }
    watch(c, EPOLL_CTL_MOD, EPOLLIN);
    send_request(c);
}

/* --- the run */

static struct {
    int port, connections;
    long streams;
    double seconds, ramp_ms, warm_s;
    const char *path, *body;
    char headers[8192];
} options = {.connections = 1, .streams = -1, .path = "/v1/chat/completions", .body = "{}"};

static void read_options(int argc, char **argv) {
    for (int option; (option = getopt(argc, argv, "p:u:b:H:c:n:t:r:v:e:l")) != -1;) switch (option) {
        case 'p': options.port = atoi(optarg); break;
        case 'u': options.path = optarg; break;
        case 'b': options.body = optarg; break;
        case 'H': strncat(options.headers, optarg, 1024); strcat(options.headers, "\r\n"); break;
        case 'c': options.connections = atoi(optarg); break;
        case 'n': options.streams = atol(optarg); break;
        case 't': options.seconds = atof(optarg); break;
        case 'r': options.ramp_ms = atof(optarg); break;
        case 'v': options.warm_s = atof(optarg); break;
        case 'e': expected = atol(optarg); break;
        case 'l': holds = 1; break;
        default: exit(2);
    }
    if (holds || (options.streams < 0 && options.seconds <= 0)) options.streams = options.connections;
}

static void write_request(void) {
    size_t room = strlen(options.body) + strlen(options.headers) + strlen(options.path) + 512;
    request = must(malloc(room));
    request_bytes = (size_t)snprintf(request, room,
        "POST %s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nContent-Type: application/json\r\nAccept: text/event-stream\r\n"
        "%sContent-Length: %zu\r\n\r\n%s", options.path, options.port, options.headers, strlen(options.body), options.body);
    request_id = strstr(request, "#K");
    if (request_id) request_id += 2;
}

static int may_begin(uint64_t began, uint64_t now) {
    return options.streams >= 0 ? started < options.streams : (double)(now - began) < options.seconds * 1e9;
}

/* Until all streams have ended, or, in hold, until a byte comes on stdin. */
static void run(connection *all, uint64_t began) {
    int opened = 0, told = 0;
    for (;;) {
        uint64_t now = now_ns();
        for (int burst = 0; opened < options.connections && burst < 64 && may_begin(began, now); burst++) {
            if ((double)(now - began) < options.ramp_ms * 1e6 * opened / options.connections) break;
            begin(&all[opened++]);
            now = now_ns();
        }
        if (!may_begin(began, now) && finished >= started && !holds) return;
        if (holds && !told && opened == options.connections && with_mark + finished >= started) {
            told = 1;
            fputs("READY\n", stderr);
        }
        struct pollfd input = {.fd = 0, .events = POLLIN};
        if (holds && told && poll(&input, 1, 0) > 0) return;
        if (now - began > 300ull * 1000000000ull) {
            snprintf(fault_sample, sizeof fault_sample, "gave up after 300 s");
            return;
        }
        struct epoll_event ready[1024];
        struct timespec timeout = timespec_of(opened < options.connections ? 200000 : 20000000);
        int count = epoll_pwait2(poller, ready, 1024, &timeout, NULL);
        for (int i = 0; i < count; i++) {
            connection *c = ready[i].data.ptr;
            serve(c, ready[i].events);
            if (c->phase == IDLE && !holds && may_begin(began, now_ns())) begin(c);
        }
    }
}

static void print_quantiles(const char *name, const histogram *h) {
    printf("\"%s_us\":{\"count\":%llu,\"p50\":%.1f,\"p99\":%.1f,\"p999\":%.1f,\"max\":%.1f},", name, (unsigned long long)h->count,
           quantile_us(h, 0.5), quantile_us(h, 0.99), quantile_us(h, 0.999), (double)h->largest / 1000);
}

static void close_all(connection *all) {
    const char *comma = "";
    printf("\"closed\":[");
    for (int i = 0; i < options.connections; i++) {
        if (all[i].fd < 0 || all[i].phase != BODY || !all[i].marks) continue;
        uint64_t at = now_ns();
        close(all[i].fd);
        printf("%s[%ld,%llu]", comma, all[i].id, (unsigned long long)at);
        comma = ",";
    }
    printf("],");
}

int main(int argc, char **argv) {
    read_options(argc, argv);
    signal(SIGPIPE, SIG_IGN);
    prctl(PR_SET_TIMERSLACK, 1);
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    address.sin_port = htons((uint16_t)options.port);
    inet_pton(AF_INET, "127.0.0.1", &address.sin_addr);
    write_request();
    poller = epoll_create1(0);
    connection *all = must(calloc((size_t)options.connections, sizeof *all));
    for (int i = 0; i < options.connections; i++) all[i].fd = -1;
    uint64_t began = now_ns();
    record_from = began + (uint64_t)(options.warm_s * 1e9);
    run(all, began);
    double wall_s = (double)((last_finish ? last_finish : now_ns()) - began) / 1e9;
    static char output[1 << 20];
    setvbuf(stdout, output, _IOFBF, sizeof output); /* no write between two closes */
    printf("{");
    if (holds) close_all(all);
    print_quantiles("latency", &latency);
    print_quantiles("first", &first);
    print_quantiles("whole", &whole);
    printf("\"wall_s\":%.4f,\"started\":%ld,\"finished\":%ld,\"good\":%ld,\"marks\":%llu,\"copies\":%llu,\"reads\":%llu,"
           "\"failed\":{\"connect\":%ld,\"status\":%ld,\"count\":%ld,\"end\":%ld,\"closed\":%ld},\"cpu_s\":%.4f,\"fault\":\"%s\"}\n",
           wall_s, started, finished, good, (unsigned long long)marks, (unsigned long long)copies, (unsigned long long)body_reads,
           failed_connect, failed_status, failed_count, failed_end, failed_closed, (double)clock() / CLOCKS_PER_SEC, fault_sample);
    return 0;
}
