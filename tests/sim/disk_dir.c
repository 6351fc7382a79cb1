/*
 * Names: paths, directories, and the changes to them that are not durable yet.
 *
 * A change is one pending of its directory; a rename too, so it is atomic whatever else is lost.
 * Renames between directories are not given (EXDEV): the product makes none.
 */
#include <errno.h>
#include <string.h>

#include "disk_impl.h"

/* ---- tables of names ---- */

/* The place of `name`, or where it would be. */
static uint32_t names_place(const struct names *names, const char *name)
{
    uint32_t low = 0;
    uint32_t high = names->count;
    while (low < high) {
        uint32_t middle = (low + high) / 2;
        if (strcmp(names->entries[middle].name, name) < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

static bool names_hold(const struct names *names, uint32_t place, const char *name)
{
    return place < names->count && strcmp(names->entries[place].name, name) == 0;
}

struct inode *names_find(const struct names *names, const char *name)
{
    uint32_t place = names_place(names, name);
    return names_hold(names, place, name) ? names->entries[place].inode : NULL;
}

const struct entry *names_after(const struct names *names, const char *name)
{
    uint32_t place = 0;
    if (name != NULL) {
        place = names_place(names, name);
        place += names_hold(names, place, name);
    }
    return place < names->count ? &names->entries[place] : NULL;
}

static char *text_copy(const char *text)
{
    size_t bytes = strlen(text) + 1;
    return memcpy(sim_alloc(bytes), text, bytes);
}

static void names_remove_at(struct disk *disk, struct names *names, uint32_t place)
{
    struct entry old = names->entries[place];
    names->count--;
    memmove(&names->entries[place], &names->entries[place + 1],
            (names->count - place) * sizeof(names->entries[0]));
    sim_free(old.name);
    inode_drop(disk, old.inode);
}

static void names_remove(struct disk *disk, struct names *names, const char *name)
{
    uint32_t place = names_place(names, name);
    if (names_hold(names, place, name)) {
        names_remove_at(disk, names, place);
    }
}

static void names_set(struct disk *disk, struct names *names, const char *name, struct inode *inode)
{
    inode->refs++;
    names_remove(disk, names, name);
    if (names->count == names->capacity) {
        names->capacity = names->capacity == 0 ? 8 : names->capacity * 2;
        names->entries = sim_realloc(names->entries, names->capacity * sizeof(names->entries[0]));
    }
    uint32_t place = names_place(names, name);
    memmove(&names->entries[place + 1], &names->entries[place],
            (names->count - place) * sizeof(names->entries[0]));
    names->entries[place] = (struct entry){.name = text_copy(name), .inode = inode};
    names->count++;
}

/* There are no hard links: a file that gets a name loses the one that it had. */
static void names_remove_inode(struct disk *disk, struct names *names, const struct inode *inode)
{
    for (uint32_t i = 0; i < names->count; i++) {
        if (names->entries[i].inode == inode) {
            names_remove_at(disk, names, i);
            return;
        }
    }
}

void names_clear(struct disk *disk, struct names *names)
{
    while (names->count > 0) {
        names_remove_at(disk, names, names->count - 1);
    }
    sim_free(names->entries);
    *names = (struct names){0};
}

/* ---- paths ---- */

/* The next name of the path into `name`; returns what is behind it. "" at the end. */
static const char *path_next(const char *path, char name[NAME_BYTES_MAX + 1])
{
    for (;;) {
        path += strspn(path, "/");
        size_t bytes = strcspn(path, "/");
        if (bytes > NAME_BYTES_MAX) {
            return NULL;
        }
        memcpy(name, path, bytes);
        name[bytes] = '\0';
        path += bytes;
        if (strcmp(name, ".") != 0) {
            return path;
        }
    }
}

static bool path_ended(const char *path)
{
    return path[strspn(path, "/")] == '\0';
}

/* Without "name/..": there are no links that would make it mean something else. */
static const char *path_without_dots(const char *path, char plain[PATH_BYTES_MAX + 1])
{
    memcpy(plain, path, strlen(path) + 1);
    char *up;
    while ((up = strstr(plain, "/..")) != NULL && (up[3] == '/' || up[3] == '\0')) {
        char *from = up;
        while (from > plain && from[-1] != '/') {
            from--;
        }
        from -= from > plain ? 1 : 0;
        memmove(from, up + 3, strlen(up + 3) + 1);
    }
    return plain;
}

int path_parent(struct disk *disk, const char *path, struct inode **ret_dir,
                char name[NAME_BYTES_MAX + 1])
{
    struct inode *dir = disk->root;
    char plain[PATH_BYTES_MAX + 1];
    if (strlen(path) > PATH_BYTES_MAX) {
        return -ENAMETOOLONG;
    }
    path = path_without_dots(path, plain);
    for (;;) {
        path = path_next(path, name);
        if (path == NULL) {
            return -ENAMETOOLONG;
        }
        if (path_ended(path)) {
            *ret_dir = dir;
            return 0;
        }
        dir = names_find(&dir->names, name);
        if (dir == NULL) {
            return -ENOENT;
        }
        if (!dir->is_dir) {
            return -ENOTDIR;
        }
    }
}

int path_find(struct disk *disk, const char *path, struct inode **ret_inode)
{
    char name[NAME_BYTES_MAX + 1];
    struct inode *dir;
    int err = path_parent(disk, path, &dir, name);
    if (err < 0) {
        return err;
    }
    struct inode *inode = name[0] == '\0' ? dir : names_find(&dir->names, name);
    if (inode == NULL) {
        return -ENOENT;
    }
    *ret_inode = inode;
    return 0;
}

/* ---- changes ---- */

void dir_apply(struct disk *disk, struct names *names, const struct pending *pending)
{
    if (pending->kind == PENDING_UNLINK) {
        names_remove(disk, names, pending->name);
        return;
    }
    if (names_find(names, pending->name) != pending->inode) {
        names_remove_inode(disk, names, pending->inode);
        names_set(disk, names, pending->name, pending->inode);
    }
}

/* One name more or fewer. */
static void links_add(struct disk *disk, struct inode *inode, int by)
{
    if (inode != NULL) {
        inode->links += (uint32_t)by;
        inode_count_space(disk, inode);
    }
}

void dir_link(struct disk *disk, struct inode *dir, const char *name, struct inode *inode,
              struct call *call)
{
    struct pending *pending = pending_new(dir, PENDING_LINK, call);
    pending->name = text_copy(name);
    pending->inode = inode;
    inode->refs++;
    dir_apply(disk, &dir->names, pending);
    links_add(disk, inode, 1);
    pending_write_back(disk, dir);
}

void dir_unlink(struct disk *disk, struct inode *dir, const char *name, struct call *call)
{
    struct pending *pending = pending_new(dir, PENDING_UNLINK, call);
    pending->name = text_copy(name);
    links_add(disk, names_find(&dir->names, name), -1);
    dir_apply(disk, &dir->names, pending);
    pending_write_back(disk, dir);
}

void dir_rename(struct disk *disk, struct inode *dir, const char *from, const char *to,
                struct call *call)
{
    struct pending *pending = pending_new(dir, PENDING_RENAME, call);
    pending->name = text_copy(to);
    pending->inode = names_find(&dir->names, from);
    pending->inode->refs++;
    links_add(disk, names_find(&dir->names, to), -1);
    dir_apply(disk, &dir->names, pending);
    pending_write_back(disk, dir);
}

void dir_sync(struct disk *disk, struct inode *dir, uint64_t submitted)
{
    const struct list_node *last = NULL;
    LIST_FOREACH (&dir->pending, node) {
        const struct pending *pending = container_of(node, struct pending, node);
        if (pending->ended != 0 && pending->ended < submitted) {
            last = node;
        }
    }
    struct list_node *node;
    while ((node = list_first(&dir->pending)) != NULL && (last != NULL || coin())) {
        if (node == last) {
            last = NULL;
        }
        struct pending *pending = container_of(node, struct pending, node);
        dir_apply(disk, &dir->names_durable, pending);
        pending_free(disk, dir, pending);
    }
}

void dir_revert(struct disk *disk, struct inode *dir)
{
    for (uint32_t i = 0; i < dir->names.count; i++) {
        links_add(disk, dir->names.entries[i].inode, -1);
    }
    struct names old = dir->names;
    dir->names = (struct names){0};
    for (uint32_t i = 0; i < dir->names_durable.count; i++) {
        const struct entry *entry = &dir->names_durable.entries[i];
        names_set(disk, &dir->names, entry->name, entry->inode);
        links_add(disk, entry->inode, 1);
    }
    names_clear(disk, &old);
}
