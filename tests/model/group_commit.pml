/*
 * Group commit: shards that write one log, one of them at a time syncing for all.
 *
 * A shard runs passes, as shard_pass does (src/shard/shard.c). Steps, each one access to what other
 * threads see, in the order of the source:
 *
 *     arrive     wake_arrived, sync_progress (src/log/sync.c): a wake-up message
 *     done       sync_op_done, sync_finish, publish_durable: fdatasync has returned to the leader
 *     flush      log_flush, put_frames (src/log/writer.c); stream_try_reserve, stream_write,
 *                stream_release (src/log/stream.c): one record
 *     reply      net's REPLY hook: log_gate_open (src/log/log.c), else log_want_durable
 *     begin      try_lead, sync_begin, stream_pad_block, sync_submit_when_written, sync_submit
 *     wake       log_wake, wake_waiting: `queued`, then a message that leaves at the pass's end
 *     written    stream_written: the lowest of `reserved` and all in_flight, kept in written_seen
 *
 * Positions are records and pads; a block is BLOCK of them. The disk is what fdatasync promises and
 * no more: a sync makes durable what was written completely before it began. A failed sync makes
 * nothing durable, and no later one does so for the same bytes: the kernel takes them for clean.
 *
 * All accesses here have one order. That holds for `wanted` and `leader`, which are seq_cst; for the
 * positions, which are acquire and release, the argument stands in src/log/stream.c. That messages
 * and completions end a shard's sleep is mailbox.pml's claim.
 *
 * Claims: no reply leaves before its record is durable (assert in reply); durable never passes what
 * is on the disk (assert in publish); every record becomes durable and is answered, or a sync has
 * failed (`answered`, an LTL formula, where each thread keeps running).
 *
 * Mutations, each of which spin must find:
 *     PUBLISH_AT_SUBMIT  durable moves when the sync is submitted
 *     SYNC_UNWRITTEN     the sync does not wait for the writes of others
 *     MARK_AFTER_RESERVE in_flight is set after the CAS on reserved
 *     WAKE_THEN_RELEASE  the leader looks who waits before it gives up the lead
 *     LEAD_THEN_WANT     a shard tries to lead before it says what it wants
 *     RETRY_SYNC         a failed sync is tried again
 */
#ifndef SHARDS
#define SHARDS 2
#endif
#ifndef RECORDS
#define RECORDS 1 /* of each shard */
#endif
#define BLOCK 2
#define POSITIONS (BLOCK * (SHARDS * RECORDS * 2 + 1))
#define NOBODY 255
#define IDLE 255

byte reserved;
byte durable;
byte written_seen;
byte in_flight[SHARDS] = IDLE;
byte wanted[SHARDS];
bool queued[SHARDS];
bool mail[SHARDS]; /* published; at most one on its way, see log_wake */
byte leader = NOBODY;
bool failed;
byte answers;

/* Of the sync in flight; the leader's. */
bool waiting;
byte sync_end;
bool submitted; /* to the disk */
bool completed; /* by the disk */
bool sync_ok;

/* The disk. Bit p: position p. */
int written_bits; /* write has returned */
int disk_bits;    /* on the disk */
int lost_bits;    /* a failed sync has marked them clean */

#define BELOW(end) ((1 << (end)) - 1)

active proctype disk() {
    int covers;
end_idle:
    do
    :: atomic { submitted && !completed -> covers = written_bits }
        if
        :: atomic { true ->
            disk_bits = disk_bits | (covers & ~lost_bits);
            covers = 0;
            sync_ok = true;
            completed = true }
#ifdef FAILURES
        :: atomic { !failed ->
            lost_bits = lost_bits | (covers & ~disk_bits);
            covers = 0;
            sync_ok = false;
            completed = true }
#endif
        fi
    od
}

inline wake(to) {
    if
    :: atomic { !queued[to] -> queued[to] = true }
        staged[to] = true
    :: else
    fi
}

inline wake_waiting(all) {
    i = 0;
    do
    :: i < SHARDS ->
        if
        :: i != me && (all || wanted[i] != 0) -> wake(i)
        :: else
        fi;
        i++
    :: else -> break
    od;
    i = 0
}

/* Into `low`. */
inline look_written() {
    low = reserved;
    i = 0;
    do
    :: i < SHARDS ->
        if
        :: atomic { in_flight[i] < low -> low = in_flight[i] }
        :: else
        fi;
        i++
    :: else -> break
    od;
    i = 0;
    if
    :: atomic { low > written_seen -> written_seen = low }
    :: else
    fi;
    low = 0
}

/* Takes [start, start + count) and writes it; a count of 0 pads to the block's end. Sets `end`. */
inline put(count, is_pad) {
    start = reserved;
    do
    :: true ->
        end = (is_pad -> ((start + BLOCK - 1) / BLOCK) * BLOCK : start + count);
        if
        :: end == start -> break
        :: else
        fi;
#ifndef MARK_AFTER_RESERVE
        in_flight[me] = start;
#endif
        if
        :: atomic { reserved == start -> reserved = end }
            break
        :: else -> start = reserved
        fi
    od;
#ifdef MARK_AFTER_RESERVE
    in_flight[me] = start;
#endif
    assert(end <= POSITIONS);
    written_bits = written_bits | (BELOW(end) & ~BELOW(start));
    in_flight[me] = IDLE;
    start = 0
}

inline submit() {
    atomic {
        waiting = false;
        assert(!submitted);
        submitted = true
    };
#ifdef PUBLISH_AT_SUBMIT
    publish();
#endif
}

inline submit_when_written() {
    if
    :: failed -> waiting = false
    :: else ->
        look_written();
#ifdef SYNC_UNWRITTEN
        submit()
#else
        if
        :: written_seen >= sync_end -> submit()
        :: else -> wake(me)
        fi
#endif
    fi
}

inline sync_begin() {
    put(0, true);
    atomic {
        sync_end = end;
        end = 0;
        assert(sync_end > durable);
        waiting = true
    };
    submit_when_written()
}

inline try_lead() {
    if
    :: atomic { !failed && leader == NOBODY -> leader = me }
        if
        :: durable < wanted[me] -> sync_begin()
        :: else ->
            leader = NOBODY;
            wake_waiting(false);
            wake(me)
        fi
    :: else
    fi
}

inline sync_progress() {
    if
    :: leader == me && waiting -> submit_when_written()
    :: else
    fi;
    if
    :: wanted[me] != 0 ->
        if
        :: durable >= wanted[me] -> wanted[me] = 0
        :: else -> try_lead()
        fi
    :: else
    fi
}

inline publish() {
    durable = sync_end;
    assert((disk_bits & BELOW(durable)) == BELOW(durable))
}

inline wanted_more() {
    low = 0;
    i = 0;
    do
    :: i < SHARDS ->
        if
        :: atomic { wanted[i] > low -> low = wanted[i] }
        :: else
        fi;
        i++
    :: else -> break
    od;
    i = 0
}

inline sync_finish() {
    atomic {
        submitted = false;
        completed = false
    };
    if
    :: !sync_ok ->
#ifdef RETRY_SYNC
        submit()
#else
        failed = true;
        wake_waiting(true);
        wake(me)
#endif
    :: else ->
        publish();
        wanted_more();
        if
        :: low > sync_end ->
            low = 0;
            sync_begin();
            wake_waiting(false)
        :: else ->
            low = 0;
#ifdef WAKE_THEN_RELEASE
            wake_waiting(false);
            leader = NOBODY
#else
            leader = NOBODY;
            wake_waiting(false)
#endif
        fi;
        sync_progress()
    fi
}

inline want_durable(lsn) {
    if
    :: failed
    :: else ->
        if
        :: durable >= lsn -> wake(me)
        :: else ->
#ifdef LEAD_THEN_WANT
            try_lead();
            wanted[me] = lsn
#else
            if
            :: wanted[me] < lsn -> wanted[me] = lsn
            :: else
            fi;
            try_lead()
#endif
        fi
    fi
}

/* What was sent in this pass. */
inline mail_publish() {
    i = 0;
    do
    :: i < SHARDS ->
        if
        :: staged[i] ->
            atomic {
                staged[i] = false;
                mail[i] = true
            }
        :: else
        fi;
        i++
    :: else -> break
    od;
    i = 0
}

proctype shard(byte me) {
    byte left = RECORDS;
    byte gate = 0; /* a reply waits for this; 0: none */
    byte i, low, start, end;
    bool staged[SHARDS];
end_asleep:
    do
    :: /* Sleeps until there is something to do, then a pass. */
        if
        :: mail[me] ->
            atomic {
                mail[me] = false;
                queued[me] = false
            };
            sync_progress()
        :: leader == me && completed -> sync_finish()
        :: left > 0 && gate == 0 ->
            left--;
            put(1, false);
            gate = end;
            end = 0
        fi;
        if
        :: gate != 0 ->
            if
            :: durable >= gate ->
                atomic {
                    assert((disk_bits & BELOW(gate)) == BELOW(gate));
                    gate = 0;
                    answers++
                }
            :: else -> want_durable(gate)
            fi
        :: else
        fi;
        mail_publish()
    od
}

init {
    atomic {
        byte n = 0;
        do
        :: n < SHARDS -> run shard(n); n++
        :: else -> break
        od
    }
}

/* When nothing else can move. */
active proctype rest() {
    timeout -> assert(failed || answers == SHARDS * RECORDS)
}

ltl answered { <> (failed || answers == SHARDS * RECORDS) }
