/* What avatar.wasm exports beside the engine's own functions: see the end of avatar.h. There is no state: a call that
 * needs memory takes new pages. */
#include "avatar.h"

#define EXPORT(name) __attribute__((export_name(#name)))

enum { PAGE = 65536 };

EXPORT(avatar_allocate) void *allocate(size_t bytes) {
    const size_t pages = bytes / PAGE + 1, before = __builtin_wasm_memory_grow(0, pages);
    return before == SIZE_MAX ? NULL : (void *)(before * PAGE);
}

EXPORT(avatar_open) intptr_t open(const void *file, size_t size) {
    size_t bytes;
    struct avatar_model *model;
    enum avatar_error error = avatar_measure(file, size, &bytes);
    if (error) return -(intptr_t)error;
    void *memory = allocate(bytes);
    error = memory ? avatar_load(file, size, memory, bytes, &model) : AVATAR_MEMORY;
    return error ? -(intptr_t)error : (intptr_t)model;
}
