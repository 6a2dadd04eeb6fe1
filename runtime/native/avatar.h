/* The engine: draws avatars from an int8 model file of avatar-edge, with no library and no allocation of its own.
 *
 *     size_t bytes;
 *     struct avatar_model *model;
 *     enum avatar_error error = avatar_measure(file, size, &bytes);
 *     if (!error) error = avatar_load(file, size, memory = malloc(bytes), bytes, &model);
 *     if (error) return puts(avatar_error_text(error));
 *     avatar_draw(model, z, image);   // z: avatar_latent_dim floats; image: height * width * channels bytes
 *
 * The model is the memory that the caller gave: free it and the model is gone. The file may be freed after loading.
 * Nothing is global. Any number of models may draw at once; one model draws for one thread at a time. Loading takes up
 * to 128 KB of stack.
 *
 * WHAT IT DRAWS. The file that `avatar-export --precision int8` writes, of any image size, width and latent size: a
 * graph of ONNX operators (https://onnx.ai/onnx/operators/, opset 17) in QDQ form. Anything else is refused with a
 * code.
 *
 * THE ARITHMETIC, which every other runtime shares. Integers are exact; float32 is IEEE 754, each
 * operation rounded by itself (no fused multiply-add), to nearest, halves to even.
 *
 * 1. QuantizeLinear, float32 to uint8: y = saturate(round(x / step) + zero), halves to even, saturated to 0 ... 255.
 *    DequantizeLinear: x = (y - zero) * step.
 * 2. DequantizeLinear -> Conv or Gemm -> QuantizeLinear is QLinearConv (QLinearMatMul): int32 sums of
 *    (uint8 - zero) * int8, plus the int32 bias; times m in float32, where m = input step * weight step / output step,
 *    multiplied and divided in float32 in this order, one m for each output channel; then rounded and saturated as in
 *    1. Conv: one group, no strides, no dilations; what is padded is 0, the integer `zero`. The sum of the absolute
 *    values of all products and the bias must fit in int32; else the file is refused. A Relu before QuantizeLinear
 *    changes nothing, for its zero point must be 0.
 * 3. Gemm of float32 vectors that hold integers (z * 256 after Round) with int8 weights (behind a Cast) and an integer
 *    bias: float32 sums. They are exact, and so the same in every order, while they stay below 2^24.
 *    Mul, Add and Sub by a constant or of two vectors, Round (halves to even), Relu, Sigmoid, Tanh and QuantizeLinear
 *    of vectors are as ONNX says. A vector may be z, computed from z, or a function (see 4) of uint8 [1, channels].
 * 4. What lies between DequantizeLinear and QuantizeLinear (or Cast to uint8) and works on each number by itself
 *    (Sigmoid, Tanh, Relu, Round, Clip, and Mul, Add, Sub by a constant) is a table of 256 entries: the operators'
 *    float32 results, Sigmoid and Tanh rounded from the exact value.
 * 5. Add of two such functions, before QuantizeLinear, is float32 as ONNX says. (Where onnxruntime makes its own
 *    QLinearAdd of it, it rounds as each processor likes. A 1x1 Conv of the Concat of both is exact everywhere.)
 * 6. Reshape, Transpose and Concat (of channels, of [1, channels] or [1, channels, height, width]) move uint8.
 *
 * SPEED. Weights are laid out once, at load. The inner loop has a path for wasm SIMD128, for NEON, for SSE2 and AVX2
 * (chosen when the program runs) and one in plain C; all give the same bytes.
 */
#ifndef AVATAR_H
#define AVATAR_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum avatar_error {
    AVATAR_OK = 0,
    AVATAR_DAMAGED = 1,      /* no ONNX file, or a part of one */
    AVATAR_ORT_FORMAT = 2,   /* an .ort file */
    AVATAR_FOREIGN = 3,      /* an ONNX model without avatar-edge's metadata, or no generator */
    AVATAR_NEWER = 4,        /* a metadata of a newer format */
    AVATAR_PRECISION = 5,    /* not int8 */
    AVATAR_FLOAT_OUTPUT = 6, /* gives float32 images */
    AVATAR_METADATA = 7,     /* metadata damaged, or it and the graph differ */
    AVATAR_OPERATOR = 8,     /* an operator, or an arrangement of operators, that the arithmetic above does not know */
    AVATAR_SUMS = 9,         /* sums that do not fit in int32 */
    AVATAR_TOO_LARGE = 10,   /* more memory or work than a file of this size can need */
    AVATAR_MEMORY = 11       /* less memory than measured, or not aligned to 8 bytes, or none left */
};

struct avatar_model;

/* What is wrong, as one sentence in English. */
const char *avatar_error_text(enum avatar_error error);

/* How many bytes of memory avatar_load needs for a file: at most 32 for each byte of the file, and 4 MB. */
enum avatar_error avatar_measure(const void *file, size_t size, size_t *memory_size);

/* Make a model in memory, which must be aligned to 8 bytes, as malloc does, and stay as long as the model draws. */
enum avatar_error avatar_load(const void *file, size_t size, void *memory, size_t memory_size,
                              struct avatar_model **model);

/* How many numbers a latent vector has, and the size of an image; channels is 1 or 3. */
int avatar_latent_dim(const struct avatar_model *model);
int avatar_height(const struct avatar_model *model);
int avatar_width(const struct avatar_model *model);
int avatar_channels(const struct avatar_model *model);

/* The model's metadata: JSON in UTF-8, not ended by NUL. It has the model's name, latent scheme and golden check. */
const char *avatar_metadata(const struct avatar_model *model, size_t *length);

/* z float32 [latent_dim] -> image uint8 [height, width, channels]. Takes any z; exact as said under 3. */
void avatar_draw(struct avatar_model *model, const float *z, uint8_t *image);

#ifdef __cplusplus
}
#endif

/* THE WASM MODULE, avatar.wasm. It imports nothing and exports `memory` and these; pointers are offsets in memory, and
 * memory may grow (old views of it are then void) in avatar_allocate and avatar_open:
 *
 *     avatar_allocate(bytes) -> pointer      zeroed, aligned to 64 KB, never given back; 0: no memory left
 *     avatar_open(file, size) -> model       the pointer of a model, or minus an avatar_error; the file's bytes may be
 *                                            overwritten afterwards
 *     avatar_latent_dim(model), avatar_height(model), avatar_width(model), avatar_channels(model) -> int
 *     avatar_draw(model, z, image)           z: pointer to latent_dim float32; image: pointer to the bytes to fill
 *     avatar_error_text(error) -> pointer    ASCII, ended by a zero
 *
 *     const { instance } = await WebAssembly.instantiate(wasm, {});
 *     const file = instance.exports.avatar_allocate(bytes.length);
 *     new Uint8Array(instance.exports.memory.buffer).set(bytes, file);
 *     const model = instance.exports.avatar_open(file, bytes.length);
 */
#endif
