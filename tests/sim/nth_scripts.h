/*
 * nth_scripts: what the loops over the n-th failure (nth.c) run. Lines of a script:
 *
 *     SET key value       a command, checked against the model; @N is a value of N bytes
 *     * 20 SET key:# @90  the same 20 times, with 0 to 19 for #
 *     ~ 2000              nothing for 2 seconds
 *     = stop              the life ends so: stop, kill, power
 */
#ifndef SIM_NTH_SCRIPTS_H
#define SIM_NTH_SCRIPTS_H

struct nth_script {
    const char *name;
    const char *const *lines; /* NULL at the end; then it is stopped */
};
/* `name` is NULL behind the last. */
extern const struct nth_script nth_scripts[];

#endif
