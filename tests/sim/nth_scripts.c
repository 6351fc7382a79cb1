#include "nth_scripts.h"

#include <stddef.h>

/* clang-format off: lines of a script are not to be torn apart further. */
#define LINES(...)        \
    (const char *const[]) \
    {                     \
        __VA_ARGS__, NULL \
    }

const struct nth_script nth_scripts[] = {
    {"plain", LINES("SET a 1", "GET a", "SET b @100", "GET none", "DEL a none", "EXISTS a b",
                    "SET a 2 NX", "SET a 3 NX", "SET b 4 XX", "GETSET b 5", "GETDEL a", "STRLEN b",
                    "TYPE b", "= stop", "GET b", "SET c 6", "UNLINK b", "= kill", "GET c")},
    {"numbers",
     LINES("INCR n", "INCRBY n 41", "DECRBY n 2", "DECR m", "SET t text", "INCR t", "APPEND t @50",
           "APPEND new x", "SETRANGE t 100 @20", "SETRANGE t 3 abc", "STRLEN t", "GETRANGE t 2 9",
           "= kill", "INCR n", "APPEND t y", "= power", "INCR n", "INCR m", "GET t")},
    {"groups",
     LINES("MSET a 1 b 2 c 3 d 4 e 5", "MGET a b c d e f", "MSETNX f 1 g 2", "MSETNX g 3 h 4",
           "RENAME a z", "RENAME none b", "RENAMENX b c", "RENAMENX b bb", "COPY c cc", "COPY c d",
           "COPY c d REPLACE", "DEL e f g none", "MSET a @300 b @3000 c @300 d @3000", "= kill",
           "MGET a b c d z bb cc h", "RENAME d e", "= stop", "MSET a x b y c z", "RENAME a b")},
    {"large",
     LINES("SET big @20000", "SET huge @300000", "GET big", "SAVE", "DEBUG EVICT", "GET huge",
           "APPEND big @5000", "SETRANGE huge 250000 @100", "COPY huge copy", "= kill",
           "STRLEN copy", "RENAME big other", "SAVE", "DEL huge", "DEBUG EVICT", "GET copy",
           "MSET other @40000 copy @50000", "= stop", "GET other", "GET copy")},
    {"checkpoints", LINES("* 12 SET key:# @90", "SAVE", "* 6 SET key:# @200", "SAVE", "DEL key:3",
                          "SET key:4 @3000", "BGSAVE", "SAVE", "DEBUG CHECK", "= kill",
                          "SET key:5 new", "SAVE", "* 4 DEL key:#", "SAVE", "= stop", "SET key:8 x",
                          "SAVE", "= kill", "GET key:8", "SET key:9 y")},
    {"cold", LINES("MSET a 1 b 2 c @900 d @4000 e 5", "DEBUG EVICT", "GET a", "INCR b",
                   "APPEND c x", "MGET a b c d e none", "DEBUG EVICT", "RENAME d dd", "EXISTS a dd",
                   "DEBUG EVICT", "COPY c cc", "SETRANGE e 3 zz", "TOUCH a b none", "DEL a",
                   "DEBUG EVICT", "STRLEN dd", "OBJECT ENCODING b", "MEMORY USAGE c", "RANDOMKEY",
                   "= stop", "MGET b c cc dd e", "PERSIST b", "GETDEL cc", "DEBUG EVICT", "GET c")},
    {"expiry", LINES("SET a 1 EX 100000", "SET b 2 PX 50", "SET c 3", "EXPIRE c 200000", "TTL a",
                     "TTL c", "TTL none", "PERSIST a", "TTL a", "PEXPIRE a 60", "~ 2000", "GET a",
                     "GET b", "TTL a", "SET a 4 EX 300000", "SET a 5 KEEPTTL", "RENAME c d",
                     "COPY d e", "SAVE", "SET f 6 PX 70", "DEBUG EVICT", "= kill", "~ 2000",
                     "GET f", "TTL a", "TTL e", "PERSIST e", "= power", "TTL d", "GET a")},
    {"databases",
     LINES("SET a 0", "SELECT 1", "SET a 1", "SET b 1", "SELECT 2", "SET c 2", "COPY c c DB 1",
           "SWAPDB 1 2", "GET a", "DBSIZE", "FLUSHDB", "GET a", "SELECT 0", "SAVE", "SWAPDB 0 1",
           "= kill", "SELECT 0", "DBSIZE", "SET d @3000", "SELECT 1", "GET a", "FLUSHALL",
           "SET e 3", "= stop", "SELECT 1", "GET e", "FLUSHDB", "SWAPDB 1 0", "SET f 4", "= power",
           "GET f")},
    {"replay",
     LINES("* 10 SET key:# @100", "INCR n", "APPEND t @3000", "SET huge @270000", "DEL key:1",
           "= kill", "INCR n", "APPEND t x", "MSET key:1 a key:2 b key:3 c", "= power", "INCR n",
           "SAVE", "INCR n", "= kill", "INCR n", "= power", "GET n", "STRLEN t", "GET huge")},
    {"tools", LINES("* 8 SET key:# @40", "SCAN 0 COUNT 100", "KEYS *", "DBSIZE",
                    "CONFIG SET appendfsync everysec", "SET a 1", "CONFIG SET appendfsync always",
                    "SET b 2", "CONFIG SET maxmemory 50mb", "CONFIG GET *", "INFO", "CLIENT LIST",
                    "COMMAND COUNT", "DEBUG COROUTINES", "PING", "DEBUG EVICT", "KEYS *",
                    "SCAN 0 COUNT 100", "RANDOMKEY", "DEBUG CHECK", "= stop", "KEYS *", "DBSIZE")},
    {"splits", LINES("* 90 SET key:# @250", "SAVE", "* 50 DEL key:#", "SAVE", "DEBUG EVICT",
                     "SCAN 0 COUNT 1000", "* 12 SET key:# @1500", "SAVE", "DEBUG CHECK", "= kill",
                     "DEBUG EVICT", "GET key:70", "GET key:2", "* 90 UNLINK key:#", "SAVE",
                     "DBSIZE", "= stop", "SET key:1 x")},
    {"segments", LINES("* 9 APPEND long @200000", "SAVE", "* 6 SET long:# @180000", "SAVE",
                       "SET a 1", "= kill", "* 6 SET long:# @180000", "GET long:1", "= power",
                       "GET long:5", "* 4 SET long:# @180000", "DEL long", "SAVE")},
    {NULL, NULL},
};
