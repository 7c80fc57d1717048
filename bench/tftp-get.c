/*
 * TFTP downloads from one thread, all at once: RFC 1350, 2347, 2348, 2349 and 7440.
 *
 *   tftp-get -s ADDRESS [-p PORT] -f FILE [-b BLKSIZE] [-w WINDOW] [-n TRANSFERS] [-t SECONDS] [-o OUTPUT]
 *
 * What is downloaded is thrown away, or written to OUTPUT (one transfer; - is standard output, the result then goes
 * to standard error). A window of 1 is not asked for. Prints one JSON object; fails unless every transfer ended
 * with the size that was announced.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

enum { RRQ = 1, DATA = 3, ACK = 4, ERROR = 5, OACK = 6 };
enum { MAX_DATAGRAM = 65536, MAX_TRIES = 8, RETRY_NS = 1000000000 };

struct transfer {
  int fd, is_done, has_peer, tries;
  uint32_t blksize, window, in_window;
  int has_told_gap;
  uint64_t next_block, bytes, size, spoke_ns;
};

static struct sockaddr_in server;
static const char *file = "";
static int blksize = 512, window = 1;
static FILE *output;
static uint8_t packet[MAX_DATAGRAM];
static uint64_t received, repeated, retries;
static int left, failed;
static char error_text[128];

static void fail(const char *what) { perror(what); exit(2); }

static uint64_t now_ns(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static size_t put_text(char *at, const char *text) { return (size_t)sprintf(at, "%s", text) + 1; }

static size_t put_option(char *at, const char *name, int value) {
  size_t length = put_text(at, name);
  return length + (size_t)sprintf(at + length, "%d", value) + 1;
}

static void request(struct transfer *t) {
  char bytes[2048] = {0, RRQ};
  size_t length = 2;
  length += put_text(bytes + length, file);
  length += put_text(bytes + length, "octet");
  length += put_option(bytes + length, "tsize", 0);
  if (blksize != 512) length += put_option(bytes + length, "blksize", blksize);
  if (window > 1) length += put_option(bytes + length, "windowsize", window);
  sendto(t->fd, bytes, length, 0, (struct sockaddr *)&server, sizeof server);
  t->spoke_ns = now_ns();
}

/* Everything up to the block before next_block is here. */
static void acknowledge(struct transfer *t) {
  uint16_t block = (uint16_t)(t->next_block - 1);
  uint8_t bytes[4] = {0, ACK, (uint8_t)(block >> 8), (uint8_t)block};
  if (send(t->fd, bytes, sizeof bytes, 0) < 0) { /* lost like any datagram */ }
  t->in_window = 0;
  t->spoke_ns = now_ns();
}

static void end(struct transfer *t, const char *error) {
  t->is_done = 1;
  left--;
  close(t->fd);
  if (error == NULL) return;
  failed++;
  snprintf(error_text, sizeof error_text, "%.127s", error);
}

static void take_options(struct transfer *t, char *at, char *stop) {
  if (t->next_block > 1) return;
  while (at < stop) {
    char *name = at, *value = name + strlen(name) + 1;
    if (value >= stop) break;
    at = value + strlen(value) + 1;
    if (strcasecmp(name, "blksize") == 0) t->blksize = (uint32_t)atoi(value);
    if (strcasecmp(name, "windowsize") == 0) t->window = (uint32_t)atoi(value);
    if (strcasecmp(name, "tsize") == 0) t->size = strtoull(value, NULL, 10);
  }
  acknowledge(t);
}

static void take_data(struct transfer *t, uint32_t length) {
  uint16_t block = (uint16_t)(packet[2] << 8 | packet[3]);
  received++;
  if (block != (uint16_t)t->next_block) {
    repeated++;
    if (!t->has_told_gap) acknowledge(t); /* once for each gap */
    t->has_told_gap = 1;
    return;
  }
  t->has_told_gap = 0;
  if (output != NULL && fwrite(packet + 4, 1, length, output) != length) fail("output");
  t->bytes += length;
  t->next_block++;
  int is_last = length < t->blksize;
  if (is_last || ++t->in_window >= t->window) acknowledge(t);
  if (is_last) end(t, t->size == 0 || t->size == t->bytes ? NULL : "not the announced size");
}

static void receive(struct transfer *t) {
  for (int i = 0; i < 128 && !t->is_done; i++) {
    struct sockaddr_in from;
    socklen_t from_length = sizeof from;
    ssize_t length = recvfrom(t->fd, packet, sizeof packet - 1, MSG_DONTWAIT, (struct sockaddr *)&from, &from_length);
    if (length < 4) return;
    packet[length] = 0;
    if (!t->has_peer) {
      t->has_peer = 1;
      if (connect(t->fd, (struct sockaddr *)&from, sizeof from) < 0) fail("connect");
    }
    t->tries = 0;
    if (packet[1] == ERROR) end(t, (char *)packet + 4);
    if (packet[1] == OACK) take_options(t, (char *)packet + 2, (char *)packet + length);
    if (packet[1] == DATA) take_data(t, (uint32_t)length - 4);
  }
}

static void retry(struct transfer *t, uint64_t now) {
  if (t->is_done || now - t->spoke_ns < RETRY_NS) return;
  if (++t->tries > MAX_TRIES) {
    end(t, "no answer");
    return;
  }
  retries++;
  t->has_told_gap = 0;
  if (t->has_peer) acknowledge(t);
  else request(t);
}

static void begin(struct transfer *t, int poll_fd) {
  int room = 4 << 20;
  *t = (struct transfer){.blksize = 512, .window = 1, .next_block = 1};
  t->fd = socket(AF_INET, SOCK_DGRAM, 0);
  if (t->fd < 0) fail("socket");
  setsockopt(t->fd, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof room);
  struct epoll_event event = {.events = EPOLLIN, .data.ptr = t};
  if (epoll_ctl(poll_fd, EPOLL_CTL_ADD, t->fd, &event) < 0) fail("epoll_ctl");
  request(t);
}

int main(int argc, char **argv) {
  int option, count = 1, port = 69, seconds = 120;
  server.sin_family = AF_INET;
  while ((option = getopt(argc, argv, "s:p:f:b:w:n:t:o:")) > 0) {
    if (option == 's') inet_pton(AF_INET, optarg, &server.sin_addr);
    if (option == 'p') port = atoi(optarg);
    if (option == 'f') file = optarg;
    if (option == 'b') blksize = atoi(optarg);
    if (option == 'w') window = atoi(optarg);
    if (option == 'n') count = atoi(optarg);
    if (option == 't') seconds = atoi(optarg);
    if (option == 'o') output = strcmp(optarg, "-") == 0 ? stdout : fopen(optarg, "w");
  }
  server.sin_port = htons((uint16_t)port);
  struct rlimit files = {(rlim_t)count + 64, (rlim_t)count + 64};
  setrlimit(RLIMIT_NOFILE, &files);
  int poll_fd = epoll_create1(0);
  struct transfer *all = calloc((size_t)count, sizeof *all);
  if (poll_fd < 0 || all == NULL) fail("start");
  uint64_t began = now_ns(), checked = began;
  left = count;
  for (int i = 0; i < count; i++) begin(&all[i], poll_fd);
  while (left > 0 && now_ns() - began < (uint64_t)seconds * 1000000000u) {
    struct epoll_event events[256];
    int ready = epoll_wait(poll_fd, events, 256, 100);
    for (int i = 0; i < ready; i++) receive(events[i].data.ptr);
    uint64_t now = now_ns();
    if (now - checked < 100000000u) continue;
    checked = now;
    for (int i = 0; i < count; i++) retry(&all[i], now);
  }
  double took = (double)(now_ns() - began) / 1e9;
  uint64_t bytes = 0;
  for (int i = 0; i < count; i++) bytes += all[i].bytes;
  if (output != NULL && fclose(output) != 0) fail("output");
  fprintf(output == NULL ? stdout : stderr,
          "{\"ok\":%d,\"failed\":%d,\"unfinished\":%d,\"bytes\":%lu,\"seconds\":%.3f,\"blksize\":%u,\"window\":%u,"
          "\"blocks\":%lu,\"out_of_order\":%lu,\"retries\":%lu,\"error\":\"%s\"}\n",
          count - failed - left, failed, left, (unsigned long)bytes, took, all[0].blksize, all[0].window,
          (unsigned long)received, (unsigned long)repeated, (unsigned long)retries, error_text);
  return failed + left == 0 ? 0 : 1;
}
