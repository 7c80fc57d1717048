/*
 * iSCSI load from one thread over many connections: keeps each one's queue of commands full, counts and times.
 *
 *   iscsi-load -p PORT -P TARGET_PID -m MODE [-b BYTES] [-q DEPTH] [-t SECONDS] [-c CONNECTIONS] [-n TARGETS]
 *              [-i FIRST_TARGET] [-d SEGMENT_BYTES] [-s SPAN_BYTES] [-f TRACE]
 *
 * Connection k logs in as iqn.2026-01.load:0 to LUN 1 of iqn.2026-01.bench:(FIRST_TARGET + k mod TARGETS).
 * Modes: rr, rw random read, write; sr, sw sequential; fw writes each unit of the span once, in scattered order;
 * boot reads SPAN_BYTES in sequence at depth 1 with 8 KiB segments as firmware does, then logs in again with
 * large segments and replays TRACE (lines "lba blocks"), as an operating system does.
 * SEGMENT_BYTES is the MaxRecvDataSegmentLength that we declare. Prints one JSON object.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

enum { BHS = 48, MAX_DEPTH = 128, BLOCK = 512, RX_BYTES = 262144, MAX_CONNECTIONS = 1024, BUCKETS = 1024 };
enum { FIRMWARE_SEGMENT = 8192, FIRMWARE_READ = 262144, LARGE_SEGMENT = 262144, MAX_TRACE = 1 << 20 };

struct slot {
  uint64_t began_ns;
  uint32_t bytes;
  int is_busy;
};

struct connection {
  int fd, index, open, is_polled_out, is_firmware, is_done;
  uint32_t cmd_sn, max_cmd_sn, exp_stat_sn, blocks, segment, first_burst;
  uint64_t random, sequence, began_ns, ended_ns;
  struct slot slots[MAX_DEPTH];
  uint8_t *rx, *tx;
  uint32_t held, skip, tx_room, tx_from, tx_to;
};

static int poll_fd, port, target_pid, depth = 32, bytes = 4096, seconds = 3, count = 1, targets = 1, first_target;
static uint32_t declared = LARGE_SEGMENT;
static uint64_t span;
static const char *mode = "rr";
static uint8_t payload[1 << 20];
static uint64_t done, done_bytes, histogram[BUCKETS];
static int is_measuring, live;
static struct { uint32_t lba, blocks; } trace[MAX_TRACE];
static uint32_t trace_length;

static void put32(uint8_t *p, uint32_t v) { v = htonl(v); memcpy(p, &v, 4); }
static uint32_t get32(const uint8_t *p) { uint32_t v; memcpy(&v, p, 4); return ntohl(v); }
static uint32_t least(uint64_t a, uint64_t b) { return a < b ? a : b; }
static void fail(const char *what) { perror(what); exit(2); }
static int is_mode(const char *name) { return strcmp(mode, name) == 0; }

static uint64_t now_ns(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * 1000000000ull + t.tv_nsec;
}

/* CPU seconds of the target, all threads, user and system. */
static double target_cpu(void) {
  char path[64], text[1024];
  unsigned long long user = 0, system = 0;
  snprintf(path, sizeof path, "/proc/%d/stat", target_pid);
  FILE *file = fopen(path, "r");
  if (!file) return 0;
  size_t n = fread(text, 1, sizeof text - 1, file);
  fclose(file);
  text[n] = 0;
  char *end = strrchr(text, ')');
  if (end) sscanf(end + 2, "%*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %llu %llu", &user, &system);
  return (user + system) / (double)sysconf(_SC_CLK_TCK);
}

/* Sixteen buckets for each doubling of the microseconds. */
static int bucket_of(uint64_t ns) {
  double us = ns / 1e3;
  int power = 0;
  while (us >= 2 && power < BUCKETS / 16 - 1) us /= 2, power++;
  return power * 16 + (us < 1 ? 0 : (int)((us - 1) * 16));
}

static double percentile(double part) {
  uint64_t seen = 0;
  for (int i = 0; i < BUCKETS; i++) {
    seen += histogram[i];
    if (seen && seen >= part * done) return (double)(1ull << i / 16) * (1 + (i % 16 + 0.5) / 16);
  }
  return 0;
}

/* ---- Output: a queue of bytes that the socket takes when it can. */

static void queue(struct connection *c, const void *from, uint32_t n) {
  if (c->tx_to + n > c->tx_room) {
    memmove(c->tx, c->tx + c->tx_from, c->tx_to - c->tx_from);
    c->tx_to -= c->tx_from;
    c->tx_from = 0;
    while (c->tx_to + n > c->tx_room) c->tx_room = c->tx_room ? c->tx_room * 2 : 1 << 16;
    if (!(c->tx = realloc(c->tx, c->tx_room))) fail("realloc");
  }
  memcpy(c->tx + c->tx_to, from, n);
  c->tx_to += n;
}

static void flush(struct connection *c) {
  while (c->tx_from < c->tx_to) {
    ssize_t sent = send(c->fd, c->tx + c->tx_from, c->tx_to - c->tx_from, MSG_NOSIGNAL);
    if (sent < 0 && errno == EAGAIN) break;
    if (sent <= 0) fail("send");
    c->tx_from += sent;
  }
  int wants_out = c->tx_from < c->tx_to;
  if (!wants_out) c->tx_from = c->tx_to = 0;
  if (wants_out == c->is_polled_out) return;
  struct epoll_event event = {.events = EPOLLIN | (wants_out ? EPOLLOUT : 0), .data.ptr = c};
  epoll_ctl(poll_fd, EPOLL_CTL_MOD, c->fd, &event);
  c->is_polled_out = wants_out;
}

static void put_length(uint8_t *h, uint32_t length) { h[5] = length >> 16, h[6] = length >> 8, h[7] = length; }

/* ---- Login and set-up: blocking, one PDU at a time. */

static void send_all(struct connection *c, const void *from, size_t n) {
  if (send(c->fd, from, n, MSG_NOSIGNAL) != (ssize_t)n) fail("send");
}

static uint32_t receive_pdu(struct connection *c, uint8_t *header, uint8_t *data, uint32_t room) {
  if (recv(c->fd, header, BHS, MSG_WAITALL) != BHS) fail("recv");
  uint32_t length = get32(header + 4) & 0xffffff, padded = (length + 3) & ~3u;
  if (padded > room) { fprintf(stderr, "PDU of %u bytes\n", length); exit(2); }
  if (padded && recv(c->fd, data, padded, MSG_WAITALL) != (ssize_t)padded) fail("recv");
  return length;
}

static void keep(struct connection *c, const char *pair) {
  sscanf(pair, "MaxRecvDataSegmentLength=%u", &c->segment);
  sscanf(pair, "FirstBurstLength=%u", &c->first_burst);
}

static uint32_t login_text(const struct connection *c, uint32_t segment, char *to, size_t room) {
  int n = snprintf(to, room,
                   "InitiatorName=iqn.2026-01.load:0%cTargetName=iqn.2026-01.bench:%d%cSessionType=Normal%c"
                   "HeaderDigest=None%cDataDigest=None%cInitialR2T=No%cImmediateData=Yes%cMaxBurstLength=262144%c"
                   "FirstBurstLength=262144%cMaxRecvDataSegmentLength=%u%cErrorRecoveryLevel=0%cMaxConnections=1%c",
                   0, first_target + c->index % targets, 0, 0, 0, 0, 0, 0, 0, 0, segment, 0, 0, 0);
  return n;
}

static void log_in(struct connection *c, uint32_t segment) {
  uint8_t header[BHS], data[16384];
  char text[1024] = {0};
  uint32_t length = login_text(c, segment, text, sizeof text);
  c->cmd_sn = 1, c->exp_stat_sn = 0, c->segment = 8192, c->first_burst = 65536;
  for (;; length = 0) {
    uint8_t h[BHS] = {0x43, 0x87, [8] = 0x80, [10] = c->index >> 8, [11] = c->index, [13] = 1};
    put_length(h, length);
    put32(h + 24, c->cmd_sn);
    put32(h + 28, c->exp_stat_sn);
    send_all(c, h, BHS);
    if (length) send_all(c, text, (length + 3) & ~3u);
    memset(data, 0, sizeof data);
    uint32_t got = receive_pdu(c, header, data, sizeof data - 1);
    if (header[36]) { fprintf(stderr, "login failed %02x%02x\n", header[36], header[37]); exit(2); }
    for (uint32_t at = 0; at < got; at += strlen((char *)data + at) + 1) keep(c, (char *)data + at);
    c->exp_stat_sn = get32(header + 24) + 1;
    c->max_cmd_sn = get32(header + 32);
    if ((header[1] & 0x83) == 0x83) return;
  }
}

/* A command run alone; returns its status. */
static int run(struct connection *c, const uint8_t *cdb, uint8_t *in, uint32_t length) {
  uint8_t header[BHS], data[4096], h[BHS] = {0x01, 0x81 | (length ? 0x40 : 0), [9] = 1};
  put32(h + 16, 0x7000);
  put32(h + 20, length);
  put32(h + 24, c->cmd_sn++);
  put32(h + 28, c->exp_stat_sn);
  memcpy(h + 32, cdb, 10);
  send_all(c, h, BHS);
  for (;;) {
    uint32_t got = receive_pdu(c, header, data, sizeof data);
    int opcode = header[0] & 0x3f;
    if (opcode == 0x25) memcpy(in, data, least(got, length));
    if (opcode != 0x21 && !(opcode == 0x25 && (header[1] & 1))) continue;
    c->exp_stat_sn = get32(header + 24) + 1;
    c->max_cmd_sn = get32(header + 32);
    return header[3];
  }
}

static void connect_to_target(struct connection *c, uint32_t segment) {
  struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  int one = 1;
  c->fd = socket(AF_INET, SOCK_STREAM, 0);
  if (connect(c->fd, (void *)&to, sizeof to)) fail("connect");
  setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  log_in(c, segment);
  uint8_t ready[10] = {0}, capacity[10] = {0x25}, answer[8] = {0};
  for (int i = 0; i < 5 && run(c, ready, answer, 0); i++) continue;
  if (run(c, capacity, answer, 8)) { fprintf(stderr, "READ CAPACITY failed\n"); exit(2); }
  c->blocks = get32(answer) + 1;
  c->held = c->skip = c->tx_from = c->tx_to = c->is_polled_out = 0;
  fcntl(c->fd, F_SETFL, O_NONBLOCK);
  struct epoll_event event = {.events = EPOLLIN, .data.ptr = c};
  epoll_ctl(poll_fd, EPOLL_CTL_ADD, c->fd, &event);
}

/* ---- Load. */

/* Where the next command goes; 0 when there is none left. */
static int next_range(struct connection *c, uint32_t *lba, uint32_t *blocks) {
  uint64_t n = c->sequence++;
  *blocks = bytes / BLOCK;
  if (is_mode("boot") && !c->is_firmware) {
    if (n >= trace_length) return 0;
    *lba = trace[n].lba;
    *blocks = trace[n].blocks;
    return 1;
  }
  uint64_t size = is_mode("boot") ? FIRMWARE_READ : (uint64_t)bytes;
  uint64_t limit = (uint64_t)c->blocks * BLOCK, units = (span && span < limit ? span : limit) / size, unit = n % units;
  *blocks = size / BLOCK;
  if ((is_mode("boot") || is_mode("fw")) && n >= units) return 0;
  if (mode[0] == 'r') {
    c->random ^= c->random << 13, c->random ^= c->random >> 7, c->random ^= c->random << 17;
    unit = (c->random >> 11) % units;
  }
  if (is_mode("fw")) unit = n * 7919 % units; /* a prime: every unit comes once unless it divides their number */
  *lba = unit * *blocks;
  return 1;
}

static void issue(struct connection *c, int tag, uint32_t lba, uint32_t blocks) {
  uint32_t length = blocks * BLOCK;
  int is_write = mode[1] == 'w';
  struct slot *slot = &c->slots[tag];
  *slot = (struct slot){now_ns(), length, 1};
  c->open++;
  uint32_t immediate = is_write ? least(length, least(c->first_burst, c->segment)) : 0;
  uint8_t h[BHS] = {0x01, 0x81 | (is_write ? 0x20 : 0x40), [9] = 1, [32] = is_write ? 0x2a : 0x28};
  put_length(h, immediate);
  put32(h + 16, tag);
  put32(h + 20, length);
  put32(h + 24, c->cmd_sn++);
  put32(h + 28, c->exp_stat_sn);
  put32(h + 34, lba);
  h[39] = blocks >> 8, h[40] = blocks;
  queue(c, h, BHS);
  if (immediate) queue(c, payload, immediate);
}

static void fill_queue(struct connection *c) {
  int limit = c->is_firmware ? 1 : depth;
  for (int tag = 0; tag < limit && (int32_t)(c->max_cmd_sn - c->cmd_sn) >= 0; tag++) {
    uint32_t lba, blocks;
    if (c->slots[tag].is_busy) continue;
    if (!next_range(c, &lba, &blocks)) break;
    issue(c, tag, lba, blocks);
  }
}

/* What an R2T asks for, in one burst. */
static void answer_r2t(struct connection *c, const uint8_t *r2t) {
  uint32_t offset = get32(r2t + 40), left = get32(r2t + 44);
  for (uint32_t sn = 0; left > 0; sn++) {
    uint32_t length = least(left, c->segment);
    left -= length;
    uint8_t h[BHS] = {0x05, left ? 0 : 0x80, [9] = 1};
    put_length(h, length);
    memcpy(h + 16, r2t + 16, 8);
    put32(h + 28, c->exp_stat_sn);
    put32(h + 36, sn);
    put32(h + 40, offset);
    queue(c, h, BHS);
    queue(c, payload + offset, length);
    offset += length;
  }
}

static void answer_ping(struct connection *c, const uint8_t *ping) {
  uint8_t h[BHS] = {0x40, 0x80};
  memcpy(h + 8, ping + 8, 8);
  put32(h + 16, 0xffffffff);
  memcpy(h + 20, ping + 20, 4);
  put32(h + 24, c->cmd_sn);
  put32(h + 28, c->exp_stat_sn);
  queue(c, h, BHS);
}

static void on_pdu(struct connection *c, const uint8_t *h) {
  int opcode = h[0] & 0x3f;
  if (opcode == 0x31) answer_r2t(c, h);
  if (opcode == 0x20 && get32(h + 20) != 0xffffffff) answer_ping(c, h);
  if (opcode != 0x21 && !(opcode == 0x25 && (h[1] & 1))) return;
  if (h[3]) { fprintf(stderr, "status %02x\n", h[3]); exit(2); }
  c->exp_stat_sn = get32(h + 24) + 1;
  c->max_cmd_sn = get32(h + 32);
  struct slot *slot = &c->slots[get32(h + 16) % MAX_DEPTH];
  slot->is_busy = 0;
  c->open--;
  if (!is_measuring) return;
  done++;
  done_bytes += slot->bytes;
  histogram[bucket_of(now_ns() - slot->began_ns)]++;
}

/* A queue that ran empty: firmware hands over to the operating system, everybody else is done. */
static void ran_empty(struct connection *c) {
  epoll_ctl(poll_fd, EPOLL_CTL_DEL, c->fd, NULL);
  close(c->fd);
  if (!c->is_firmware || trace_length == 0) {
    c->is_done = 1;
    c->ended_ns = now_ns();
    live--;
    return;
  }
  c->is_firmware = c->sequence = 0;
  connect_to_target(c, LARGE_SEGMENT);
  fill_queue(c);
  flush(c);
}

/* Bytes taken from the socket, 0 when it has none now. */
static uint32_t receive(struct connection *c, void *to, uint32_t room, int flags) {
  ssize_t got = recv(c->fd, to, room, MSG_DONTWAIT | flags);
  if (got < 0 && errno == EAGAIN) return 0;
  if (got <= 0) fail("recv");
  return got;
}

/* Takes what the socket has; data segments are passed over, large ones without being copied. */
static void receive_some(struct connection *c) {
  if (c->held == 0 && c->skip > 4096) c->skip -= receive(c, c->rx, c->skip, MSG_TRUNC);
  uint32_t at = 0, end = c->held + receive(c, c->rx + c->held, RX_BYTES - c->held, 0);
  while (at < end) {
    uint32_t passed = least(end - at, c->skip);
    at += passed;
    c->skip -= passed;
    if (c->skip || end - at < BHS) break;
    c->skip = ((get32(c->rx + at + 4) & 0xffffff) + 3) & ~3u;
    on_pdu(c, c->rx + at);
    at += BHS;
  }
  c->held = end - at;
  memmove(c->rx, c->rx + at, c->held);
  fill_queue(c);
  flush(c);
  if (c->open == 0 && c->skip == 0) ran_empty(c);
}

static void read_trace(const char *path) {
  FILE *file = fopen(path, "r");
  if (!file) fail(path);
  char line[256];
  while (trace_length < MAX_TRACE && fgets(line, sizeof line, file))
    if (sscanf(line, "%u %u", &trace[trace_length].lba, &trace[trace_length].blocks) == 2) trace_length++;
  fclose(file);
}

static void parse(int argc, char **argv) {
  for (int option; (option = getopt(argc, argv, "p:P:m:b:q:t:c:n:i:d:s:f:")) > 0;) switch (option) {
      case 'p': port = atoi(optarg); break;
      case 'P': target_pid = atoi(optarg); break;
      case 'm': mode = optarg; break;
      case 'b': bytes = atoi(optarg); break;
      case 'q': depth = atoi(optarg); break;
      case 't': seconds = atoi(optarg); break;
      case 'c': count = atoi(optarg); break;
      case 'n': targets = atoi(optarg); break;
      case 'i': first_target = atoi(optarg); break;
      case 'd': declared = atoi(optarg); break;
      case 's': span = strtoull(optarg, NULL, 10); break;
      case 'f': read_trace(optarg); break;
      default: exit(1);
    }
  if (depth > MAX_DEPTH || count > MAX_CONNECTIONS || bytes > (int)sizeof payload || bytes % BLOCK) exit(1);
}

static int by_value(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

/* Seconds each connection took, for loads that end by themselves. */
static void print_durations(const struct connection *connections) {
  double each[MAX_CONNECTIONS];
  for (int i = 0; i < count; i++) each[i] = (connections[i].ended_ns - connections[i].began_ns) / 1e9;
  qsort(each, count, sizeof *each, by_value);
  printf(",\"median_s\":%.3f,\"slowest_s\":%.3f", each[count / 2], each[count - 1]);
}

int main(int argc, char **argv) {
  parse(argc, argv);
  int is_bounded = is_mode("fw") || is_mode("boot");
  poll_fd = epoll_create1(0);
  for (size_t i = 0; i < sizeof payload; i++) payload[i] = i * 2654435761u >> 13;
  struct connection *connections = calloc(count, sizeof *connections);
  for (int i = 0; i < count; i++) {
    struct connection *c = &connections[i];
    c->index = i;
    c->is_firmware = is_mode("boot");
    c->random = 88172645463325252ull * (i + 1) ^ (uint64_t)getpid() << 32; /* another order in every round */
    if (!(c->rx = malloc(RX_BYTES))) fail("malloc");
    connect_to_target(c, is_mode("boot") ? FIRMWARE_SEGMENT : declared);
    if (mode[0] == 's') c->sequence = (uint64_t)c->blocks * BLOCK / bytes / count * i;
  }
  live = count;
  uint64_t start = now_ns(), began = is_bounded ? start : 0;
  double cpu = is_bounded ? target_cpu() : 0;
  is_measuring = is_bounded;
  for (int i = 0; i < count; i++) {
    connections[i].began_ns = start;
    fill_queue(&connections[i]);
    flush(&connections[i]);
  }
  while (live > 0) {
    struct epoll_event events[64];
    int n = epoll_wait(poll_fd, events, 64, 500);
    for (int i = 0; i < n; i++) {
      struct connection *c = events[i].data.ptr;
      if (events[i].events & EPOLLOUT) flush(c);
      if (events[i].events & ~(uint32_t)EPOLLOUT && !c->is_done) receive_some(c);
    }
    if (is_bounded) continue;
    uint64_t t = now_ns();
    if (!began && t - start > 1000000000ull) began = t, cpu = target_cpu(), is_measuring = 1;
    if (began && t - began >= seconds * 1000000000ull) break;
  }
  double took = (now_ns() - began) / 1e9, used = target_cpu() - cpu;
  printf("{\"mode\":\"%s\",\"seconds\":%.3f,\"iops\":%.0f,\"MBps\":%.1f,\"p50_us\":%.1f,\"p99_us\":%.1f,\"cpu\":%.2f,"
         "\"iops_per_cpu\":%.0f",
         mode, took, done / took, done_bytes / 1e6 / took, percentile(0.5), percentile(0.99), used / took,
         used > 0 ? done / used : 0);
  if (is_bounded) print_durations(connections);
  printf("}\n");
  return 0;
}
