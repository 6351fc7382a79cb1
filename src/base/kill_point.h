/*
 * kill_point: named places where the process can be made to kill itself, to show that the next
 * start finds its way from exactly there (tests/crash/kill_points_test.py). A place is
 * KILL_POINT("name"), which is nothing unless the build has the option `kill_points`. Then the
 * environment chooses one:
 *
 *     ELOQSTORE_KILL_POINT=name:n     at the n-th time that any thread comes to it
 *
 * The test finds the places by their text in src/, so a new one needs no list.
 *
 * Threads: any. Suspension: none.
 */
#ifndef BASE_KILL_POINT_H
#define BASE_KILL_POINT_H

#ifdef KILL_POINTS_ENABLED
/* Does not return if this is the time. */
void kill_point(const char *name);
#define KILL_POINT(name) kill_point(name)
#else
#define KILL_POINT(name) ((void)0)
#endif

#endif
