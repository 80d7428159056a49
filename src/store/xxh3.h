// store/xxh3.h: XXH3 (64 bits), compiled in: most of what it hashes is short.
#pragma once
#define XXH_INLINE_ALL
#include <xxhash.h>
