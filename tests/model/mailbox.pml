/*
 * How two shards that send each other messages fall asleep, and that neither sleeps for ever.
 *
 * Steps, each one access to what both threads see, in the order of the source:
 *
 *     stage        mailbox_stage: into a free slot, else into overflow
 *     publish      mailbox_publish (src/shard/mailbox.c): overflow into free slots, `blocked`, `tail`
 *     mail_publish mail_publish, wake (src/shard/post.c): after `tail` has moved, `sleeping`?
 *     receive      receive_from (post.c), mailbox_take: `head` moves, then `blocked`?, then wake
 *     doze         poll_and_sleep (src/shard/shard.c): `sleeping` := true, mail_pending, then io_poll
 *     event        what io_wake leaves for io_poll: an eventfd, or a message of the ring
 *
 * The producer sends MESSAGES messages through SLOTS slots whenever it likes, a few in a pass, and
 * then has nothing to do but what the consumer wakes it for. The consumer has nothing to do but what
 * it receives. What is read and written here is seq_cst in the source, so one order of all accesses
 * is what there is. That is also all that is claimed: slot contents ride on `tail` and `head`.
 *
 * Claims: messages arrive whole and in order; a slot is not written before it was read; when nothing
 * can move any longer, all have arrived (no wake-up is missed).
 *
 * Mutations, each of which spin must find:
 *     LOOK_THEN_SLEEP    the consumer looks for mail before it says that it sleeps
 *     BLOCKED_UNSAID     the producer sleeps on overflow without saying so
 *     ROOM_UNASKED       the producer with overflow does not look for room once more
 *     HEAD_AFTER_BLOCKED the consumer looks at `blocked` before it moves `head`
 */
#ifndef MESSAGES
#define MESSAGES 4
#endif
#ifndef SLOTS
#define SLOTS 1
#endif
#define PRODUCER 0
#define CONSUMER 1

byte slots[SLOTS]; /* message numbers from 1; 0: read, may be written */
byte tail, head;
bool blocked;
bool sleeping[2];
bool event[2];

byte sent;         /* numbers given out */
byte overflow;     /* of them not in a slot yet */
byte tail_staged, tail_published, head_seen;
byte received, head_taken;

/* Of several that see it asleep one wakes it. */
inline wake(who) {
    if
    :: !sleeping[who]
    :: else ->
        if
        :: atomic { sleeping[who] -> sleeping[who] = false }
            event[who] = true
        :: else
        fi
    fi
}

/* The next number into a slot. */
inline slot_fill() {
    d_step {
        assert(slots[tail_staged % SLOTS] == 0);
        slots[tail_staged % SLOTS] = sent - overflow;
        tail_staged++
    }
}

inline look_for_slot() {
    if
    :: tail_staged - head_seen < SLOTS
    :: else -> head_seen = head
    fi
}

inline stage() {
    sent++;
    if
    :: overflow == 0 ->
        look_for_slot();
        if
        :: tail_staged - head_seen < SLOTS -> slot_fill()
        :: else -> overflow++
        fi
    :: else -> overflow++
    fi
}

inline publish() {
    do
    :: overflow > 0 ->
        look_for_slot();
        if
        :: tail_staged - head_seen < SLOTS -> overflow--; slot_fill()
        :: else -> break
        fi
    :: else -> break
    od;
#ifndef BLOCKED_UNSAID
    blocked = overflow > 0;
#endif
    if
    :: tail_published != tail_staged ->
        tail_published = tail_staged;
        tail = tail_staged;
        wake(CONSUMER)
    :: else
    fi
}

/* Until woken. A poll that finds an event takes it. */
inline nap(who) {
    event[who] -> event[who] = false;
    sleeping[who] = false
}

/* A poll that does not wait. */
inline peek(who) {
    event[who] = false;
    sleeping[who] = false
}

active proctype producer() {
    do
    :: /* a pass */
        do
        :: sent < MESSAGES -> stage()
        :: break
        od;
        publish();
        if
        :: sent < MESSAGES /* work of its own: another pass */
        :: true ->
            sleeping[PRODUCER] = true;
#ifndef ROOM_UNASKED
            if
            :: overflow > 0 && tail_staged - head < SLOTS -> peek(PRODUCER)
            :: else ->
#endif
end_asleep:     if
                :: nap(PRODUCER)
                :: sent < MESSAGES -> peek(PRODUCER) /* its own timer, a client */
                fi
#ifndef ROOM_UNASKED
            fi
#endif
        fi
    od
}

inline take(count) {
    do
    :: count > 0 ->
        d_step {
            received++;
            assert(slots[head_taken % SLOTS] == received);
            slots[head_taken % SLOTS] = 0;
            head_taken++;
            count--
        }
    :: else -> break
    od
}

active proctype consumer() {
    byte count;
    bool was_blocked;
    do
    :: /* a pass */
        count = tail - head_taken;
        if
        :: count > 0 ->
            take(count);
#ifdef HEAD_AFTER_BLOCKED
            was_blocked = blocked;
            head = head_taken;
#else
            head = head_taken;
            was_blocked = blocked;
#endif
            if
            :: was_blocked -> wake(PRODUCER)
            :: else
            fi;
            was_blocked = false
        :: else
        fi;
#ifdef LOOK_THEN_SLEEP
        if
        :: tail != head_taken
        :: else ->
            sleeping[CONSUMER] = true;
end_asleep: nap(CONSUMER)
        fi
#else
        sleeping[CONSUMER] = true;
        if
        :: tail != head_taken -> peek(CONSUMER)
        :: else ->
end_asleep: nap(CONSUMER)
        fi
#endif
    od
}

/* When nothing else can move. */
active proctype rest() {
    timeout -> assert(received == MESSAGES && overflow == 0)
}
