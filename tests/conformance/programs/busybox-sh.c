/*
 * /bin/sh of the busybox image. Tests compare the messages of busybox's own shell word for word, and others pass
 * environment names that are no identifiers on to children, which Debian's build of that shell drops: only for those bash.
 */
#include <ctype.h>
#include <unistd.h>

extern char **environ;

static int is_identifier(const char *entry) {
    if (!isalpha((unsigned char)*entry) && *entry != '_') {
        return 0;
    }
    while (*entry && *entry != '=') {
        if (!isalnum((unsigned char)*entry) && *entry != '_') {
            return 0;
        }
        entry++;
    }
    return 1;
}

int main(int count, char **arguments) {
    (void)count;
    for (char **entry = environ; *entry; entry++) {
        if (!is_identifier(*entry)) {
            execv("/bin/bash", arguments);
            return 127;
        }
    }
    /* busybox takes the applet from the name it is called by, which may be any path to sh. */
    execv("/bin/busybox", arguments);
    return 127;
}
