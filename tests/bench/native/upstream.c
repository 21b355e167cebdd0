/* upstream PORT: a simulated provider on 127.0.0.1. One thread, epoll. Port 0: any; prints "listening PORT".
 *
 *   POST .../messages   Anthropic's events        POST (anything else)   Chat Completions chunks
 *   GET /left           id and time of each stream whose peer went away        GET /stats        GET /reset
 *
 * The model's name in the request says what to do: bench-n200-i20000-w500000-b1
 *   n   deltas (10)                   i   microseconds between them; 0: as fast as the socket takes them
 *   w   microseconds before the first     b   events in one write (1)
 * "#K000123" in the request is the id of the stream for /left. Each event is one HTTP chunk and one write. */
#include "wire.h"

typedef struct {
    int fd, slot;                     /* slot: place in the heap of timers; -1: none */
    int is_streaming, is_anthropic, wants_usage;
    char *in;
    size_t in_used, in_size;
    char *out;                        /* what the socket did not take */
    size_t out_sent, out_used, out_size;
    char *batch;                      /* the events of one write, with their chunk frames */
    size_t event_bytes, mark_at;
    long deltas, sent, per_write, id;
    uint64_t interval_ns, due_ns;
    uint32_t interest;
    char model[96];
} connection;

static int poller;
static connection **timers;
static int timer_count, timer_room;
static struct { uint64_t started, finished, left, events; } totals;
static histogram lateness;
static struct departure { long id; uint64_t at; } *departures;
static size_t departure_count, departure_room;

/* --- timers: a binary heap by due time */

static void place(int slot, connection *c) { timers[slot] = c; c->slot = slot; }

static void sift_up(int slot) {
    connection *c = timers[slot];
    for (; slot > 0 && timers[(slot - 1) / 2]->due_ns > c->due_ns; slot = (slot - 1) / 2) place(slot, timers[(slot - 1) / 2]);
    place(slot, c);
}

static void sift_down(int slot) {
    connection *c = timers[slot];
    for (int child; (child = 2 * slot + 1) < timer_count; slot = child) {
        if (child + 1 < timer_count && timers[child + 1]->due_ns < timers[child]->due_ns) child++;
        if (timers[child]->due_ns >= c->due_ns) break;
        place(slot, timers[child]);
    }
    place(slot, c);
}

static void start_timer(connection *c) {
    if (timer_count == timer_room) {
        timer_room = timer_room ? 2 * timer_room : 256;
        timers = must(realloc(timers, sizeof *timers * (size_t)timer_room));
    }
    place(timer_count, c);
    sift_up(timer_count++);
}

static void stop_timer(connection *c) {
    int slot = c->slot;
    if (slot < 0) return;
    c->slot = -1;
    connection *last = timers[--timer_count];
    if (last == c) return;
    place(slot, last);
    sift_up(slot);
    sift_down(last->slot);
}

/* --- connections */

static void watch(connection *c, uint32_t interest) {
    if (c->interest == interest) return;
    c->interest = interest;
    epoll_ctl(poller, EPOLL_CTL_MOD, c->fd, &(struct epoll_event){.events = interest, .data.ptr = c});
}

static void close_connection(connection *c) {
    if (c->is_streaming) {
        totals.left++;
        if (departure_count == departure_room) {
            departure_room = departure_room ? 2 * departure_room : 1024;
            departures = must(realloc(departures, sizeof *departures * departure_room));
        }
        departures[departure_count++] = (struct departure){c->id, now_ns()};
    }
    stop_timer(c);
    close(c->fd);
    free(c->in);
    free(c->out);
    free(c->batch);
    free(c);
}

/* 0: sent or kept for later; -1: the peer is gone. */
static int send_bytes(connection *c, const char *bytes, size_t count) {
    if (c->out_used == c->out_sent) {
        c->out_used = c->out_sent = 0;
        ssize_t sent = write(c->fd, bytes, count);
        if (sent < 0 && errno != EAGAIN) return -1;
        if (sent == (ssize_t)count) return 0;
        if (sent > 0) { bytes += sent; count -= (size_t)sent; }
    }
    if (c->out_used + count > c->out_size) {
        c->out_size = 2 * (c->out_used + count);
        c->out = must(realloc(c->out, c->out_size));
    }
    memcpy(c->out + c->out_used, bytes, count);
    c->out_used += count;
    watch(c, EPOLLIN | EPOLLRDHUP | EPOLLOUT);
    return 0;
}

static int send_rest(connection *c) {
    ssize_t sent = write(c->fd, c->out + c->out_sent, c->out_used - c->out_sent);
    if (sent < 0) return errno == EAGAIN ? 0 : -1;
    c->out_sent += (size_t)sent;
    if (c->out_sent == c->out_used) watch(c, EPOLLIN | EPOLLRDHUP);
    return 0;
}

/* --- what it says */

#define CHUNK_HEAD "data: {\"id\":\"chatcmpl-BenchAbCdEfGhIjKlMnOpQrStUv\",\"object\":\"chat.completion.chunk\",\"created\":1750000000," \
    "\"model\":\"%s\",\"service_tier\":\"default\",\"system_fingerprint\":\"fp_0123456789\","
#define NO_USAGE (c->wants_usage ? ",\"usage\":null" : "")

static size_t as_chunk(char *to, const char *event) { return (size_t)sprintf(to, "%zx\r\n%s\r\n", strlen(event), event); }

static int send_event(connection *c, const char *event) {
    char framed[2048];
    totals.events++;
    return send_bytes(c, framed, as_chunk(framed, event));
}

static int send_opening(connection *c) {
    static const char *head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\nCache-Control: no-cache\r\n"
                              "Transfer-Encoding: chunked\r\nX-Request-Id: req_bench0123456789\r\n\r\n";
    char event[1024];
    int fault = send_bytes(c, head, strlen(head));
    if (!c->is_anthropic) {
        sprintf(event, CHUNK_HEAD "\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"\",\"refusal\":null},"
                                  "\"logprobs\":null,\"finish_reason\":null}]%s}\n\n", c->model, NO_USAGE);
        return fault | send_event(c, event);
    }
    sprintf(event, "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"id\":\"msg_01Bench\",\"type\":\"message\","
                   "\"role\":\"assistant\",\"model\":\"%s\",\"content\":[],\"stop_reason\":null,\"stop_sequence\":null,"
                   "\"usage\":{\"input_tokens\":12,\"output_tokens\":1}}}\n\n", c->model);
    fault |= send_event(c, event);
    return fault | send_event(c, "event: content_block_start\ndata: {\"type\":\"content_block_start\",\"index\":0,"
                                 "\"content_block\":{\"type\":\"text\",\"text\":\"\"}}\n\n");
}

static int send_ending(connection *c) {
    char event[1024], framed[1200];
    int fault = 0;
    if (!c->is_anthropic) {
        sprintf(event, CHUNK_HEAD "\"choices\":[{\"index\":0,\"delta\":{},\"logprobs\":null,\"finish_reason\":\"stop\"}]%s}\n\n",
                c->model, NO_USAGE);
        fault |= send_event(c, event);
        if (c->wants_usage) {
            sprintf(event, CHUNK_HEAD "\"choices\":[],\"usage\":{\"prompt_tokens\":12,\"completion_tokens\":%ld,"
                                      "\"total_tokens\":%ld}}\n\n", c->model, c->deltas, c->deltas + 12);
            fault |= send_event(c, event);
        }
        return fault | send_bytes(c, "e\r\ndata: [DONE]\n\n\r\n0\r\n\r\n", 24);
    }
    fault |= send_event(c, "event: content_block_stop\ndata: {\"type\":\"content_block_stop\",\"index\":0}\n\n");
    sprintf(event, "event: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\","
                   "\"stop_sequence\":null},\"usage\":{\"output_tokens\":%ld}}\n\n", c->deltas);
    fault |= send_event(c, event);
    size_t bytes = as_chunk(framed, "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n");
    memcpy(framed + bytes, "0\r\n\r\n", 5);
    return fault | send_bytes(c, framed, bytes + 5);
}

static void prepare_delta(connection *c) {
    char event[1024];
    const char *text = "@00000000000000;";
    if (c->is_anthropic)
        sprintf(event, "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,"
                       "\"delta\":{\"type\":\"text_delta\",\"text\":\"%s\"}}\n\n", text);
    else
        sprintf(event, CHUNK_HEAD "\"choices\":[{\"index\":0,\"delta\":{\"content\":\"%s\"},\"logprobs\":null,"
                                  "\"finish_reason\":null}]%s}\n\n", c->model, text, NO_USAGE);
    char framed[1200];
    c->event_bytes = as_chunk(framed, event);
    c->mark_at = (size_t)(strstr(framed, text) - framed) + 1;
    c->batch = must(realloc(c->batch, c->event_bytes * (size_t)c->per_write));
    for (long i = 0; i < c->per_write; i++) memcpy(c->batch + (size_t)i * c->event_bytes, framed, c->event_bytes);
}

/* One write of a stream that is due. 1: it has ended; 0: it goes on; -1: the peer is gone. */
static int step(connection *c) {
    if (c->out_used > c->out_sent) return 0;
    long count = c->deltas - c->sent < c->per_write ? c->deltas - c->sent : c->per_write;
    uint64_t now = now_ns(); /* marks of a stream must differ: a later copy of a text is told by its mark */
    for (long i = 0; i < count; i++) write_digits(c->batch + (size_t)i * c->event_bytes + c->mark_at, now + (uint64_t)i);
    if (count > 0 && send_bytes(c, c->batch, c->event_bytes * (size_t)count) < 0) return -1;
    c->sent += count;
    totals.events += (uint64_t)count;
    if (c->sent < c->deltas) return 0;
    stop_timer(c);
    if (send_ending(c) < 0) return -1;
    c->is_streaming = 0;
    totals.finished++;
    return 1;
}

/* --- requests */

static long option(const char *model, char key, long otherwise) {
    for (const char *at = model; (at = strchr(at, '-')); at++)
        if (at[1] == key && at[2] >= '0' && at[2] <= '9') return atol(at + 2);
    return otherwise;
}

static int answer(connection *c, const char *body) {
    char head[128];
    sprintf(head, "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: %zu\r\n\r\n", strlen(body));
    return send_bytes(c, head, strlen(head)) | send_bytes(c, body, strlen(body));
}

static int answer_get(connection *c, const char *path) {
    if (!strncmp(path, "/left", 5)) {
        char *body = must(malloc(departure_count * 48 + 1)), *end = body;
        *body = 0;
        for (size_t i = 0; i < departure_count; i++) end += sprintf(end, "%ld %llu\n", departures[i].id, (unsigned long long)departures[i].at);
        int fault = answer(c, body);
        free(body);
        return fault;
    }
    if (!strncmp(path, "/reset", 6)) {
        memset(&totals, 0, sizeof totals);
        memset(&lateness, 0, sizeof lateness);
        departure_count = 0;
    }
    char body[512];
    sprintf(body, "{\"started\":%llu,\"finished\":%llu,\"left\":%llu,\"events\":%llu,\"late_us_p50\":%.1f,\"late_us_p99\":%.1f}\n",
            (unsigned long long)totals.started, (unsigned long long)totals.finished, (unsigned long long)totals.left,
            (unsigned long long)totals.events, quantile_us(&lateness, 0.5), quantile_us(&lateness, 0.99));
    return answer(c, body);
}

static void read_model(connection *c, const char *body, size_t count) {
    strcpy(c->model, "bench");
    const char *key = memmem(body, count, "\"model\"", 7), *end = body + count;
    const char *from = key ? memchr(key + 7, '"', (size_t)(end - key - 7)) : NULL;
    const char *to = from ? memchr(from + 1, '"', (size_t)(end - from - 1)) : NULL;
    if (to && (size_t)(to - from) < sizeof c->model) {
        memcpy(c->model, from + 1, (size_t)(to - from - 1));
        c->model[to - from - 1] = 0;
    }
}

static int start_stream(connection *c, const char *path, const char *body, size_t count) {
    c->is_anthropic = strstr(path, "/messages") != NULL;
    read_model(c, body, count);
    const char *id = memmem(body, count, "#K", 2), *usage = memmem(body, count, "\"include_usage\"", 15);
    c->id = id ? atol(id + 2) : -1;
    c->wants_usage = usage && memmem(usage, 22 < body + count - usage ? 22 : (size_t)(body + count - usage), "true", 4);
    c->deltas = option(c->model, 'n', 10);
    c->per_write = option(c->model, 'b', 1);
    if (c->per_write < 1) c->per_write = 1;
    c->interval_ns = (uint64_t)option(c->model, 'i', 0) * 1000;
    c->sent = 0;
    prepare_delta(c);
    c->is_streaming = 1;
    totals.started++;
    if (send_opening(c) < 0) return -1;
    c->due_ns = now_ns() + (uint64_t)option(c->model, 'w', 0) * 1000;
    start_timer(c);
    return 0;
}

/* Bytes of the body behind `head`, framing included; -1: it is not here yet. */
static long body_bytes(connection *c, const char *head, size_t head_bytes) {
    const char *length = strcasestr(head, "\r\ncontent-length:");
    size_t here = c->in_used - head_bytes;
    if (length) {
        long wanted = atol(length + 17);
        return (size_t)wanted <= here ? wanted : -1;
    }
    if (!strcasestr(head, "\r\ntransfer-encoding: chunked")) return 0;
    /* A small body is one chunk, so that it can be searched with its frame around it. */
    const char *body = c->in + head_bytes, *end = memmem(body, here, "\r\n0\r\n\r\n", 7);
    return end ? end + 7 - body : -1;
}

/* Begins as many requests as are complete and whose turn it is. -1: the peer is gone. */
static int read_requests(connection *c) {
    while (!c->is_streaming && c->in_used) {
        char *end = memmem(c->in, c->in_used, "\r\n\r\n", 4);
        if (!end) return 0;
        *end = 0;
        size_t head_bytes = (size_t)(end - c->in) + 4;
        long body = body_bytes(c, c->in, head_bytes);
        if (body < 0) {
            *end = '\r';
            return 0;
        }
        char *path = strchr(c->in, ' ');
        path = path ? path + 1 : c->in;
        int is_get = !strncmp(c->in, "GET ", 4);
        char *path_end = strpbrk(path, " \r");
        if (path_end) *path_end = 0;
        int fault = is_get ? answer_get(c, path) : start_stream(c, path, c->in + head_bytes, (size_t)body);
        size_t used = head_bytes + (size_t)body;
        memmove(c->in, c->in + used, c->in_used -= used);
        if (fault < 0) return -1;
    }
    return 0;
}

/* --- the loop */

static void accept_all(int listener) {
    int fd, one = 1;
    while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        connection *c = must(calloc(1, sizeof *c));
        c->fd = fd;
        c->slot = -1;
        c->in = must(malloc(c->in_size = 8192));
        c->interest = EPOLLIN | EPOLLRDHUP;
        epoll_ctl(poller, EPOLL_CTL_ADD, fd, &(struct epoll_event){.events = c->interest, .data.ptr = c});
    }
}

static void serve(connection *c, uint32_t ready) {
    int is_gone = (ready & (EPOLLHUP | EPOLLERR)) != 0;
    if (!is_gone && ready & EPOLLIN) {
        if (c->in_size - c->in_used < 4096) c->in = must(realloc(c->in, c->in_size *= 2));
        ssize_t count = read(c->fd, c->in + c->in_used, c->in_size - c->in_used);
        is_gone = count == 0 || (count < 0 && errno != EAGAIN);
        if (count > 0) {
            c->in_used += (size_t)count;
            is_gone = read_requests(c) < 0;
        }
    }
    is_gone = is_gone || ready & EPOLLRDHUP;
    if (!is_gone && ready & EPOLLOUT) is_gone = send_rest(c) < 0;
    if (is_gone) close_connection(c);
}

static void run_timers(void) {
    /* The phases of streams are spread by the golden ratio: streams that began together do not write together. */
    static double phase;
    uint64_t turn = now_ns();
    while (timer_count && timers[0]->due_ns <= turn) {
        connection *c = timers[0];
        uint64_t now = now_ns();
        if (c->interval_ns) record(&lateness, now - c->due_ns);
        int ended = step(c);
        if (ended < 0 || (ended == 1 && read_requests(c) < 0)) {
            close_connection(c);
            continue;
        }
        if (ended == 1) continue;
        if (!c->interval_ns) {
            c->due_ns = c->out_used > c->out_sent ? now + 200000 : turn + 1; /* a full socket is asked again later */
        } else if (c->sent <= c->per_write) {
            phase += 0.6180339887498949;
            phase -= (int)phase;
            c->due_ns = now + (uint64_t)((double)c->interval_ns * (0.02 + 0.98 * phase));
        } else {
            c->due_ns += c->interval_ns;
        }
        sift_down(c->slot);
    }
}

int main(int argc, char **argv) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), one = 1;
    address.sin_port = htons((uint16_t)(argc > 1 ? atoi(argv[1]) : 0));
    signal(SIGPIPE, SIG_IGN);
    prctl(PR_SET_TIMERSLACK, 1);
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(listener, (void *)&address, size) || listen(listener, 8192)) {
        perror("upstream: listen");
        return 1;
    }
    getsockname(listener, (void *)&address, &size);
    printf("listening %d\n", ntohs(address.sin_port));
    fflush(stdout);
    poller = epoll_create1(0);
    epoll_ctl(poller, EPOLL_CTL_ADD, listener, &(struct epoll_event){.events = EPOLLIN, .data.ptr = NULL});
    for (;;) {
        struct epoll_event ready[512];
        uint64_t now = now_ns(), wait = 3600ull * 1000000000ull;
        if (timer_count) wait = timers[0]->due_ns > now ? timers[0]->due_ns - now : 0;
        struct timespec timeout = timespec_of(wait);
        int count = epoll_pwait2(poller, ready, 512, &timeout, NULL);
        for (int i = 0; i < count; i++) {
            if (ready[i].data.ptr) serve(ready[i].data.ptr, ready[i].events);
            else accept_all(listener);
        }
        run_timers();
    }
}
