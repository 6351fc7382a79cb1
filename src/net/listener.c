/* Accepting: listeners of a net, the limit on clients, and a bound on how many connections one pass
 * opens. */
#include <errno.h>
#include <string.h>

#include "base/logger.h"
#include "net/net_impl.h"

enum { ACCEPT_LOG_NS = 1000000000 };

static const char refusal[] = "-ERR max number of clients reached\r\n";

static void listener_refuse(struct net *net, int fd)
{
    net->stats.connections_rejected++;
    IGNORE(io_send_now(net->io, fd, refusal, sizeof(refusal) - 1),
           "the client is refused whether it hears why or not");
    socket_close(fd);
}

static void listener_open(struct net *net, struct net_accepted accepted)
{
    net->stats.connections_received++;
    if (!net_shared_enter(net->shared)) {
        listener_refuse(net, accepted.fd);
        return;
    }
    if (conn_create(net, accepted.fd, accepted.is_unix) == NULL) {
        net->stats.connections_rejected++;
        net_shared_leave(net->shared);
    }
}

static struct net_accepted accepted_pop(struct net *net)
{
    struct net_accepted accepted = net->accepted[net->accepted_first];
    net->accepted_first = (net->accepted_first + 1) % NET_ACCEPT_QUEUE_MAX;
    net->accepted_count--;
    return accepted;
}

bool listener_open_accepted(struct net *net)
{
    for (uint32_t i = 0; i < NET_ACCEPTS_PASS_MAX && net->accepted_count > 0; i++) {
        listener_open(net, accepted_pop(net));
    }
    return net->accepted_count > 0;
}

/* Out of descriptors: those who wait are refused instead of being left to wait. While that goes on
 * there is an error for every pause of the io, and one line a second. */
static void listener_on_error(struct net_listener *listener, int error)
{
    struct net *net = listener->net;
    uint32_t refused = 0;
    if (error == -EMFILE || error == -ENFILE) {
        refused = io_listen_refuse(net->io, &listener->io, refusal, sizeof(refusal) - 1);
    }
    net->stats.accept_errors++;
    net->stats.connections_received += refused;
    net->stats.connections_rejected += refused;
    int64_t now_ns = shard_mono_ns(net->shard);
    if (now_ns >= net->accept_silent_until_ns) {
        net->accept_silent_until_ns = now_ns + ACCEPT_LOG_NS;
        LOGGER_WARNING("Error accepting a client connection: %s", error_text(error));
    }
}

static void listener_on_accept(struct io_listener *io_listener, int fd)
{
    struct net_listener *listener = container_of(io_listener, struct net_listener, io);
    struct net *net = listener->net;
    if (fd < 0) {
        listener_on_error(listener, fd);
        return;
    }
    if (net->accepted_count == NET_ACCEPT_QUEUE_MAX) {
        listener_open(net, accepted_pop(net));
    }
    if (fd >= net->limits.descriptors_max) {
        net->stats.connections_received++;
        listener_refuse(net, fd);
        return;
    }
    uint32_t last = (net->accepted_first + net->accepted_count) % NET_ACCEPT_QUEUE_MAX;
    net->accepted[last] = (struct net_accepted){.fd = fd, .is_unix = listener->is_unix};
    net->accepted_count++;
}

int net_listen(struct net *net, int fd)
{
    ASSERT(net->shared != NULL);
    if (net->listeners_count == NET_LISTENERS_MAX) {
        return ERR_LIMIT;
    }
    struct net_listener *listener = &net->listeners[net->listeners_count++];
    memset(listener, 0, sizeof(*listener));
    listener->net = net;
    listener->fd = fd;
    listener->is_unix = socket_is_unix(fd);
    io_listen_start(net->io, &listener->io, fd, listener_on_accept);
    return 0;
}

void net_stop_listening(struct net *net)
{
    for (uint32_t i = 0; i < net->listeners_count; i++) {
        io_listen_stop(net->io, &net->listeners[i].io);
        socket_close(net->listeners[i].fd);
    }
    net->listeners_count = 0;
    while (net->accepted_count > 0) {
        socket_close(accepted_pop(net).fd);
    }
}
