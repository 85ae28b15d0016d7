/* FNV-1a, 32 bits, for the filter in Python (pymilter.py).
 *   cc -O2 -shared -fPIC -o fnv1a.so fnv1a.c */
#include <stddef.h>
#include <stdint.h>

uint32_t fnv1a(uint32_t hash, const uint8_t *bytes, size_t length)
{
    for (size_t i = 0; i < length; i++) hash = (hash ^ bytes[i]) * 16777619u;
    return hash;
}
