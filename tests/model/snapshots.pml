/*
 * Versions of a partition: how a commit publishes one, what readers keep, and when a file goes.
 *
 * One thread; coroutines change where they suspend, so a step here is what happens between two
 * suspensions. Steps, by the functions of the source:
 *
 *     settle   partition_settle, manifest_rotate (src/store/partition_commit.c, manifest.c): only
 *              after a record that may or may not be there
 *     write    data_writer, run_sync_data: a new file, written and synced
 *     record   run_record, manifest_append: written, then synced; either may fail
 *     publish  run_publish: datafiles_publish (src/store/datafile.c), snapshots_publish
 *              (src/store/snapshot.c)
 *     abort    run_abort, datafiles_abort: the new file goes at once (forget_now), or becomes a
 *              leftover until a new manifest is in force (forget_later)
 *     hold     version_hold, snapshot_hold; a reader suspends with it
 *     release  version_release, snapshot_release, retire_at: what was retired at the version moves
 *              on to the next older held one that needs it, or is disposed of
 *     close    partition_close: waits for the readers by the event `released`
 *
 * Files are numbered as the commits that made them; a version needs a set of files, a bit for each.
 * Each commit makes one file and supersedes any of those before it, or none. Of the map only this
 * matters, so it is left out: its chunks are retired as files are.
 *
 * The power may go at any moment. Then the partition is what some manifest says that may be found:
 * the one in force and, as long as that is not known, the one with the record that failed, and both
 * the old and the new one while a rotation is under way. `found` is the union of what these need.
 *
 * Claims: at no moment has a file gone that a held version needs, or a manifest that may be found;
 * no such manifest names a file that is not whole; no file is kept that nobody needs; closing comes
 * to its end.
 *
 * Mutations, each of which spin must find:
 *     DISPOSE_AT_PUBLISH  a commit disposes of what it supersedes, whoever reads
 *     DISPOSE_AT_RELEASE  what a version had retired goes with it, even if an older one needs it
 *     RETIRE_AT_ANY       what a version had retired moves on to an older one that does not need it
 *     DISPOSE_BEFORE_SYNC the superseded goes when the record is written, not when it is synced
 *     FORGET_AT_ONCE      an aborted commit's file goes though its record may be found
 *     LEFTOVERS_FIRST     leftovers go before the new manifest is in force
 *     RECORD_FIRST        the record is written before the file is synced
 *     NO_SIGNAL           a release does not say so
 */
#ifndef COMMITS
#define COMMITS 3
#endif
#ifndef READERS
#define READERS 2
#endif
#ifndef READS
#define READS 1 /* of each reader */
#endif
#define BIT(n) (1 << (n))

byte version;              /* the newest */
byte need[COMMITS + 1];    /* of each version: bits of files */
byte holds[COMMITS + 1];   /* the current one's own hold included */
byte retired[COMMITS + 1]; /* at each version: bits of files */
byte made = 1;             /* bits of files: on the disk */
byte whole = 1;            /* of them synced */
byte gone;                 /* disposed of */
byte leftovers;
byte unborn;              /* an open commit's file */

byte in_force;    /* what the durable manifest needs */
byte maybe;       /* what one needs that may be found as well */
bool suspect;
bool committing;
bool failed;      /* a sync has failed: no commit any more */
bool closed;
bool closer_waits;

inline check_all() {
    d_step {
        assert((gone & (in_force | maybe)) == 0);
        assert(((in_force | maybe) & ~whole) == 0);
        n = 0;
        used = in_force | maybe | leftovers | unborn;
        do
        :: n <= COMMITS ->
            if
            :: holds[n] > 0 ->
                assert((gone & need[n]) == 0);
                used = used | need[n]
            :: else
            fi;
            n++
        :: else -> break
        od;
        assert((made & ~gone & ~used) == 0);
        used = 0;
        n = 0
    }
}

/* Bits of files that version `at` can need: created by its commit or before. */
#define CREATED_BY(at) (BIT((at) + 1) - 1)

/* Leaves `parts` with the newest held version below `above` that needs them. */
inline retire_below(above, parts) {
    n = above;
    do
    :: n > 0 && holds[n - 1] == 0 -> n--
    :: else -> break
    od;
    if
#ifdef DISPOSE_AT_RELEASE
    :: n > 0 && above == version ->
#else
    :: n > 0 ->
#endif
#ifdef RETIRE_AT_ANY
        retired[n - 1] = retired[n - 1] | parts
#else
        retired[n - 1] = retired[n - 1] | (parts & CREATED_BY(n - 1));
        gone = gone | (parts & ~CREATED_BY(n - 1))
#endif
    :: else -> gone = gone | parts
    fi;
    n = 0
}

inline release(at) {
    d_step {
        holds[at]--;
        if
        :: holds[at] == 0 ->
            retire_below(at, retired[at]);
            retired[at] = 0
        :: else
        fi;
#ifndef NO_SIGNAL
        closer_waits = false
#endif
    };
    check_all()
}

/* A commit's run; `next` is its version and its file. */
inline publish() {
    d_step {
        need[next] = needs;
        version = next;
        unborn = 0;
        holds[next] = 1;
#if !defined(DISPOSE_AT_PUBLISH) && !defined(DISPOSE_BEFORE_SYNC)
        retire_below(next, need[base] & ~needs);
#else
        gone = gone | (need[base] & ~needs);
#endif
        holds[base]--;
        if
        :: holds[base] == 0 ->
            retire_below(base, retired[base]);
            retired[base] = 0
        :: else
        fi
    };
    check_all()
}

inline abort() {
    d_step {
        unborn = 0;
#ifndef FORGET_AT_ONCE
        if
        :: suspect -> leftovers = leftovers | BIT(next)
        :: else -> gone = gone | BIT(next)
        fi
#else
        gone = gone | BIT(next)
#endif
    };
    check_all()
}

/* The new one is written and synced: from now on either may be found. */
inline rename() {
    maybe = maybe | need[version];
    check_all();
    if
    :: d_step { true -> /* the directory is synced */
        in_force = need[version];
        maybe = 0;
        suspect = false }
        check_all();
        d_step {
            gone = gone | leftovers;
            leftovers = 0
        }
    :: failed = true
    fi;
    check_all()
}

/* A new manifest, of the newest version. */
inline rotate() {
#ifdef LEFTOVERS_FIRST
    gone = gone | leftovers;
    leftovers = 0;
    check_all();
#endif
    if
    :: true /* it could not be written: the old one goes on */
    :: true -> rename()
    fi
}

inline commit_run() {
    /* The file, in a version to be. */
    d_step {
        made = made | BIT(next);
        unborn = BIT(next)
    };
    atomic {
        needs = need[base] | BIT(next);
        dropped = 0;
        do
        :: dropped < next ->
            if
            :: needs = needs & ~BIT(dropped)
            :: true
            fi;
            dropped++
        :: else -> break
        od;
        dropped = 0
    };
    check_all();
    if
    :: abort() /* no room, no memory: nothing was recorded */
    :: failed = true; abort() /* its sync has failed */
    :: true ->
#ifndef RECORD_FIRST
        whole = whole | BIT(next);
#endif
        /* The record is written: it may be found from now on. */
        d_step {
            maybe = needs;
#ifdef DISPOSE_BEFORE_SYNC
            gone = gone | (need[base] & ~needs)
#endif
        };
        check_all();
#ifdef RECORD_FIRST
        whole = whole | BIT(next);
#endif
        if
        :: suspect = true; abort()
        :: d_step { suspect = true; failed = true }
            abort()
        :: d_step { true -> /* synced; from here on nothing suspends */
            in_force = needs;
            maybe = 0 }
            publish()
        fi
    fi
}

proctype committer() {
    byte next = 1, needs, base, dropped, n, used;
    do
    :: next <= COMMITS ->
        atomic { !committing -> committing = true };
        if
        :: failed || closed
        :: else ->
            if
            :: suspect -> rotate()
            :: else
            fi;
            if
            :: suspect || failed
            :: else ->
                d_step {
                    base = version;
                    holds[base]++
                };
                commit_run();
                release(base);
                /* A manifest that has outgrown its proportion. */
                if
                :: !suspect && !failed -> rotate()
                :: true
                fi
            fi
        fi;
        atomic {
            committing = false;
            needs = 0;
            base = 0;
            next++
        }
    :: else -> break
    od
}

proctype reader() {
    byte at, n, used;
    byte left = READS;
    do
    :: left > 0 ->
        if
        :: d_step { !closed -> at = version; holds[at]++ } /* suspends with it */
            release(at);
            at = 0
        :: closed -> break
        fi;
        left--
    :: else -> break
    od
}

/* Somebody still holds a version beside the partition itself. */
inline look_for_readers() {
    d_step {
        is_read = holds[version] > 1;
        n = 0;
        do
        :: n < version ->
            is_read = is_read || holds[n] > 0;
            n++
        :: else -> break
        od;
        n = 0;
        closer_waits = is_read
    }
}

proctype closer() {
    byte n;
    bool is_read;
    atomic { !committing -> committing = true };
    closed = true; /* nobody begins to read any more */
    do
    :: look_for_readers();
        if
        :: is_read -> !closer_waits
        :: else -> break
        fi
    od;
    committing = false;
    is_read = false
}

init {
    atomic {
        byte n = 0;
        need[0] = 1;
        holds[0] = 1;
        in_force = 1;
        run committer();
        run closer();
        do
        :: n < READERS -> run reader(); n++
        :: else -> break
        od
    }
}
