/* libFuzzer's entry: any bytes as a model file, and any numbers as its latent. See run.sh. */
#include "avatar.h"

#include <math.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *file, size_t size) {
    struct avatar_model *model;
    size_t bytes;
    if (avatar_measure(file, size, &bytes)) return 0;
    if (bytes > 32 * size + (4 << 20)) abort();
    void *memory = malloc(bytes); /* no byte more, so that AddressSanitizer sees what is written behind it */
    if (!avatar_load(file, size, memory, bytes, &model)) {
        const int count = avatar_latent_dim(model);
        const size_t places = (size_t)avatar_height(model) * (size_t)avatar_width(model);
        const float wild[] = {0.5f, -3, NAN, INFINITY, -INFINITY, 1e30f, -1e30f, 1e-40f};
        float *z = malloc((size_t)count * sizeof *z);
        uint8_t *image = malloc(places * (size_t)avatar_channels(model));
        for (int pass = 0; pass < 2; pass++) {
            for (int i = 0; i < count; i++) z[i] = wild[pass ? i % 8 : i % 2];
            avatar_draw(model, z, image);
        }
        free(image);
        free(z);
    }
    free(memory);
    return 0;
}
