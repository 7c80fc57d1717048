// DHCP clients that need an address: DISCOVER, OFFER, REQUEST, ACK with the broadcast flag, by many MACs at once.
//
// dhcp-load -i INTERFACE [-n EXCHANGES] [-m MACS] [-b FIRST] [-w OUTSTANDING] [-r RETRY_MS] [-t SECONDS]
//
// Exchange number x is done by MAC FIRST + x mod MACS. Prints one JSON object: exchanges done and given up, NAKs,
// repeated questions, addresses that two MACs were given, seconds, and latencies (DISCOVER to ACK) in ms.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { DISCOVER = 1, OFFER = 2, REQUEST = 3, ACK = 5, NAK = 6 };
enum { FIXED = 240, SHORTEST = 300, TRIES = 8, MAX_CLIENTS = 1 << 16, XID_MARK = 0x4c44 };

struct client {
  uint32_t mac, ip, server;
  int waits_for; // 0, OFFER or ACK
  int tries;
  double begun, asked;
};

static struct client clients[MAX_CLIENTS];
static uint32_t *owner; // of each address: MAC + 1
static double *latencies;
static int sock, done, failed, naks, repeats, twice, started;
static int exchanges = 2000, macs, outstanding = 16, retry_ms = 1000, seconds = 60;
static uint32_t first_mac;

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec + t.tv_nsec * 1e-9;
}

static uint8_t *option(uint8_t *at, int code, const void *value, int length) {
  *at++ = code;
  *at++ = length;
  memcpy(at, value, length);
  return at + length;
}

static void ask(struct client *c) {
  static const uint8_t header[] = {1, 1, 6, 0};
  static const uint8_t cookie[] = {0x63, 0x82, 0x53, 0x63};
  uint8_t packet[600] = {0}, *at = packet + FIXED;
  uint32_t xid = htonl(XID_MARK << 16 | (uint32_t)(c - clients)), mac = htonl(c->mac);
  uint8_t type = c->waits_for == OFFER ? DISCOVER : REQUEST;
  memcpy(packet, header, sizeof header);
  memcpy(packet + 4, &xid, 4);
  packet[10] = 0x80;
  packet[28] = 2;
  memcpy(packet + 30, &mac, 4);
  memcpy(packet + 236, cookie, 4);
  at = option(at, 53, &type, 1);
  if (type == REQUEST) {
    at = option(at, 50, &c->ip, 4);
    at = option(at, 54, &c->server, 4);
  }
  at = option(at, 55, "\x01\x03\x06\x33", 4);
  at = option(at, 60, "PXEClient:Arch:00000:UNDI:002001", 32);
  at = option(at, 93, "\0\0", 2);
  *at++ = 255;
  int length = at - packet < SHORTEST ? SHORTEST : at - packet;
  struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(67)};
  to.sin_addr.s_addr = INADDR_BROADCAST;
  c->asked = now();
  sendto(sock, packet, length, 0, (struct sockaddr *)&to, sizeof to);
}

static void begin(struct client *c) {
  c->waits_for = 0;
  if (started == exchanges) return;
  c->mac = first_mac + started++ % macs;
  c->waits_for = OFFER;
  c->tries = 0;
  c->begun = now();
  ask(c);
}

static void check_owner(struct client *c, uint32_t ip) {
  uint32_t *mine = &owner[ntohl(ip) & 0xffffff];
  if (*mine != 0 && *mine != c->mac + 1) twice++;
  *mine = c->mac + 1;
}

static void heard(const uint8_t *packet, int length) {
  uint32_t xid, mac;
  memcpy(&xid, packet + 4, 4);
  memcpy(&mac, packet + 30, 4);
  xid = ntohl(xid);
  struct client *c = &clients[xid & 0xffff];
  if (packet[0] != 2 || xid >> 16 != XID_MARK || ntohl(mac) != c->mac) return;
  int type = 0;
  uint32_t server = 0;
  for (int at = FIXED; at + 1 < length && packet[at] != 255;) {
    if (packet[at] == 0) {
      at++;
      continue;
    }
    if (packet[at] == 53) type = packet[at + 2];
    if (packet[at] == 54) memcpy(&server, packet + at + 2, 4);
    at += 2 + packet[at + 1];
  }
  if (type == OFFER && c->waits_for == OFFER) {
    memcpy(&c->ip, packet + 16, 4);
    c->server = server;
    c->waits_for = ACK;
    c->tries = 0;
    ask(c);
  } else if (type == ACK && c->waits_for == ACK) {
    latencies[done++] = now() - c->begun;
    check_owner(c, c->ip);
    begin(c);
  } else if (type == NAK && c->waits_for == ACK) { // begin again (RFC 2131 §3.1)
    naks++;
    c->waits_for = OFFER;
    ask(c);
  }
}

static void repeat(void) {
  double t = now();
  for (int i = 0; i < outstanding; i++) {
    struct client *c = &clients[i];
    if (c->waits_for == 0 || t - c->asked < retry_ms * 1e-3) continue;
    if (++c->tries == TRIES) {
      failed++;
      begin(c);
    } else {
      repeats++;
      ask(c);
    }
  }
}

static void run(void) {
  uint8_t packet[2048];
  double start = now(), swept = start;
  for (int i = 0; i < outstanding; i++) begin(&clients[i]);
  while (done + failed < exchanges && now() - start < seconds) {
    struct pollfd p = {.fd = sock, .events = POLLIN};
    if (poll(&p, 1, 50) > 0)
      for (int i = 0; i < 64; i++) {
        int length = recv(sock, packet, sizeof packet, MSG_DONTWAIT);
        if (length < FIXED) break;
        heard(packet, length);
      }
    if (now() - swept < 0.1) continue;
    swept = now();
    repeat();
  }
}

static int by_size(const void *a, const void *b) {
  double d = *(const double *)a - *(const double *)b;
  return d < 0 ? -1 : d > 0;
}

int main(int argc, char **argv) {
  const char *interface = "";
  for (int o; (o = getopt(argc, argv, "i:n:m:b:w:r:t:")) > 0;)
    switch (o) {
    case 'i': interface = optarg; break;
    case 'n': exchanges = atoi(optarg); break;
    case 'm': macs = atoi(optarg); break;
    case 'b': first_mac = atoi(optarg); break;
    case 'w': outstanding = atoi(optarg); break;
    case 'r': retry_ms = atoi(optarg); break;
    case 't': seconds = atoi(optarg); break;
    default: return 2;
    }
  if (macs == 0) macs = exchanges;
  if (outstanding > exchanges) outstanding = exchanges;
  if (outstanding >= MAX_CLIENTS) return 2;
  owner = calloc(1 << 24, sizeof *owner);
  latencies = calloc(exchanges + 1, sizeof *latencies);
  sock = socket(AF_INET, SOCK_DGRAM, 0);
  int on = 1, buffer = 32 << 20;
  struct sockaddr_in me = {.sin_family = AF_INET, .sin_port = htons(68)};
  setsockopt(sock, SOL_SOCKET, SO_BROADCAST, &on, sizeof on);
  setsockopt(sock, SOL_SOCKET, SO_RCVBUFFORCE, &buffer, sizeof buffer);
  if (setsockopt(sock, SOL_SOCKET, SO_BINDTODEVICE, interface, strlen(interface) + 1) != 0 ||
      bind(sock, (struct sockaddr *)&me, sizeof me) != 0) {
    perror("dhcp-load");
    return 1;
  }
  double start = now();
  run();
  double took = now() - start;
  qsort(latencies, done, sizeof *latencies, by_size);
  printf("{\"done\":%d,\"failed\":%d,\"naks\":%d,\"repeats\":%d,\"twice\":%d,\"seconds\":%.3f,", done, failed, naks,
         repeats, twice, took);
  printf("\"p50_ms\":%.2f,\"p99_ms\":%.2f,\"max_ms\":%.2f}\n", done ? latencies[done / 2] * 1e3 : 0,
         done ? latencies[(int)(done * 0.99)] * 1e3 : 0, done ? latencies[done - 1] * 1e3 : 0);
  return 0;
}
