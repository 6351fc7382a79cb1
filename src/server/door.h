/*
 * door: what the command room asks of the server: INFO, CONFIG, SHUTDOWN (struct server_door in
 * cmd/context.h).
 *
 * The configuration belongs to shard 0. A question from another shard is a call there; a change is
 * made on a copy, which takes the old one's place if all of it is good, and then every shard takes
 * over what it needs.
 */
#ifndef SERVER_DOOR_H
#define SERVER_DOOR_H

#include "cmd/context.h"

struct server;

/* `server` is borrowed for the life of the command room. */
struct server_door door_of(struct server *server);

#endif
