/*
 * iSCSI load from one thread over one connection: keeps a queue of commands full and counts.
 *   iscsi-load -p PORT -P TARGET_PID -m rr|rw|sr|sw -b BYTES -q DEPTH -t SECONDS
 * r/s: random or sequential, r/w: read or write. Prints one JSON object; iops_per_cpu is commands per second of
 * the target's CPU time. Logs in as iqn.2026-01.load:0 to LUN 1 of iqn.2026-01.bench:0.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { BHS = 48, MAX_DEPTH = 128, BLOCK = 512, RX_BYTES = 262144 };

static int fd, port, target_pid, depth = 32, bytes = 4096, seconds = 3;
static const char *mode = "rr";
static uint32_t cmd_sn = 1, exp_stat_sn, blocks;
static uint32_t max_burst = 262144, first_burst = 65536, segment = 8192;
static uint64_t random_state = 88172645463325252ull, sequence, done;
static uint8_t payload[1 << 20], rx[RX_BYTES];

static void put32(uint8_t *p, uint32_t v) { v = htonl(v); memcpy(p, &v, 4); }
static uint32_t get32(const uint8_t *p) { uint32_t v; memcpy(&v, p, 4); return ntohl(v); }

static void fail(const char *what) { perror(what); exit(2); }

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec + t.tv_nsec * 1e-9;
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

static void send_all(const void *from, size_t n) {
  for (const uint8_t *p = from; n > 0;) {
    ssize_t sent = send(fd, p, n, MSG_NOSIGNAL);
    if (sent <= 0) fail("send");
    p += sent;
    n -= sent;
  }
}

static void receive_all(void *to, size_t n) {
  for (uint8_t *p = to; n > 0;) {
    ssize_t got = recv(fd, p, n, 0);
    if (got <= 0) fail("recv");
    p += got;
    n -= got;
  }
}

/* One PDU into header and data; returns the length of its data. */
static uint32_t receive_pdu(uint8_t *header, uint8_t *data, uint32_t room) {
  receive_all(header, BHS);
  uint32_t length = get32(header + 4) & 0xffffff, padded = (length + 3) & ~3u;
  if (padded > room) { fprintf(stderr, "PDU of %u bytes\n", length); exit(2); }
  receive_all(data, padded);
  return length;
}

static void send_header(uint8_t *h, uint32_t data_length) {
  h[5] = data_length >> 16;
  h[6] = data_length >> 8;
  h[7] = data_length;
  put32(h + 28, exp_stat_sn);
  send_all(h, BHS);
}

static void keep(const char *pair) {
  sscanf(pair, "MaxRecvDataSegmentLength=%u", &segment);
  sscanf(pair, "FirstBurstLength=%u", &first_burst);
  sscanf(pair, "MaxBurstLength=%u", &max_burst);
}

static void login(void) {
  static const char text[] =
      "InitiatorName=iqn.2026-01.load:0\0TargetName=iqn.2026-01.bench:0\0SessionType=Normal\0"
      "HeaderDigest=None\0DataDigest=None\0InitialR2T=No\0ImmediateData=Yes\0MaxBurstLength=262144\0"
      "FirstBurstLength=262144\0MaxRecvDataSegmentLength=262144\0ErrorRecoveryLevel=0\0MaxConnections=1";
  uint8_t header[BHS], padded[1024] = {0}, data[16384];
  memcpy(padded, text, sizeof text);
  for (uint32_t length = sizeof text;; length = 0) {
    uint8_t h[BHS] = {0x43, 0x87, [8] = 0x80, [13] = 1};
    put32(h + 24, cmd_sn);
    send_header(h, length);
    send_all(padded, (length + 3) & ~3u);
    memset(data, 0, sizeof data);
    uint32_t got = receive_pdu(header, data, sizeof data - 1);
    if (header[36]) { fprintf(stderr, "login failed %02x%02x\n", header[36], header[37]); exit(2); }
    for (uint32_t at = 0; at < got; at += strlen((char *)data + at) + 1) keep((char *)data + at);
    exp_stat_sn = get32(header + 24) + 1;
    if ((header[1] & 0x83) == 0x83) return;
  }
}

static void send_command(uint32_t tag, const uint8_t *cdb, int is_write, uint32_t length) {
  uint8_t h[BHS] = {0x01, 0x81 | (is_write ? 0x20 : length ? 0x40 : 0), [9] = 1};
  put32(h + 16, tag);
  put32(h + 20, length);
  put32(h + 24, cmd_sn++);
  memcpy(h + 32, cdb, 10);
  uint32_t limit = first_burst < segment ? first_burst : segment;
  uint32_t immediate = !is_write ? 0 : length < limit ? length : limit;
  send_header(h, immediate);
  if (immediate) send_all(payload, immediate);
}

/* A command run alone; returns its status. */
static int run(const uint8_t *cdb, uint8_t *in, uint32_t length) {
  uint8_t header[BHS], data[4096];
  send_command(0x7000, cdb, 0, length);
  for (;;) {
    uint32_t got = receive_pdu(header, data, sizeof data);
    int opcode = header[0] & 0x3f;
    if (opcode == 0x25) memcpy(in, data, got < length ? got : length);
    if (opcode != 0x21 && !(opcode == 0x25 && (header[1] & 1))) continue;
    exp_stat_sn = get32(header + 24) + 1;
    return header[3];
  }
}

static void issue(uint32_t tag) {
  uint32_t units = blocks / (bytes / BLOCK);
  random_state ^= random_state << 13;
  random_state ^= random_state >> 7;
  random_state ^= random_state << 17;
  uint32_t unit = (mode[0] == 's' ? sequence++ : random_state >> 11) % units;
  int is_write = mode[1] == 'w';
  uint8_t cdb[10] = {is_write ? 0x2a : 0x28, [7] = bytes / BLOCK >> 8, [8] = bytes / BLOCK};
  put32(cdb + 2, unit * (bytes / BLOCK));
  send_command(tag, cdb, is_write, bytes);
}

/* What an R2T asks for, in one burst. */
static void answer_r2t(const uint8_t *r2t) {
  uint32_t offset = get32(r2t + 40), left = get32(r2t + 44);
  for (uint32_t sn = 0; left > 0; sn++) {
    uint32_t length = left < segment ? left : segment;
    left -= length;
    uint8_t h[BHS] = {0x05, left ? 0 : 0x80, [9] = 1};
    memcpy(h + 16, r2t + 16, 8);
    put32(h + 36, sn);
    put32(h + 40, offset);
    send_header(h, length);
    send_all(payload + offset, length);
    offset += length;
  }
}

static void on_pdu(const uint8_t *h) {
  int opcode = h[0] & 0x3f;
  if (opcode == 0x31) answer_r2t(h);
  if (opcode != 0x21 && !(opcode == 0x25 && (h[1] & 1))) return;
  if (h[3]) { fprintf(stderr, "status %02x\n", h[3]); exit(2); }
  exp_stat_sn = get32(h + 24) + 1;
  done++;
  issue(get32(h + 16));
}

/* Takes what the socket has; data segments are passed over. */
static void receive_some(void) {
  static uint32_t held, skip;
  ssize_t got = recv(fd, rx + held, RX_BYTES - held, 0);
  if (got <= 0) fail("recv");
  uint32_t at = 0, end = held + got;
  while (at < end) {
    uint32_t passed = end - at < skip ? end - at : skip;
    at += passed;
    skip -= passed;
    if (skip || end - at < BHS) break;
    skip = ((get32(rx + at + 4) & 0xffffff) + 3) & ~3u;
    on_pdu(rx + at);
    at += BHS;
  }
  held = end - at;
  memmove(rx, rx + at, held);
}

static void parse(int argc, char **argv) {
  for (int option; (option = getopt(argc, argv, "p:P:m:b:q:t:")) > 0;) switch (option) {
      case 'p': port = atoi(optarg); break;
      case 'P': target_pid = atoi(optarg); break;
      case 'm': mode = optarg; break;
      case 'b': bytes = atoi(optarg); break;
      case 'q': depth = atoi(optarg); break;
      case 't': seconds = atoi(optarg); break;
      default: exit(1);
    }
  if (depth > MAX_DEPTH || bytes > (int)sizeof payload || bytes % BLOCK) exit(1);
}

int main(int argc, char **argv) {
  parse(argc, argv);
  struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  fd = socket(AF_INET, SOCK_STREAM, 0);
  int one = 1;
  if (connect(fd, (void *)&to, sizeof to)) fail("connect");
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  random_state ^= (uint64_t)getpid() << 32; /* another order in every round */
  for (size_t i = 0; i < sizeof payload; i++) payload[i] = i * 2654435761u >> 13;
  login();
  uint8_t ready[10] = {0}, capacity[10] = {0x25}, answer[8] = {0};
  for (int i = 0; i < 5 && run(ready, answer, 0); i++) continue;
  if (run(capacity, answer, 8)) { fprintf(stderr, "READ CAPACITY failed\n"); return 2; }
  blocks = get32(answer) + 1;
  for (int tag = 0; tag < depth; tag++) issue(tag);
  double start = now(), cpu = 0, began = 0;
  for (uint64_t counted = 0;;) {
    receive_some();
    double t = now();
    if (!began && t - start > 1) { began = t; cpu = target_cpu(); counted = done; }
    if (!began || t - began < seconds) continue;
    double used = target_cpu() - cpu, ios = done - counted;
    printf("{\"mode\":\"%s\",\"iops\":%.0f,\"MBps\":%.1f,\"cpu\":%.2f,\"iops_per_cpu\":%.0f}\n", mode,
           ios / (t - began), ios * bytes / 1e6 / (t - began), used / (t - began), used > 0 ? ios / used : 0);
    return 0;
  }
}
