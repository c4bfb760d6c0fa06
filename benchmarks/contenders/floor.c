/* The floor: what delivering one price must cost at least, in C with epoll and one send() per watcher.
 * It reads no request, knows one auction, and drops what a full socket does not take.
 * Usage: floor <port> <path of a unix socket>; each line on the unix socket is the data of one event. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { MOST = 1 << 16 };
static const char head[] = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nCache-Control: no-cache\r\n\r\n";
static int watchers[MOST], place[MOST], count;
static char line[1 << 20], frame[1 << 16];
static size_t have;
static int frame_size;

static void say(int fd, const char *text, int size) { send(fd, text, size, MSG_DONTWAIT | MSG_NOSIGNAL); }

static void deliver(const char *data) {
    frame_size = snprintf(frame, sizeof frame, "id: 1\nevent: price\ndata: %s\n\n", data);
    for (int i = 0; i < count; i++) say(watchers[i], frame, frame_size);
}

static void take_lines(int fd) {
    ssize_t got = read(fd, line + have, sizeof line - have - 1);
    if (got <= 0) { close(fd); return; }
    line[have += got] = 0;
    char *start = line;
    for (char *end; (end = strchr(start, '\n')); start = end + 1) { *end = 0; deliver(start); }
    memmove(line, start, have -= start - line);
}

static void take_watcher(int fd) {
    char request[4096];
    ssize_t got = read(fd, request, sizeof request);
    if (got > 0 && place[fd] < 0) {
        place[fd] = count; watchers[count++] = fd;
        say(fd, head, sizeof head - 1);
        if (frame_size) say(fd, frame, frame_size);
    } else if (got <= 0) {
        if (place[fd] >= 0) { int last = watchers[--count]; watchers[place[last] = place[fd]] = last; }
        close(fd);
    }
}

static void add(int loop, int fd) {
    struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
    epoll_ctl(loop, EPOLL_CTL_ADD, fd, &event);
}

int main(int argc, char **argv) {
    if (argc != 3) return 2;
    struct sockaddr_in inet = {.sin_family = AF_INET, .sin_port = htons(atoi(argv[1]))};
    struct sockaddr_un local = {.sun_family = AF_UNIX};
    inet.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    strncpy(local.sun_path, argv[2], sizeof local.sun_path - 1);
    int on = 1, port = socket(AF_INET, SOCK_STREAM, 0), unix_port = socket(AF_UNIX, SOCK_STREAM, 0), writer = -1;
    setsockopt(port, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(unix_port, (void *)&local, sizeof local) || listen(unix_port, 8)) return 1;
    if (bind(port, (void *)&inet, sizeof inet) || listen(port, 4096)) return 1;
    int loop = epoll_create1(0);
    add(loop, port); add(loop, unix_port);
    struct epoll_event ready[256];
    for (;;) {
        int got = epoll_wait(loop, ready, 256, -1);
        for (int i = 0; i < got; i++) {
            int fd = ready[i].data.fd;
            if (fd == port || fd == unix_port) {
                int accepted = accept4(fd, 0, 0, SOCK_NONBLOCK);
                if (accepted < 0) continue;
                if (fd == unix_port) writer = accepted;
                place[accepted] = -1;
                add(loop, accepted);
            } else if (fd == writer) take_lines(fd);
            else take_watcher(fd);
        }
    }
}
