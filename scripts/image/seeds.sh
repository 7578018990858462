#!/bin/sh
# Makes the compiler draw the same random numbers each time, so that the same source gives the same bytes: procedural
# macros write code in the order of a hash map, and those are seeded at random (`fl!` of i18n-embed-fl, which age uses,
# gave one of two programs). Writes random.so and the compiler's wrapper, rustc.sh; RUSTC_WRAPPER names it.
set -eu
cat >random.c <<'C'
#include <string.h>
#include <sys/types.h>
ssize_t getrandom(void *buffer, size_t length, unsigned flags) {
    (void)flags;
    memset(buffer, 0, length);
    return (ssize_t)length;
}
C
cc -shared -fPIC -O2 -o random.so random.c
cat >rustc.sh <<SH
#!/bin/sh
LD_PRELOAD=$PWD/random.so exec "\$@"
SH
chmod +x rustc.sh
