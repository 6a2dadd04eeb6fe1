/* The engine: see avatar.h, which has the arithmetic too. In order: arithmetic, sums (the inner loop), what a face is
 * drawn by (steps), protobuf and JSON, the graph's operators (how nodes become steps), loading.
 *
 * A file is compiled twice by the same code: first to count the memory, then to fill it. Activations lie channels last;
 * Reshape, Transpose and Concat move nothing, they make views: each dimension is a list of factors (extent, stride).
 */
#include "avatar.h"

#include <float.h>
#include <limits.h>
#include <stdbool.h>

#ifdef __FAST_MATH__
#error "-ffast-math changes the rounding, and with it the faces"
#endif
#if FLT_EVAL_METHOD != 0
#error "floats must be rounded to 32 bits after every operation; on i386: -msse2 -mfpmath=sse"
#endif

#if defined(AVATAR_PLAIN)
#elif defined(__wasm_simd128__)
#define AVATAR_WASM 1
#include <wasm_simd128.h>
#elif defined(__ARM_NEON) && defined(__aarch64__)
#define AVATAR_NEON 1
#include <arm_neon.h>
#elif defined(__SSE2__)
#define AVATAR_SSE2 1
#include <emmintrin.h>
#if !defined(AVATAR_NO_AVX2) && (defined(__GNUC__) || defined(__clang__))
#define AVATAR_AVX2 1
#include <immintrin.h>
#endif
#endif
#ifndef AVATAR_AVX2
#define AVATAR_AVX2 0
#endif

#if defined(__GNUC__) || defined(__clang__)
#define copy_bytes __builtin_memcpy
#else
#include <string.h>
#define copy_bytes memcpy
#endif

/* Accumulators must stay in registers, which gcc -O2 does only for loops that it unrolls. */
#if defined(__clang__)
#define UNROLLED _Pragma("clang loop unroll(full)")
#elif defined(__GNUC__)
#define UNROLLED _Pragma("GCC unroll 8")
#else
#define UNROLLED
#endif

/* avatar.wasm is sent over networks: what gains no time there stays small. */
#if defined(__wasm__) && defined(__clang__)
#define NOT_UNROLLED _Pragma("clang loop unroll(disable) interleave(disable)")
#define SMALL __attribute__((minsize, noinline))
#else
#define NOT_UNROLLED
#define SMALL
#endif

/* Arithmetic */

static float float_of(uint32_t bits) {
    union { uint32_t bits; float value; } u = {bits};
    return u.value;
}

static uint32_t bits_of(float value) {
    union { float value; uint32_t bits; } u = {value};
    return u.bits;
}

static bool is_step(float x) { return x > 0 && x <= FLT_MAX; }

/* To the nearest integer, halves to even. Above 2^23 every float is one. */
static float round_even(float x) {
    const float magic = 8388608.0f;
    if (!(x > -magic && x < magic)) return x;
    float y = x < 0 ? (x - magic) + magic : (x + magic) - magic;
    return float_of((bits_of(y) & 0x7fffffff) | (bits_of(x) & 0x80000000));
}

/* x, in steps of the output and without its zero point, as the output: rounded, with the zero point, saturated. */
static inline uint8_t saturated(float x, float low, float high, int zero) {
    const float magic = 12582912.0f; /* 1.5 * 2^23: the sum's last bit is 1, and the hardware rounds halves to even */
    x = x > low ? x : low;           /* low = -zero also for NaN */
    x = x < high ? x : high;
    return (uint8_t)((int32_t)(bits_of(x + magic) - 0x4b400000u) + zero);
}

static uint8_t quantized(float x, float step, int zero) {
    return saturated(x / step, (float)-zero, (float)(255 - zero), zero);
}

/* e^x in double precision for |x| <= 700: e^x = 2^k e^r, and a Taylor series for |r| <= ln(2) / 2. */
SMALL static double exponential(double x) {
    int k = (int)(x * 1.4426950408889634 + (x < 0 ? -0.5 : 0.5));
    double r = x - k * 0.693147180369123816490 - k * 1.90821492927058770002e-10, sum = 1;
    for (int i = 16; i > 0; i--) sum = 1 + sum * r / i;
    union { uint64_t bits; double value; } power = {(uint64_t)(1023 + k) << 52};
    return sum * power.value;
}

static double logistic(double x) {
    x = x > -700 ? x : -700; /* NaN too */
    x = x < 700 ? x : 700;
    return 1 / (1 + exponential(-x));
}

/* An operator that works on each number by itself; y is the constant operand, or the other vector's number. */
enum function { MUL, ADD, SUB, ROUND, RELU, SIGMOID, TANH, MAXIMUM, MINIMUM };

SMALL static float applied(enum function function, float x, float y) {
    switch (function) {
    case MUL: return x * y;
    case ADD: return x + y;
    case SUB: return x - y;
    case ROUND: return round_even(x);
    case RELU: return x > 0 ? x : 0;
    case SIGMOID: return (float)logistic(x);
    case TANH: return (float)(2 * logistic(2 * (double)x) - 1);
    case MAXIMUM: return x > y ? x : y;
    case MINIMUM: return x < y ? x : y;
    }
    return 0;
}

/* Sums: for POSITIONS places at once the sums of a block of output channels. Inputs and weights go in pairs of
 * neighbouring input channels: weights are int8 [rows][pairs][block][2], x points to int16. */

enum { POSITIONS = 4, BLOCK_MAX = 16, PRODUCT_BLOCK = 8 };

typedef void sums_function(const int8_t *weights, const int16_t *const *x, size_t row, size_t rows, size_t pairs,
                           int32_t *sums); /* -> [POSITIONS][block] */

#if AVATAR_WASM

enum { BLOCK = 8 };

static void block_sums(const int8_t *weights, const int16_t *const *x, size_t row, size_t rows, size_t pairs,
                       int32_t *sums) {
    v128_t s[POSITIONS][2] = {{{0}}};
    for (size_t y = 0; y < rows; y++) {
        const int16_t *x0 = x[0] + y * row, *x1 = x[1] + y * row, *x2 = x[2] + y * row, *x3 = x[3] + y * row;
        NOT_UNROLLED /* 3.2 ms a face in V8, unrolled 4 times 4.2 */
        for (size_t i = 0; i < pairs; i++, weights += 16) {
            const v128_t low = wasm_i16x8_load8x8(weights), high = wasm_i16x8_load8x8(weights + 8);
            const v128_t a[POSITIONS] = {wasm_v128_load32_splat(x0 + 2 * i), wasm_v128_load32_splat(x1 + 2 * i),
                                         wasm_v128_load32_splat(x2 + 2 * i), wasm_v128_load32_splat(x3 + 2 * i)};
            UNROLLED
            for (int p = 0; p < POSITIONS; p++) {
                s[p][0] = wasm_i32x4_add(s[p][0], wasm_i32x4_dot_i16x8(a[p], low));
                s[p][1] = wasm_i32x4_add(s[p][1], wasm_i32x4_dot_i16x8(a[p], high));
            }
        }
    }
    UNROLLED
    for (int p = 0; p < POSITIONS; p++)
        UNROLLED
        for (int h = 0; h < 2; h++) wasm_v128_store(sums + 8 * p + 4 * h, s[p][h]);
}

#elif AVATAR_NEON

enum { BLOCK = 8 };

static void block_sums(const int8_t *weights, const int16_t *const *x, size_t row, size_t rows, size_t pairs,
                       int32_t *sums) {
    int32x4_t s[POSITIONS][2];
    UNROLLED
    for (int p = 0; p < POSITIONS; p++) s[p][0] = s[p][1] = vdupq_n_s32(0);
    for (size_t y = 0; y < rows; y++) {
        const int16_t *x0 = x[0] + y * row, *x1 = x[1] + y * row, *x2 = x[2] + y * row, *x3 = x[3] + y * row;
        for (size_t i = 0; i < pairs; i++, weights += 16) {
            const int8x8x2_t w = vld2_s8(weights);
            const int16x8_t even = vmovl_s8(w.val[0]), odd = vmovl_s8(w.val[1]);
            const int16_t *const places[POSITIONS] = {x0 + 2 * i, x1 + 2 * i, x2 + 2 * i, x3 + 2 * i};
            UNROLLED
            for (int p = 0; p < POSITIONS; p++) {
                const int16x4_t a = vdup_n_s16(places[p][0]), b = vdup_n_s16(places[p][1]);
                s[p][0] = vmlal_s16(vmlal_s16(s[p][0], vget_low_s16(even), a), vget_low_s16(odd), b);
                s[p][1] = vmlal_s16(vmlal_s16(s[p][1], vget_high_s16(even), a), vget_high_s16(odd), b);
            }
        }
    }
    UNROLLED
    for (int p = 0; p < POSITIONS; p++)
        UNROLLED
        for (int h = 0; h < 2; h++) vst1q_s32(sums + 8 * p + 4 * h, s[p][h]);
}

#elif AVATAR_SSE2

static inline int32_t pair_at(const int16_t *x) {
    int32_t pair;
    copy_bytes(&pair, x, sizeof pair);
    return pair;
}

enum { BLOCK = 8 };

static void block_sums(const int8_t *weights, const int16_t *const *x, size_t row, size_t rows, size_t pairs,
                       int32_t *sums) {
    __m128i s[POSITIONS][2];
    UNROLLED
    for (int p = 0; p < POSITIONS; p++) s[p][0] = s[p][1] = _mm_setzero_si128();
    for (size_t y = 0; y < rows; y++) {
        const int16_t *places[POSITIONS];
        UNROLLED
        for (int p = 0; p < POSITIONS; p++) places[p] = x[p] + y * row;
        for (size_t i = 0; i < pairs; i++, weights += 16) {
            const __m128i w = _mm_loadu_si128((const __m128i *)(const void *)weights);
            const __m128i low = _mm_srai_epi16(_mm_unpacklo_epi8(w, w), 8);
            const __m128i high = _mm_srai_epi16(_mm_unpackhi_epi8(w, w), 8);
            UNROLLED
            for (int p = 0; p < POSITIONS; p++) {
                const __m128i a = _mm_set1_epi32(pair_at(places[p] + 2 * i));
                s[p][0] = _mm_add_epi32(s[p][0], _mm_madd_epi16(a, low));
                s[p][1] = _mm_add_epi32(s[p][1], _mm_madd_epi16(a, high));
            }
        }
    }
    UNROLLED
    for (int p = 0; p < POSITIONS; p++)
        UNROLLED
        for (int h = 0; h < 2; h++) _mm_storeu_si128((__m128i *)(void *)(sums + 8 * p + 4 * h), s[p][h]);
}

#else

enum { BLOCK = 8 };

static void block_sums(const int8_t *weights, const int16_t *const *x, size_t row, size_t rows, size_t pairs,
                       int32_t *sums) {
    for (int i = 0; i < POSITIONS * BLOCK; i++) sums[i] = 0;
    for (size_t y = 0; y < rows; y++)
        for (size_t i = 0; i < pairs; i++, weights += 2 * BLOCK)
            UNROLLED
            for (int p = 0; p < POSITIONS; p++) {
                const int16_t *a = x[p] + y * row + 2 * i;
                for (int c = 0; c < BLOCK; c++)
                    sums[p * BLOCK + c] += a[0] * weights[2 * c] + a[1] * weights[2 * c + 1];
            }
}

#endif

#if AVATAR_AVX2

enum { BLOCK_AVX2 = 16 };

__attribute__((target("avx2"))) static void block_sums_avx2(const int8_t *weights, const int16_t *const *x, size_t row,
                                                             size_t rows, size_t pairs, int32_t *sums) {
    __m256i s[POSITIONS][2];
    UNROLLED
    for (int p = 0; p < POSITIONS; p++) s[p][0] = s[p][1] = _mm256_setzero_si256();
    for (size_t y = 0; y < rows; y++) {
        const int16_t *places[POSITIONS];
        UNROLLED
        for (int p = 0; p < POSITIONS; p++) places[p] = x[p] + y * row;
        for (size_t i = 0; i < pairs; i++, weights += 32) {
            const __m256i low = _mm256_cvtepi8_epi16(_mm_loadu_si128((const __m128i *)(const void *)weights));
            const __m256i high = _mm256_cvtepi8_epi16(_mm_loadu_si128((const __m128i *)(const void *)(weights + 16)));
            UNROLLED
            for (int p = 0; p < POSITIONS; p++) {
                const __m256i a = _mm256_set1_epi32(pair_at(places[p] + 2 * i));
                s[p][0] = _mm256_add_epi32(s[p][0], _mm256_madd_epi16(a, low));
                s[p][1] = _mm256_add_epi32(s[p][1], _mm256_madd_epi16(a, high));
            }
        }
    }
    UNROLLED
    for (int p = 0; p < POSITIONS; p++)
        UNROLLED
        for (int h = 0; h < 2; h++) _mm256_storeu_si256((__m256i *)(void *)(sums + 16 * p + 8 * h), s[p][h]);
}

#endif

struct kernel {
    sums_function *sums;
    size_t block;
};

static struct kernel best_kernel(void) {
#if AVATAR_AVX2
    if (__builtin_cpu_supports("avx2")) return (struct kernel){block_sums_avx2, BLOCK_AVX2};
#endif
    return (struct kernel){block_sums, BLOCK};
}

/* Steps: what a face is drawn by. Each writes memory that no other step writes, but for parts of one buffer. */

/* uint8 numbers [height, width, channels] where they lie: data[rows[y] + columns[x] + places[c]]. */
struct source {
    const uint8_t *data;
    const uint32_t *rows, *columns, *places;
    uint32_t height, width, channels;
    bool together; /* places[c] is c */
};

struct step {
    void (*run)(const struct step *step);
    union {
        struct { /* out[i] = function(x[i], y[i or 0]) */
            enum function function;
            const float *x, *y;
            float *out;
            size_t count;
            bool one_y;
        } vector;
        struct { /* out float32 [count] = x [depth] * weights int8 [blocks][depth][PRODUCT_BLOCK] + bias */
            const float *x, *bias;
            const int8_t *weights;
            float *out;
            size_t depth, count;
        } product;
        struct {
            const float *x;
            uint8_t *out;
            size_t count;
            float step;
            uint8_t zero;
        } quantize;
        struct { /* out[i] = table[in[i]] */
            const uint8_t *in;
            uint8_t *out, table[256];
            size_t count;
        } table;
        struct { /* a vector of what the integers of [1, channels] stand for */
            struct source in;
            const float *table;
            float *out;
        } lookup;
        struct { /* channels last, and spread: out[y * row + x * pixel + c] */
            struct source in;
            uint8_t *out;
            size_t row, pixel;
        } copy;
        struct { /* the same as int16, within a border that load has filled */
            struct source in;
            int16_t *out;
            size_t row, pixel;
        } pad;
        struct { /* out [height, width, channels] = the two tables' sum, quantized */
            struct source a, b;
            const float *table_a, *table_b;
            uint8_t *out;
            float step;
            uint8_t zero;
        } add;
        struct {
            const int16_t *in; /* the first place's window, within its border */
            size_t row, pixel, rows, pairs, height, width, channels;
            const int8_t *weights;
            const int32_t *bias;
            const float *scale;
            uint8_t *out;
            struct kernel kernel;
            uint8_t zero;
        } conv;
    } u;
};

static void run_vector(const struct step *step) {
    enum function function = step->u.vector.function;
    const float *x = step->u.vector.x, *y = step->u.vector.y;
    size_t stride = step->u.vector.one_y ? 0 : 1;
    if (function == MUL && stride) /* the long one */
        for (size_t i = 0; i < step->u.vector.count; i++) step->u.vector.out[i] = x[i] * y[i];
    else
        for (size_t i = 0; i < step->u.vector.count; i++)
            step->u.vector.out[i] = applied(function, x[i], y[i * stride]);
}

static void run_product(const struct step *step) {
    const int8_t *weights = step->u.product.weights;
    const size_t depth = step->u.product.depth, count = step->u.product.count;
    for (size_t start = 0; start < count; start += PRODUCT_BLOCK) {
        float sums[PRODUCT_BLOCK] = {0};
#if AVATAR_WASM
        v128_t low = wasm_f32x4_splat(0), high = low;
        NOT_UNROLLED
        for (size_t k = 0; k < depth; k++, weights += PRODUCT_BLOCK) {
            const v128_t x = wasm_v128_load32_splat(step->u.product.x + k), w = wasm_i16x8_load8x8(weights);
            low = wasm_f32x4_add(low, wasm_f32x4_mul(x, wasm_f32x4_convert_i32x4(wasm_i32x4_extend_low_i16x8(w))));
            high = wasm_f32x4_add(high, wasm_f32x4_mul(x, wasm_f32x4_convert_i32x4(wasm_i32x4_extend_high_i16x8(w))));
        }
        wasm_v128_store(sums, low);
        wasm_v128_store(sums + 4, high);
#else
        for (size_t k = 0; k < depth; k++, weights += PRODUCT_BLOCK) {
            const float x = step->u.product.x[k];
            for (int c = 0; c < PRODUCT_BLOCK; c++) sums[c] += x * (float)weights[c];
        }
#endif
        NOT_UNROLLED
        for (size_t c = 0; c < PRODUCT_BLOCK && start + c < count; c++)
            step->u.product.out[start + c] = sums[c] + step->u.product.bias[start + c];
    }
}

static void run_quantize(const struct step *step) {
    float size = step->u.quantize.step;
    for (size_t i = 0; i < step->u.quantize.count; i++)
        step->u.quantize.out[i] = quantized(step->u.quantize.x[i], size, step->u.quantize.zero);
}

SMALL static void run_table(const struct step *step) {
    const uint8_t *in = step->u.table.in;
    for (size_t i = 0; i < step->u.table.count; i++) step->u.table.out[i] = step->u.table.table[in[i]];
}

SMALL static void run_lookup(const struct step *step) {
    const struct source *in = &step->u.lookup.in;
    for (size_t i = 0; i < in->channels; i++)
        step->u.lookup.out[i] = step->u.lookup.table[in->data[in->places[i]]];
}

SMALL static void run_copy(const struct step *step) {
    const struct source *in = &step->u.copy.in;
    for (size_t y = 0; y < in->height; y++)
        for (size_t x = 0; x < in->width; x++) {
            const uint8_t *from = in->data + in->rows[y] + in->columns[x];
            uint8_t *to = step->u.copy.out + y * step->u.copy.row + x * step->u.copy.pixel;
            for (size_t c = 0; c < in->channels; c++) to[c] = from[in->places[c]];
        }
}

static void run_pad(const struct step *step) {
    const struct source *in = &step->u.pad.in;
    for (size_t y = 0; y < in->height; y++)
        for (size_t x = 0; x < in->width; x++) {
            const uint8_t *from = in->data + in->rows[y] + in->columns[x];
            int16_t *to = step->u.pad.out + y * step->u.pad.row + x * step->u.pad.pixel;
            if (in->together)
                NOT_UNROLLED
                for (size_t c = 0; c < in->channels; c++) to[c] = from[c];
            else
                NOT_UNROLLED
                for (size_t c = 0; c < in->channels; c++) to[c] = from[in->places[c]];
        }
}

SMALL static void run_add(const struct step *step) {
    const struct source *a = &step->u.add.a, *b = &step->u.add.b;
    uint8_t *out = step->u.add.out;
    for (size_t y = 0; y < a->height; y++)
        for (size_t x = 0; x < a->width; x++) {
            const uint8_t *one = a->data + a->rows[y] + a->columns[x], *two = b->data + b->rows[y] + b->columns[x];
            for (size_t c = 0; c < a->channels; c++)
                *out++ = quantized(step->u.add.table_a[one[a->places[c]]] + step->u.add.table_b[two[b->places[c]]],
                                   step->u.add.step, step->u.add.zero);
        }
}

static void run_conv(const struct step *step) {
    const size_t places = step->u.conv.height * step->u.conv.width, channels = step->u.conv.channels;
    const size_t block = AVATAR_AVX2 ? step->u.conv.kernel.block : BLOCK;
    const size_t size = step->u.conv.rows * step->u.conv.pairs * block * 2;
    const int zero = step->u.conv.zero;
    const float low = (float)-zero, high = (float)(255 - zero);
    const int8_t *weights = step->u.conv.weights;
    for (size_t first = 0; first < channels; first += block, weights += size) {
        const int32_t *bias = step->u.conv.bias + first;
        const float *scale = step->u.conv.scale + first;
        const size_t real = channels - first < block ? channels - first : block;
        size_t x = 0, y = 0;
        for (size_t start = 0; start < places; start += POSITIONS) {
            const int16_t *window[POSITIONS];
            const size_t count = places - start < POSITIONS ? places - start : POSITIONS;
            NOT_UNROLLED
            for (size_t p = 0; p < POSITIONS; p++) {
                window[p] = p < count ? step->u.conv.in + y * step->u.conv.row + x * step->u.conv.pixel : window[0];
                if (++x == step->u.conv.width) x = 0, y++;
            }
            int32_t sums[POSITIONS * BLOCK_MAX];
            step->u.conv.kernel.sums(weights, window, step->u.conv.row, step->u.conv.rows, step->u.conv.pairs, sums);
            for (size_t p = 0; p < count; p++) {
                uint8_t *out = step->u.conv.out + (start + p) * channels + first, whole[BLOCK_MAX];
                uint8_t *to = real == block ? out : whole;
                for (size_t c = 0; c < block; c++)
                    to[c] = saturated((float)(sums[p * block + c] + bias[c]) * scale[c], low, high, zero);
                NOT_UNROLLED
                for (size_t c = 0; to == whole && c < real; c++) out[c] = whole[c];
            }
        }
    }
}

struct avatar_model {
    uint32_t latent_dim, steps, metadata_length;
    float *z;
    const struct step *step;
    const char *metadata;
    struct step last; /* copies the image to where the caller wants it */
};

void avatar_draw(struct avatar_model *model, const float *z, uint8_t *image) {
    copy_bytes(model->z, z, model->latent_dim * sizeof *z);
    for (uint32_t i = 0; i < model->steps; i++) model->step[i].run(&model->step[i]);
    model->last.u.copy.out = image;
    run_copy(&model->last);
}

int avatar_latent_dim(const struct avatar_model *model) { return (int)model->latent_dim; }
int avatar_height(const struct avatar_model *model) { return (int)model->last.u.copy.in.height; }
int avatar_width(const struct avatar_model *model) { return (int)model->last.u.copy.in.width; }
int avatar_channels(const struct avatar_model *model) { return (int)model->last.u.copy.in.channels; }

const char *avatar_metadata(const struct avatar_model *model, size_t *length) {
    *length = model->metadata_length;
    return model->metadata;
}

/* What follows runs once for each model. */
#if defined(__wasm__) && defined(__clang__)
#pragma clang attribute push(__attribute__((minsize)), apply_to = function)
#endif

/* Protobuf: https://protobuf.dev/programming-guides/encoding/ */

struct bytes {
    const uint8_t *at, *end;
};

static size_t length_of(struct bytes b) { return (size_t)(b.end - b.at); }

static bool same(struct bytes a, const char *text) {
    size_t i = 0;
    while (text[i] && i < length_of(a) && a.at[i] == (uint8_t)text[i]) i++;
    return !text[i] && i == length_of(a);
}

static bool equal(struct bytes a, struct bytes b) {
    if (length_of(a) != length_of(b)) return false;
    for (size_t i = 0; i < length_of(a); i++)
        if (a.at[i] != b.at[i]) return false;
    return true;
}

static bool read_varint(struct bytes *in, uint64_t *value) {
    *value = 0;
    for (unsigned shift = 0; shift < 64 && in->at < in->end; shift += 7) {
        const uint8_t byte = *in->at++;
        *value |= (uint64_t)(byte & 127) << shift;
        if (byte < 128) return true;
    }
    return false;
}

struct field {
    uint32_t number, wire;
    uint64_t value;       /* wire type 0; of wire type 5 its bits */
    struct bytes content; /* wire type 2 */
};

/* The next field of a message; false at its end, or, with *damaged set, where there is none. */
static bool next_field(struct bytes *in, struct field *field, bool *damaged) {
    if (in->at == in->end) return false;
    uint64_t tag, size = 0;
    *damaged = true;
    if (!read_varint(in, &tag) || tag >> 3 == 0 || tag >> 32) return false;
    *field = (struct field){(uint32_t)(tag >> 3), (uint32_t)(tag & 7), 0, {in->at, in->at}};
    if (field->wire == 0) {
        if (!read_varint(in, &field->value)) return false;
    } else if (field->wire == 1 || field->wire == 5 || field->wire == 2) {
        size = field->wire == 1 ? 8 : 4;
        if (field->wire == 2 && !read_varint(in, &size)) return false;
        if (size > length_of(*in)) return false;
        field->content = (struct bytes){in->at, in->at + size};
        for (unsigned i = 0; field->wire == 5 && i < 4; i++) field->value |= (uint64_t)in->at[i] << (8 * i);
        in->at += size;
    } else
        return false;
    *damaged = false;
    return true;
}

/* JSON: https://www.rfc-editor.org/rfc/rfc8259 */

static void skip_space(struct bytes *in) {
    while (in->at < in->end && (*in->at == ' ' || *in->at == '\n' || *in->at == '\r' || *in->at == '\t')) in->at++;
}

static bool skip_text(struct bytes *in) {
    for (in->at++; in->at < in->end; in->at++) {
        if (*in->at == '\\') {
            if (++in->at == in->end) return false;
        } else if (*in->at == '"') {
            in->at++;
            return true;
        }
    }
    return false;
}

/* Skip one value; true if its brackets and texts are closed. */
static bool skip_value(struct bytes *in) {
    size_t depth = 0, length = 0;
    while (in->at < in->end) {
        const uint8_t c = *in->at;
        if (depth == 0 && (c == ',' || c == '}' || c == ']')) return length > 0;
        length++;
        if (c == '"') {
            if (!skip_text(in)) return false;
            continue;
        }
        if (c == '{' || c == '[') depth++;
        if (c == '}' || c == ']') depth--;
        in->at++;
    }
    return false;
}

/* The value of a key of an object: *value is empty if it has none. False if it is not an object. */
static bool json_value(struct bytes object, const char *key, struct bytes *value) {
    *value = (struct bytes){object.at, object.at};
    skip_space(&object);
    if (object.at == object.end || *object.at++ != '{') return false;
    for (;;) {
        skip_space(&object);
        if (object.at == object.end || *object.at != '"') return false;
        struct bytes name = {object.at + 1, NULL};
        if (!skip_text(&object)) return false;
        name.end = object.at - 1;
        skip_space(&object);
        if (object.at == object.end || *object.at++ != ':') return false;
        skip_space(&object);
        struct bytes found = {object.at, NULL};
        if (!skip_value(&object)) return false;
        found.end = object.at;
        while (found.end > found.at && (found.end[-1] == ' ' || found.end[-1] == '\n')) found.end--;
        if (same(name, key)) *value = found;
        if (*object.at++ == '}') return true;
    }
}

/* A whole number of at most nine digits; -1 if it is none. */
static int32_t json_number(struct bytes text) {
    int32_t number = 0;
    if (length_of(text) < 1 || length_of(text) > 9) return -1;
    for (; text.at < text.end; text.at++) {
        if (*text.at < '0' || *text.at > '9') return -1;
        number = number * 10 + (*text.at - '0');
    }
    return number;
}

/* The graph. What a name stands for: */

enum kind {
    VECTOR,   /* float32 [1, count], computed */
    TENSOR,   /* uint8, computed: a view of a buffer */
    REAL,     /* float32, a function of each number of a TENSOR: DequantizeLinear, or another function of a REAL */
    WEIGHT,   /* DequantizeLinear of a constant */
    INTEGERS, /* an int8 constant after Cast to float32 */
    SUMS,     /* Conv or Gemm of a REAL, to be quantized */
    TOTAL     /* Add of two REALs, to be quantized */
};

enum { DIMENSIONS = 6, FACTORS = 10, INPUTS = 16, VALUES = 400, CONSTANTS = 2048, KERNEL_MAX = 15 };
enum { NODE_MAX = 65536, FIELDS_MAX = 64 }; /* bytes of a node, fields of a constant: both are read more than once */

struct factor {
    uint32_t extent, stride;
};

/* Dimension d is the product of count[d] factors, the outer first. */
struct view {
    struct factor factors[FACTORS];
    uint8_t rank, count[DIMENSIONS];
};

struct value {
    struct bytes name, node; /* node: which made it, to be read again where it is used */
    enum kind kind;
    uint16_t source;   /* REAL: its TENSOR */
    uint16_t previous; /* REAL: what the function is applied to */
    bool plain;        /* REAL: DequantizeLinear of its TENSOR */
    bool rectified;    /* SUMS: a Relu follows */
    uint8_t zero;      /* plain REAL */
    float step;
    size_t offset, count; /* VECTOR and TENSOR: where in the working memory, how many numbers */
    struct view view;     /* TENSOR */
};

struct constant {
    struct bytes raw;
    uint32_t type, rank, count;
    uint32_t dims[DIMENSIONS];
};

enum { FLOAT32 = 1, UINT8 = 2, INT8 = 3, INT32 = 6, INT64 = 7, FLOAT16 = 10 }; /* TensorProto.DataType */

struct node {
    struct bytes whole, kind, output, inputs[INPUTS];
    unsigned count;
};

/* A copy of a TENSOR as int16 in a border of its zero point, which Conv reads. */
struct padded {
    size_t offset;
    uint32_t border;
    uint16_t source;
    uint8_t zero;
};

enum { PADDED = 256 };

struct loader {
    struct bytes file, graph, metadata;
    enum avatar_error error;
    uint8_t *memory;                    /* NULL: only count */
    uint64_t fixed, working, steps;     /* bytes used, and steps */
    uint64_t steps_at, working_at, limit, work, work_limit;
    struct kernel kernel;
    struct step unused; /* where a step goes while only counting */
    unsigned constants, values, paddeds;
    uint16_t output;
    struct { uint32_t hash, offset, size; } constant[CONSTANTS]; /* of each initializer: its name, where it lies */
    struct value value[VALUES];
    struct padded padded[PADDED];
};

/* Keep the first error. Functions that can fail return whether all is well so far. */
SMALL static bool fail(struct loader *l, enum avatar_error error) {
    if (!l->error) l->error = error;
    return false;
}

/* Memory: what is filled at load (weights and tables), and what drawing fills. Offsets are multiples of 16. */

static uint64_t taken(struct loader *l, uint64_t *used, uint64_t bytes) {
    const uint64_t offset = *used, total = l->fixed + l->working + l->steps * sizeof(struct step);
    bytes = (bytes + 15) / 16 * 16;
    if (bytes > l->limit || total > l->limit - bytes) {
        fail(l, AVATAR_TOO_LARGE);
        return 0;
    }
    *used += bytes;
    return offset;
}

static void *fixed(struct loader *l, uint64_t bytes) {
    const uint64_t offset = taken(l, &l->fixed, bytes);
    return l->memory && !l->error ? l->memory + offset : NULL;
}

SMALL static void *working(struct loader *l, size_t offset) {
    return l->memory ? l->memory + l->working_at + offset : NULL;
}

static struct step *add_step(struct loader *l, void (*run)(const struct step *)) {
    struct step *steps = l->memory ? (struct step *)(void *)(l->memory + l->steps_at) : NULL;
    struct step *step = steps ? steps + l->steps : &l->unused;
    l->steps++;
    taken(l, &l->fixed, 0); /* is there room for it? */
    step->run = run;
    return step;
}

/* Work is counted in products, so that a small file cannot keep a processor busy for hours. */
static void add_work(struct loader *l, uint64_t times, uint64_t products) {
    if (products && times > (l->work_limit - l->work) / products)
        fail(l, AVATAR_TOO_LARGE);
    else
        l->work += times * products;
}

/* Constants: TensorProto fields 1 dims, 2 data_type, 8 name, 9 raw_data. */

static uint32_t hash_of(struct bytes b) { /* FNV-1a */
    uint32_t hash = 2166136261u;
    for (; b.at < b.end; b.at++) hash = (hash ^ *b.at) * 16777619u;
    return hash;
}

/* The name that a message has in that field. */
static struct bytes name_of(struct bytes message, uint32_t number, bool *damaged) {
    struct bytes name = {message.at, message.at};
    for (struct field f; next_field(&message, &f, damaged);)
        if (f.number == number && f.wire == 2) name = f.content;
    return name;
}

static bool read_constant(struct loader *l, struct bytes tensor, struct constant *c) {
    bool damaged = false, whole = true;
    uint64_t count = 1;
    *c = (struct constant){.raw = {tensor.at, tensor.at}};
    for (struct field f; next_field(&tensor, &f, &damaged);) {
        struct bytes dims = f.content;
        if (f.number == 2 && f.wire == 0) c->type = f.value > 99 ? 99 : (uint32_t)f.value;
        if (f.number == 9 && f.wire == 2) c->raw = f.content;
        if (f.number == 13 || f.number == 14 || f.number == 3) whole = false; /* elsewhere, or in segments */
        while (f.number == 1 && (f.wire == 0 || dims.at < dims.end)) { /* packed or not */
            uint64_t dim = f.value;
            if (f.wire == 2 && !read_varint(&dims, &dim)) return fail(l, AVATAR_DAMAGED);
            if (c->rank == DIMENSIONS || dim > length_of(l->file)) return fail(l, AVATAR_OPERATOR);
            c->dims[c->rank++] = (uint32_t)dim;
            count *= dim;
            if (count > length_of(l->file)) return fail(l, AVATAR_DAMAGED);
            if (f.wire == 0) break;
        }
    }
    if (damaged) return fail(l, AVATAR_DAMAGED);
    c->count = (uint32_t)count;
    const uint32_t size = c->type == FLOAT32 || c->type == INT32 ? 4 : c->type == INT64 ? 8 : 1;
    if (c->type == FLOAT16) return fail(l, AVATAR_PRECISION);
    if (!whole || (size == 1 && c->type != UINT8 && c->type != INT8)) return fail(l, AVATAR_OPERATOR);
    if (count == 0 || length_of(c->raw) != count * size) return fail(l, AVATAR_DAMAGED);
    return true;
}

static uint32_t word_at(const struct constant *c, size_t i) {
    const uint8_t *p = c->raw.at + 4 * i;
    return p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static int32_t int_at(const struct constant *c, size_t i) {
    const uint32_t word = word_at(c, i);
    return word < 0x80000000u ? (int32_t)word : -(int32_t)~word - 1;
}

static float float_at(const struct constant *c, size_t i) { return float_of(word_at(c, i)); }

/* Find an initializer by its name. Returns false, and fails if it must be there. */
static bool find_constant(struct loader *l, struct bytes name, struct constant *c) {
    const uint32_t hash = hash_of(name);
    for (unsigned i = 0; i < l->constants; i++) {
        if (l->constant[i].hash != hash) continue;
        bool damaged = false;
        const uint8_t *at = l->file.at + l->constant[i].offset;
        const struct bytes tensor = {at, at + l->constant[i].size};
        if (equal(name_of(tensor, 8, &damaged), name)) return read_constant(l, tensor, c);
    }
    return false;
}

static bool typed_constant(struct loader *l, struct bytes name, uint32_t type, struct constant *c) {
    if (!find_constant(l, name, c) || c->type != type) return fail(l, AVATAR_OPERATOR);
    return true;
}

/* Nodes: NodeProto fields 1 input, 2 output, 4 op_type, 5 attribute, 7 domain. */

static bool read_node(struct loader *l, struct bytes whole, struct node *n) {
    bool damaged = false;
    unsigned outputs = 0;
    if (length_of(whole) > NODE_MAX) return fail(l, AVATAR_OPERATOR);
    *n = (struct node){.whole = whole, .kind = {whole.at, whole.at}, .output = {whole.at, whole.at}};
    for (struct field f; next_field(&whole, &f, &damaged);) {
        if (f.wire != 2) continue;
        if (f.number == 1) {
            if (n->count == INPUTS) return fail(l, AVATAR_OPERATOR);
            n->inputs[n->count++] = f.content;
        }
        if (f.number == 2) n->output = f.content, outputs++;
        if (f.number == 4) n->kind = f.content;
        if (f.number == 7 && length_of(f.content) && !same(f.content, "ai.onnx"))
            return fail(l, AVATAR_OPERATOR);
    }
    if (damaged) return fail(l, AVATAR_DAMAGED);
    if (outputs != 1) return fail(l, AVATAR_OPERATOR);
    return true;
}

/* Attributes that may be there, with the one value that they may have (auto_pad is 0 for NOTSET, alpha and beta are
 * bits). Any other could change the arithmetic, and is refused, but for the one that an operator asks for. */
enum { ANY = -1 };

static const struct {
    const char *name;
    int32_t value;
} harmless[] = {{"kernel_shape", ANY}, {"strides", 1},        {"dilations", 1},     {"group", 1},    {"auto_pad", 0},
                {"transA", 0},         {"transB", 0},         {"alpha", 0x3f800000}, {"beta", 0x3f800000},
                {"allowzero", 0},      {"saturate", 1}};

/* One number of an attribute, from a field of AttributeProto: 2 f, 3 i, 4 s, 8 ints (packed or not). */
static bool next_number(struct field *f, int32_t *number) {
    uint64_t value = f->value;
    if (f->number == 8 && f->wire == 2) {
        if (!read_varint(&f->content, &value)) return false;
    } else if (f->number == 4 && f->wire == 2)
        value = !same(f->content, "NOTSET");
    else if (!(f->number == 2 && f->wire == 5) && !((f->number == 3 || f->number == 8) && f->wire == 0))
        return false;
    *number = value > INT32_MAX ? INT32_MIN : (int32_t)value;
    if (f->content.at == f->content.end || f->number != 8) f->number = 0; /* it had no more */
    return true;
}

/* Read a node's attribute of that name, at most `room` numbers; returns how many, -1 if it failed. */
static int read_attributes(struct loader *l, const struct node *n, const char *name, int32_t *numbers, int room) {
    bool damaged = false;
    int count = 0;
    struct bytes node = n->whole;
    for (struct field f; next_field(&node, &f, &damaged);) {
        if (f.number != 5 || f.wire != 2) continue;
        bool wanted = false, known = false;
        int32_t only = ANY, number;
        struct bytes rest = f.content;
        for (struct field g; next_field(&rest, &g, &damaged);) {
            if (g.number != 1 || g.wire != 2) continue;
            wanted = same(g.content, name);
            for (size_t i = 0; i < sizeof harmless / sizeof *harmless; i++)
                if (same(g.content, harmless[i].name)) known = true, only = harmless[i].value;
        }
        rest = f.content;
        if (wanted) count = 0;
        for (struct field g; next_field(&rest, &g, &damaged);)
            while (next_number(&g, &number)) {
                if (wanted && count < room)
                    numbers[count++] = number;
                else if (wanted || (only != ANY && number != only))
                    known = wanted = false, room = -1;
            }
        if (!known && !wanted) return fail(l, AVATAR_OPERATOR) - 1;
    }
    return damaged ? fail(l, AVATAR_DAMAGED) - 1 : count;
}

static struct value *find_value(struct loader *l, struct bytes name) {
    for (unsigned i = 0; i < l->values; i++)
        if (equal(l->value[i].name, name)) return &l->value[i];
    return NULL;
}

static struct value *find_kind(struct loader *l, struct bytes name, enum kind kind) {
    struct value *value = find_value(l, name);
    if (value && value->kind == kind) return value;
    fail(l, AVATAR_OPERATOR);
    return NULL;
}

static uint16_t index_of(const struct loader *l, const struct value *value) { return (uint16_t)(value - l->value); }

/* The value that a node makes. Always a place to write to; fails if there is no more room. */
static struct value *add_value(struct loader *l, const struct node *n, enum kind kind) {
    if (l->values == VALUES) {
        fail(l, AVATAR_TOO_LARGE);
        l->values--;
    }
    struct value *value = &l->value[l->values++];
    *value = (struct value){.name = n->output, .node = n->whole, .kind = kind};
    return value;
}

static void add_vector(struct loader *l, struct value *value, uint64_t count) {
    value->offset = (size_t)taken(l, &l->working, count * sizeof(float));
    value->count = (size_t)count;
}

/* Views */

/* Where a dimension's factors begin; of the rank itself: where they end. */
static unsigned first_factor(const struct view *v, unsigned dimension) {
    unsigned first = 0;
    for (unsigned d = 0; d < dimension; d++) first += v->count[d];
    return first;
}

static uint32_t extent(const struct view *v, unsigned dimension) {
    uint32_t product = 1;
    const unsigned first = first_factor(v, dimension);
    for (unsigned f = first; f < first + v->count[dimension]; f++) product *= v->factors[f].extent;
    return product;
}

/* Whether it is of that rank, and its batch is one. */
SMALL static bool is_one(const struct view *v, unsigned rank) { return v->rank == rank && v->count[0] == 0; }

static void add_dimension(struct view *v, uint64_t size, uint64_t stride) {
    v->count[v->rank] = size > 1;
    if (size > 1) v->factors[first_factor(v, v->rank)] = (struct factor){(uint32_t)size, (uint32_t)stride};
    v->rank++;
}

/* A new buffer [1, channels, height, width] that lies channels last; rank 2 is [1, channels]. */
static bool add_tensor(struct loader *l, struct value *value, uint64_t channels, uint64_t height, uint64_t width,
                       unsigned rank) {
    if (height * width > l->limit || channels * height * width > l->limit) return fail(l, AVATAR_TOO_LARGE);
    value->count = (size_t)(channels * height * width);
    value->offset = (size_t)taken(l, &l->working, value->count);
    value->view = (struct view){0};
    add_dimension(&value->view, 1, 0);
    add_dimension(&value->view, channels, 1);
    add_dimension(&value->view, height, width * channels);
    add_dimension(&value->view, width, channels);
    value->view.rank = (uint8_t)rank; /* the two last are 1 if they are not there */
    return true;
}

/* A dimension's offsets, as a table. */
static const uint32_t *offsets(struct loader *l, const struct view *v, unsigned dimension) {
    const uint32_t count = extent(v, dimension);
    const unsigned first = first_factor(v, dimension);
    uint32_t *table = fixed(l, (uint64_t)count * sizeof *table);
    for (uint32_t i = 0; table && i < count; i++) {
        uint32_t left = i, offset = 0;
        for (unsigned f = first + v->count[dimension]; f-- > first;) {
            offset += left % v->factors[f].extent * v->factors[f].stride;
            left /= v->factors[f].extent;
        }
        table[i] = offset;
    }
    return table;
}

/* Where the numbers of a TENSOR lie; the arguments say which dimension of its view is which. One of rank 2 is read as
 * if height and width, which are 1, were there. */
static struct source source_of(struct loader *l, const struct value *value, unsigned rows, unsigned columns,
                               unsigned places) {
    const struct view *v = &value->view;
    return (struct source){
        .data = working(l, value->offset),
        .rows = offsets(l, v, rows),
        .columns = offsets(l, v, columns),
        .places = offsets(l, v, places),
        .height = extent(v, rows),
        .width = extent(v, columns),
        .channels = extent(v, places),
        .together = v->count[places] == 0 ||
                    (v->count[places] == 1 && v->factors[first_factor(v, places)].stride == 1),
    };
}

/* Operators. Each gets a node whose inputs' values are there, and adds the value of its output. */

static bool read_step(struct loader *l, struct bytes name, float *step) {
    struct constant c;
    if (!typed_constant(l, name, FLOAT32, &c)) return false;
    *step = float_at(&c, 0);
    if (c.count != 1 || !is_step(*step)) return fail(l, AVATAR_OPERATOR);
    return true;
}

/* The step and zero point of a QuantizeLinear or DequantizeLinear of one step to or from uint8. */
static bool read_quantization(struct loader *l, const struct node *n, float *step, uint8_t *zero) {
    int32_t axis; /* means nothing where there is one step */
    struct constant c;
    *zero = 0;
    if (read_attributes(l, n, "axis", &axis, 1) < 0) return false;
    if (n->count < 2 || n->count > 3) return fail(l, AVATAR_OPERATOR);
    if (!read_step(l, n->inputs[1], step)) return false;
    if (n->count == 2) return true;
    if (!typed_constant(l, n->inputs[2], UINT8, &c)) return false;
    if (c.count != 1) return fail(l, AVATAR_OPERATOR);
    *zero = c.raw.at[0];
    return true;
}

/* The function of a REAL as a table: what its 256 integers stand for. */
static bool fill_table(struct loader *l, const struct value *value, float *table);

static void copy_to_table(struct loader *l, const struct node *n, const struct value *real, float size, uint8_t zero) {
    const struct value *source = &l->value[real->source];
    float values[256];
    struct value *value = add_value(l, n, TENSOR);
    value->view = source->view;
    value->count = source->count;
    value->offset = (size_t)taken(l, &l->working, source->count);
    struct step *step = add_step(l, run_table);
    step->u.table.in = working(l, source->offset);
    step->u.table.out = working(l, value->offset);
    step->u.table.count = source->count;
    fill_table(l, real, values);
    for (int i = 0; i < 256; i++) step->u.table.table[i] = quantized(values[i], size, zero);
}

static bool add_sums(struct loader *l, const struct node *n, const struct value *sums, float size, uint8_t zero);
static bool add_total(struct loader *l, const struct node *n, const struct value *total, float size, uint8_t zero);

static bool quantize_linear(struct loader *l, const struct node *n) {
    float size;
    uint8_t zero;
    if (!read_quantization(l, n, &size, &zero)) return false;
    const struct value *input = find_value(l, n->inputs[0]);
    if (input && input->kind == VECTOR) {
        struct value *value = add_value(l, n, TENSOR);
        if (!add_tensor(l, value, input->count, 1, 1, 2)) return false;
        struct step *step = add_step(l, run_quantize);
        step->u.quantize.x = working(l, input->offset);
        step->u.quantize.out = working(l, value->offset);
        step->u.quantize.count = input->count;
        step->u.quantize.step = size;
        step->u.quantize.zero = zero;
    } else if (input && input->kind == REAL)
        copy_to_table(l, n, input, size, zero);
    else if (input && input->kind == SUMS)
        add_sums(l, n, input, size, zero);
    else if (input && input->kind == TOTAL)
        add_total(l, n, input, size, zero);
    else
        return fail(l, AVATAR_OPERATOR);
    return true;
}

static bool dequantize_linear(struct loader *l, const struct node *n) {
    if (n->count < 2) return fail(l, AVATAR_OPERATOR);
    const struct value *input = find_value(l, n->inputs[0]);
    if (!input) {
        add_value(l, n, WEIGHT); /* its constants are read where it is used */
        return false;
    }
    float size;
    uint8_t zero;
    if (input->kind != TENSOR) return fail(l, AVATAR_OPERATOR);
    if (!read_quantization(l, n, &size, &zero)) return false;
    struct value *value = add_value(l, n, REAL);
    value->source = value->previous = index_of(l, input);
    value->plain = true;
    value->step = size;
    value->zero = zero;
    return true;
}

/* Mul, Add, Sub, Round and so on. */

static bool read_function(struct bytes kind, enum function *function) {
    static const struct {
        const char *name;
        enum function function;
    } names[] = {{"Mul", MUL},   {"Add", ADD},         {"Sub", SUB},   {"Round", ROUND},
                 {"Relu", RELU}, {"Sigmoid", SIGMOID}, {"Tanh", TANH}, {"Clip", MAXIMUM}};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (same(kind, names[i].name)) return *function = names[i].function, true;
    return false;
}

/* Its constant operand, a scalar; which of the two inputs is the other one. */
static bool read_operand(struct loader *l, const struct node *n, float *y, unsigned *other) {
    struct constant c;
    if (n->count != 2) return fail(l, AVATAR_OPERATOR);
    *other = find_value(l, n->inputs[0]) ? 0 : 1;
    if (*other == 1 && same(n->kind, "Sub")) return fail(l, AVATAR_OPERATOR);
    if (!typed_constant(l, n->inputs[1 - *other], FLOAT32, &c)) return false;
    if (c.count != 1) return fail(l, AVATAR_OPERATOR);
    *y = float_at(&c, 0);
    return true;
}

static bool fill_table(struct loader *l, const struct value *value, float *table) {
    enum { DEPTH = 16 };
    const struct value *chain[DEPTH];
    unsigned length = 0;
    for (; !value->plain; value = &l->value[value->previous]) {
        if (length == DEPTH) return fail(l, AVATAR_OPERATOR);
        chain[length++] = value;
    }
    for (int i = 0; i < 256; i++) table[i] = (float)(i - value->zero) * value->step;
    while (length-- > 0) {
        struct node n;
        enum function function = ROUND;
        float y[2] = {0, 0};
        unsigned operands = 1, other;
        struct constant c;
        if (!read_node(l, chain[length]->node, &n) || !read_function(n.kind, &function)) return false;
        if (function == MAXIMUM) { /* Clip */
            for (unsigned i = 1; i < 3; i++) {
                if (n.count != 3 || !typed_constant(l, n.inputs[i], FLOAT32, &c)) return fail(l, AVATAR_OPERATOR);
                y[i - 1] = float_at(&c, 0);
            }
            operands = 2;
        } else if (function <= SUB && !read_operand(l, &n, y, &other))
            return false;
        for (unsigned k = 0; k < operands; k++)
            for (int i = 0; i < 256; i++) table[i] = applied(k ? MINIMUM : function, table[i], y[k]);
    }
    return true;
}

/* A VECTOR itself, or what a REAL [1, count] stands for. */
SMALL static struct value vector_of(struct loader *l, const struct value *x) {
    if (x->kind == VECTOR) return *x;
    const struct value *tensor = &l->value[x->source];
    struct value vector = {.kind = VECTOR};
    if (x->kind != REAL || !is_one(&tensor->view, 2)) return fail(l, AVATAR_OPERATOR), vector;
    add_vector(l, &vector, tensor->count);
    float *table = fixed(l, 256 * sizeof *table);
    if (table) fill_table(l, x, table);
    struct step *step = add_step(l, run_lookup);
    step->u.lookup.in = source_of(l, tensor, 2, 3, 1);
    step->u.lookup.table = table;
    step->u.lookup.out = working(l, vector.offset);
    return vector;
}

static bool elementwise(struct loader *l, const struct node *n) {
    enum function function;
    if (!read_function(n->kind, &function) || read_attributes(l, n, "", NULL, 0) < 0) return fail(l, AVATAR_OPERATOR);
    if (n->count < 1) return fail(l, AVATAR_OPERATOR);
    const struct value *x = find_value(l, n->inputs[0]), *y = n->count > 1 ? find_value(l, n->inputs[1]) : NULL;
    if (x && y && x->kind == REAL && y->kind == REAL && function == ADD) {
        struct value *value = add_value(l, n, TOTAL);
        value->source = index_of(l, x);
        value->previous = index_of(l, y);
        return false;
    }
    if (!x && function <= ADD) x = y, y = NULL;
    if (!x) return fail(l, AVATAR_OPERATOR);
    struct value one, two;
    if (y) one = vector_of(l, x), two = vector_of(l, y), x = &one, y = &two;
    if (l->error) return false;
    if (x->kind == REAL) {
        struct value *value = add_value(l, n, REAL);
        value->source = x->source;
        value->previous = index_of(l, x);
    } else if (x->kind == SUMS && function == RELU) {
        struct value *value = add_value(l, n, SUMS);
        value->node = x->node;
        value->rectified = true;
    } else if (x->kind == VECTOR && function != MAXIMUM) {
        struct constant c = {.count = 1};
        const bool unary = function > SUB;
        const struct bytes operand = x == find_value(l, n->inputs[0]) && n->count > 1 ? n->inputs[1] : n->inputs[0];
        if (n->count != (unary ? 1u : 2u)) return fail(l, AVATAR_OPERATOR);
        if (!unary && !y && !typed_constant(l, operand, FLOAT32, &c)) return false;
        const size_t count = y ? y->count : c.count;
        if (!unary && count != 1 && count != x->count) return fail(l, AVATAR_OPERATOR);
        float *numbers = unary || y ? NULL : fixed(l, (uint64_t)count * sizeof(float));
        for (size_t i = 0; numbers && i < count; i++) numbers[i] = float_at(&c, i);
        struct value *value = add_value(l, n, VECTOR);
        add_vector(l, value, x->count);
        struct step *step = add_step(l, run_vector);
        step->u.vector.function = function;
        step->u.vector.x = working(l, x->offset);
        step->u.vector.y = unary ? step->u.vector.x : y ? working(l, y->offset) : numbers;
        step->u.vector.out = working(l, value->offset);
        step->u.vector.count = x->count;
        step->u.vector.one_y = !unary && count == 1;
    } else
        return fail(l, AVATAR_OPERATOR);
    return true;
}

static bool cast(struct loader *l, const struct node *n) {
    int32_t to = 0;
    struct constant c;
    if (n->count != 1 || read_attributes(l, n, "to", &to, 1) < 0) return fail(l, AVATAR_OPERATOR);
    const struct value *input = find_value(l, n->inputs[0]);
    if (input && input->kind == REAL && to == UINT8)
        copy_to_table(l, n, input, 1, 0);
    else if (!input && to == FLOAT32 && typed_constant(l, n->inputs[0], INT8, &c))
        add_value(l, n, INTEGERS);
    else
        return fail(l, AVATAR_OPERATOR);
    return true;
}

/* Gemm and Conv */

struct weights {
    struct constant integers, steps, bias;
    bool biased;
};

/* A quantized weight and bias: int8 with one step, or one for each output channel; int32 with the product's steps. */
static bool read_weights(struct loader *l, const struct node *n, uint32_t channels, float input_step,
                         struct weights *w) {
    for (unsigned i = 1; i < n->count; i++) {
        struct node read;
        struct constant zeros, *integers = i == 1 ? &w->integers : &w->bias, bias_steps;
        struct constant *steps = i == 1 ? &w->steps : &bias_steps;
        int32_t axis = 1;
        const struct value *value = find_kind(l, n->inputs[i], WEIGHT);
        if (!value || !read_node(l, value->node, &read) || read_attributes(l, &read, "axis", &axis, 1) < 0)
            return false;
        if (!typed_constant(l, read.inputs[0], i == 1 ? INT8 : INT32, integers)) return false;
        if (!typed_constant(l, read.inputs[1], FLOAT32, steps)) return false;
        if (steps->count != 1 && steps->count != channels) return fail(l, AVATAR_OPERATOR);
        if (steps->count > 1 && axis != (i == 1 && same(n->kind, "Gemm")))
            return fail(l, AVATAR_OPERATOR);
        if (read.count > 2) {
            if (!typed_constant(l, read.inputs[2], integers->type, &zeros)) return false;
            for (const uint8_t *p = zeros.raw.at; p < zeros.raw.end; p++)
                if (*p) return fail(l, AVATAR_OPERATOR);
        }
        for (uint32_t c = 0; c < steps->count; c++)
            if (!is_step(float_at(steps, c))) return fail(l, AVATAR_OPERATOR);
        if (i == 1) continue;
        if (w->bias.count != channels) return fail(l, AVATAR_OPERATOR);
        for (uint32_t c = 0; c < channels; c++) { /* what onnxruntime takes for granted */
            const float is = float_at(steps, steps->count == 1 ? 0 : c);
            const float must = float_at(&w->steps, w->steps.count == 1 ? 0 : c) * input_step;
            if (!(is >= must * 0.99999f && is <= must * 1.00001f)) return fail(l, AVATAR_OPERATOR);
        }
    }
    w->biased = n->count == 3;
    return true;
}

/* The int16 copy of a REAL's TENSOR within a border, made when a Conv first needs it. */
static const struct padded *padded(struct loader *l, const struct value *real, uint32_t border) {
    for (unsigned i = 0; i < l->paddeds; i++) {
        const struct padded *p = &l->padded[i];
        if (p->source == real->source && p->zero == real->zero && p->border >= border) return p;
    }
    const struct value *tensor = &l->value[real->source];
    const struct view *v = &tensor->view;
    if (l->paddeds == PADDED) return fail(l, AVATAR_TOO_LARGE), NULL;
    const uint64_t channels = (extent(v, 1) + 1) / 2 * 2;
    const uint64_t height = extent(v, 2) + 2 * border;
    const uint64_t width = extent(v, 3) + 2 * border;
    const uint64_t count = channels * height * width;
    if (height * width > l->limit || count > l->limit) return fail(l, AVATAR_TOO_LARGE), NULL;
    struct padded *p = &l->padded[l->paddeds++];
    *p = (struct padded){(size_t)taken(l, &l->working, count * sizeof(int16_t)), border, real->source, real->zero};
    int16_t *numbers = l->error ? NULL : working(l, p->offset);
    NOT_UNROLLED
    for (size_t i = 0; numbers && i < count; i++) numbers[i] = real->zero;
    struct step *step = add_step(l, run_pad);
    step->u.pad.in = source_of(l, tensor, 2, 3, 1);
    step->u.pad.row = (size_t)(width * channels);
    step->u.pad.pixel = (size_t)channels;
    step->u.pad.out = numbers ? numbers + (width + 1) * border * channels : NULL;
    return p;
}

/* Lay the weights out for the kernel, [block][row][column][pair][channel of the block][2]; bias takes in what the
 * zero point adds. shape is [channels, depth, rows, columns], as in the file, but Gemm has depth first there. */
static bool lay_out(struct loader *l, const struct weights *w, const uint32_t *shape, bool gemm,
                    const struct value *real, float size, struct step *step) {
    const size_t channels = shape[0], depth = shape[1], block = l->kernel.block;
    const size_t pairs = (depth + 1) / 2, places = (size_t)shape[2] * shape[3];
    const size_t rounded = (channels + block - 1) / block * block;
    const uint64_t total = (uint64_t)rounded * pairs * 2 * places;
    int8_t *weights = fixed(l, total);
    int32_t *bias = fixed(l, (uint64_t)rounded * sizeof *bias);
    float *scale = fixed(l, (uint64_t)rounded * sizeof *scale);
    if (l->error || !weights) return !l->error;
    step->u.conv.weights = weights;
    step->u.conv.bias = bias;
    step->u.conv.scale = scale;
    const int8_t *from = (const int8_t *)w->integers.raw.at;
    if (rounded > channels || depth % 2)
        for (size_t i = 0; i < total; i++) weights[i] = 0;
    for (size_t c = 0; c < rounded; c++) {
        const size_t to = (c / block * places * pairs * block + c % block) * 2, next = pairs * block * 2;
        int64_t sum = 0, largest = 0;
        bias[c] = 0, scale[c] = 0;
        if (c >= channels) continue;
        size_t at = gemm ? c : c * depth * places;
        for (size_t k = 0; k < depth; k++) {
            size_t place = to + k / 2 * block * 2 + k % 2;
            for (size_t i = 0; i < places; i++, at += gemm ? channels : 1, place += next) {
                sum += from[at];
                largest += from[at] < 0 ? -from[at] : from[at];
                weights[place] = from[at];
            }
        }
        sum = (w->biased ? int_at(&w->bias, c) : 0) - sum * real->zero;
        if (largest * 255 + (sum < 0 ? -sum : sum) > INT32_MAX) return fail(l, AVATAR_SUMS);
        bias[c] = (int32_t)sum;
        scale[c] = real->step * float_at(&w->steps, w->steps.count == 1 ? 0 : c) / size;
    }
    return true;
}

static bool add_sums(struct loader *l, const struct node *quantize, const struct value *sums, float size,
                     uint8_t zero) {
    struct node n;
    if (!read_node(l, sums->node, &n)) return false;
    const struct value *real = find_kind(l, n.inputs[0], REAL);
    if (!real || n.count < 2 || n.count > 3 || !real->plain) return fail(l, AVATAR_OPERATOR);
    if (sums->rectified && zero) return fail(l, AVATAR_OPERATOR);
    const struct view *v = &l->value[real->source].view;
    const bool gemm = same(n.kind, "Gemm");
    int32_t pads[4] = {0};
    const uint32_t depth = extent(v, 1);
    struct node read;
    struct weights w;
    const struct value *weight = find_kind(l, n.inputs[1], WEIGHT);
    if (!weight || !read_node(l, weight->node, &read)) return false;
    if (!typed_constant(l, read.inputs[0], INT8, &w.integers)) return false;
    const uint32_t *dims = w.integers.dims; /* Gemm: [depth, channels]; Conv: [channels, depth, rows, columns] */
    if (!is_one(v, gemm ? 2 : 4) || w.integers.rank != v->rank || dims[gemm ? 0 : 1] != depth)
        return fail(l, AVATAR_OPERATOR);
    const uint32_t shape[4] = {dims[gemm], depth, gemm ? 1 : dims[2], gemm ? 1 : dims[3]};
    const int numbers = read_attributes(l, &n, "pads", pads, gemm ? 0 : 4);
    if (numbers % 4 || shape[2] > KERNEL_MAX || shape[3] > KERNEL_MAX) return fail(l, AVATAR_OPERATOR);
    if (!read_weights(l, &n, shape[0], real->step, &w)) return false;
    uint32_t border = shape[2] > shape[3] ? shape[2] / 2 : shape[3] / 2;
    for (unsigned i = 0; i < 4; i++) {
        if (pads[i] < 0 || pads[i] > KERNEL_MAX) return fail(l, AVATAR_OPERATOR);
        if ((uint32_t)pads[i] > border) border = (uint32_t)pads[i];
    }
    const uint32_t top = (uint32_t)pads[0], left = (uint32_t)pads[1];
    const uint64_t height = (uint64_t)extent(v, 2) + top + (uint32_t)pads[2] + 1;
    const uint64_t width = (uint64_t)extent(v, 3) + left + (uint32_t)pads[3] + 1;
    if (height <= shape[2] || width <= shape[3]) return fail(l, AVATAR_OPERATOR);
    const uint16_t real_at = index_of(l, real);
    const struct padded *p = padded(l, real, border);
    if (!p) return false;
    struct value *value = add_value(l, quantize, TENSOR);
    if (!add_tensor(l, value, shape[0], height - shape[2], width - shape[3], v->rank)) return false;
    add_work(l, (height - shape[2]) * (width - shape[3]), (uint64_t)w.integers.count);
    struct step *step = add_step(l, run_conv);
    const size_t pixel = (depth + 1) / 2 * 2;
    step->u.conv.kernel = l->kernel;
    step->u.conv.pixel = pixel;
    step->u.conv.row = ((size_t)extent(v, 3) + 2 * p->border) * pixel;
    step->u.conv.rows = shape[2];
    step->u.conv.pairs = pixel / 2 * shape[3];
    step->u.conv.height = (size_t)(height - shape[2]);
    step->u.conv.width = (size_t)(width - shape[3]);
    step->u.conv.channels = shape[0];
    step->u.conv.zero = zero;
    step->u.conv.out = working(l, value->offset);
    const int16_t *in = working(l, p->offset);
    step->u.conv.in = in ? in + (p->border - top) * step->u.conv.row + (p->border - left) * pixel : NULL;
    lay_out(l, &w, shape, gemm, &l->value[real_at], size, step);
    return true;
}

/* Gemm of a VECTOR of integers with int8 weights, in float32. */
static bool float_product(struct loader *l, const struct node *n, const struct value *real) {
    struct node read;
    struct constant integers, bias = {0};
    const struct value *weight = find_kind(l, n->inputs[1], INTEGERS);
    if (!weight || !read_node(l, weight->node, &read) || read_attributes(l, n, "", NULL, 0) < 0) return false;
    if (!typed_constant(l, read.inputs[0], INT8, &integers)) return false;
    const struct value x = vector_of(l, real);
    const uint32_t depth = integers.dims[0], count = integers.dims[1];
    if (integers.rank != 2 || depth != x.count) return fail(l, AVATAR_OPERATOR);
    if (n->count == 3 && !typed_constant(l, n->inputs[2], FLOAT32, &bias)) return false;
    if (n->count == 3 && bias.count != count) return fail(l, AVATAR_OPERATOR);
    const uint64_t blocks = ((uint64_t)count + PRODUCT_BLOCK - 1) / PRODUCT_BLOCK;
    int8_t *weights = fixed(l, blocks * PRODUCT_BLOCK * depth);
    float *numbers = fixed(l, (uint64_t)count * sizeof(float));
    struct value *value = add_value(l, n, VECTOR);
    add_vector(l, value, count);
    add_work(l, depth, count);
    struct step *step = add_step(l, run_product);
    step->u.product.x = working(l, x.offset);
    step->u.product.bias = numbers;
    step->u.product.weights = weights;
    step->u.product.out = working(l, value->offset);
    step->u.product.depth = depth;
    step->u.product.count = count;
    if (l->error || !weights) return false;
    for (size_t i = 0; i < count; i++) numbers[i] = n->count == 3 ? float_at(&bias, i) : 0;
    for (size_t b = 0; b < blocks; b++)
        for (size_t k = 0; k < depth; k++)
            for (size_t c = b * PRODUCT_BLOCK; c < (b + 1) * PRODUCT_BLOCK; c++)
                *weights++ = c < count ? (int8_t)integers.raw.at[k * count + c] : 0;
    return true;
}

static bool gemm_or_conv(struct loader *l, const struct node *n) {
    if (n->count < 2 || n->count > 3) return fail(l, AVATAR_OPERATOR);
    const struct value *x = find_value(l, n->inputs[0]), *weight = find_value(l, n->inputs[1]);
    if (x && same(n->kind, "Gemm") && (x->kind == VECTOR || (weight && weight->kind == INTEGERS)))
        float_product(l, n, x);
    else if (x && x->kind == REAL)
        add_value(l, n, SUMS);
    else
        return fail(l, weight ? AVATAR_OPERATOR : AVATAR_PRECISION);
    return true;
}

/* Add of two quantized tensors */

static bool add_total(struct loader *l, const struct node *n, const struct value *total, float size, uint8_t zero) {
    const struct value *a = &l->value[total->source], *b = &l->value[total->previous];
    const struct value *one = &l->value[a->source], *two = &l->value[b->source];
    if (one->view.rank != two->view.rank) return fail(l, AVATAR_OPERATOR);
    for (unsigned d = 0; d < one->view.rank; d++)
        if (extent(&one->view, d) != extent(&two->view, d)) return fail(l, AVATAR_OPERATOR);
    if (!is_one(&one->view, 2) && !is_one(&one->view, 4)) return fail(l, AVATAR_OPERATOR);
    struct source from_a = source_of(l, one, 2, 3, 1), from_b = source_of(l, two, 2, 3, 1);
    float *table = fixed(l, 512 * sizeof *table);
    if (table && (!fill_table(l, a, table) || !fill_table(l, b, table + 256))) return false;
    struct value *value = add_value(l, n, TENSOR);
    if (!add_tensor(l, value, from_a.channels, from_a.height, from_a.width, one->view.rank)) return false;
    struct step *step = add_step(l, run_add);
    step->u.add.a = from_a;
    step->u.add.b = from_b;
    step->u.add.table_a = table;
    step->u.add.table_b = table ? table + 256 : NULL;
    step->u.add.out = working(l, value->offset);
    step->u.add.step = size;
    step->u.add.zero = zero;
    return true;
}

/* What moves numbers */

static bool transpose(struct loader *l, const struct node *n) {
    int32_t perm[DIMENSIONS];
    const struct value *input = find_kind(l, n->inputs[0], TENSOR);
    if (n->count != 1 || !input || read_attributes(l, n, "perm", perm, DIMENSIONS) != input->view.rank)
        return fail(l, AVATAR_OPERATOR);
    struct value *value = add_value(l, n, TENSOR);
    const struct view *from = &input->view;
    unsigned seen = 0, to = 0;
    value->offset = input->offset;
    value->count = input->count;
    value->view = (struct view){.rank = from->rank};
    for (unsigned d = 0; d < from->rank; d++) {
        const int32_t old = perm[d];
        if (old < 0 || old >= from->rank || seen >> old & 1) return fail(l, AVATAR_OPERATOR);
        seen |= 1u << old;
        value->view.count[d] = from->count[old];
        const struct factor *factors = from->factors + first_factor(from, (unsigned)old);
        for (unsigned i = 0; i < from->count[old]; i++) value->view.factors[to++] = factors[i];
    }
    return true;
}

static bool reshape(struct loader *l, const struct node *n) {
    struct constant c;
    uint64_t shape[DIMENSIONS], known = 1;
    int open = -1;
    if (n->count != 2 || read_attributes(l, n, "", NULL, 0) < 0) return fail(l, AVATAR_OPERATOR);
    const struct value *input = find_kind(l, n->inputs[0], TENSOR);
    if (!input || !typed_constant(l, n->inputs[1], INT64, &c)) return false;
    if (c.count > DIMENSIONS) return fail(l, AVATAR_OPERATOR);
    for (unsigned d = 0; d < c.count; d++) {
        shape[d] = 0;
        for (unsigned i = 8; i-- > 0;) shape[d] = shape[d] << 8 | c.raw.at[8 * d + i];
        if (shape[d] == UINT64_MAX && open < 0) {
            open = (int)d;
            continue;
        }
        if (shape[d] == 0 || shape[d] > input->count) return fail(l, AVATAR_OPERATOR);
        known *= shape[d];
        if (known > input->count) return fail(l, AVATAR_OPERATOR);
    }
    if (open >= 0) shape[open] = input->count / known, known *= shape[open];
    if (known != input->count) return fail(l, AVATAR_OPERATOR);
    struct value *value = add_value(l, n, TENSOR);
    struct view from = input->view, *to = &value->view;
    unsigned next = 0, used = 0;
    const unsigned end = first_factor(&from, from.rank);
    value->offset = input->offset;
    value->count = input->count;
    *to = (struct view){.rank = (uint8_t)c.count};
    for (unsigned d = 0; d < c.count; d++)
        for (uint64_t need = shape[d]; need > 1;) {
            if (next == end || used == FACTORS) return fail(l, AVATAR_OPERATOR);
            struct factor *f = &from.factors[next], *made = &to->factors[used++];
            to->count[d]++;
            if (need % f->extent == 0) {
                *made = *f;
                need /= f->extent;
                next++;
            } else if (f->extent % need == 0) { /* its outer part */
                f->extent /= (uint32_t)need;
                *made = (struct factor){(uint32_t)need, f->stride * f->extent};
                need = 1;
            } else
                return fail(l, AVATAR_OPERATOR);
        }
    return true;
}

/* Of channels. Buffers of one layout in equal distances, such as a convolution's phases, become one view. */
static bool concat(struct loader *l, const struct node *n) {
    int32_t axis = 0;
    const struct value *inputs[INPUTS] = {NULL};
    if (read_attributes(l, n, "axis", &axis, 1) < 0 || axis != 1) return fail(l, AVATAR_OPERATOR);
    uint64_t channels = 0;
    size_t distance = 0;
    bool alike = true;
    for (unsigned i = 0; i < n->count; i++) {
        inputs[i] = find_kind(l, n->inputs[i], TENSOR);
        if (!inputs[i]) return false;
        const struct view *v = &inputs[i]->view, *first = &inputs[0]->view;
        if (!is_one(v, first->rank) || (v->rank != 2 && v->rank != 4)) return fail(l, AVATAR_OPERATOR);
        if (extent(v, 2) != extent(first, 2) || extent(v, 3) != extent(first, 3)) return fail(l, AVATAR_OPERATOR);
        channels += extent(v, 1);
        alike = alike && equal((struct bytes){(const uint8_t *)v, (const uint8_t *)(v + 1)},
                               (struct bytes){(const uint8_t *)first, (const uint8_t *)(first + 1)});
        if (i == 1 && inputs[1]->offset > inputs[0]->offset) distance = inputs[1]->offset - inputs[0]->offset;
        alike = alike && inputs[i]->offset == inputs[0]->offset + i * distance;
    }
    struct value *value = add_value(l, n, TENSOR);
    const struct view *first = &inputs[0]->view;
    unsigned factor = first_factor(first, 4);
    if (alike && distance && factor < FACTORS) {
        value->offset = inputs[0]->offset;
        value->count = inputs[0]->count * n->count;
        value->view = *first;
        value->view.count[1]++;
        for (; factor > 0; factor--) value->view.factors[factor] = first->factors[factor - 1];
        value->view.factors[0] = (struct factor){n->count, (uint32_t)distance};
        return true;
    }
    const uint32_t height = extent(first, 2), width = extent(first, 3);
    if (!add_tensor(l, value, channels, height, width, first->rank)) return false;
    size_t place = 0;
    for (unsigned i = 0; i < n->count; i++) {
        struct step *step = add_step(l, run_copy);
        uint8_t *out = working(l, value->offset);
        step->u.copy.in = source_of(l, inputs[i], 2, 3, 1);
        step->u.copy.out = out ? out + place : NULL;
        step->u.copy.row = (size_t)(width * channels);
        step->u.copy.pixel = (size_t)channels;
        place += step->u.copy.in.channels;
    }
    return true;
}

static bool add_node(struct loader *l, struct bytes whole) {
    static const struct {
        const char *kind;
        bool (*add)(struct loader *, const struct node *);
    } operators[] = {
        {"DequantizeLinear", dequantize_linear},
        {"QuantizeLinear", quantize_linear},
        {"Conv", gemm_or_conv},
        {"Gemm", gemm_or_conv},
        {"Reshape", reshape},
        {"Transpose", transpose},
        {"Concat", concat},
        {"Cast", cast},
    };
    struct node n;
    if (!read_node(l, whole, &n)) return false;
    for (size_t i = 0; i < sizeof operators / sizeof *operators; i++)
        if (same(n.kind, operators[i].kind)) {
            if (n.count == 0) return fail(l, AVATAR_OPERATOR);
            operators[i].add(l, &n);
            return false;
        }
    enum function function;
    if (read_function(n.kind, &function))
        elementwise(l, &n);
    else
        return fail(l, same(n.kind, "ConvTranspose") ? AVATAR_PRECISION : AVATAR_OPERATOR);
    return true;
}

/* Loading. ModelProto fields 7 graph, 14 metadata_props; GraphProto 1 node, 5 initializer, 11 input, 12 output;
 * ValueInfoProto 1 name. */

static bool read_file(struct loader *l) {
    bool damaged = false, found = false;
    struct bytes in = l->file;
    const uint8_t *file = l->file.at;
    if (length_of(in) >= 8 && file[4] == 'O' && file[5] == 'R' && file[6] == 'T' && file[7] == 'M')
        return fail(l, AVATAR_ORT_FORMAT);
    for (struct field f; next_field(&in, &f, &damaged);) {
        if (f.number == 7 && f.wire == 2) {
            if (l->graph.at != l->graph.end) return fail(l, AVATAR_DAMAGED);
            l->graph = f.content;
        }
        if (f.number != 14 || f.wire != 2) continue;
        struct bytes property = f.content, key = {file, file}, value = {file, file};
        for (struct field g; next_field(&property, &g, &damaged);) {
            if (g.number == 1 && g.wire == 2) key = g.content;
            if (g.number == 2 && g.wire == 2) value = g.content;
        }
        if (same(key, "avatar-edge")) l->metadata = value, found = true;
    }
    if (damaged || l->graph.at == l->graph.end) fail(l, AVATAR_DAMAGED);
    if (!found) fail(l, AVATAR_FOREIGN);
    return true;
}

/* latent_dim, image_size and channels of the metadata. */
static bool read_metadata(struct loader *l, int32_t *sizes) {
    static const char *const names[] = {"latent_dim", "image_size", "channels"};
    struct bytes text;
    if (!json_value(l->metadata, "format_version", &text)) return fail(l, AVATAR_METADATA);
    const int32_t version = json_number(text);
    if (version > 1) return fail(l, AVATAR_NEWER);
    if (version < 0) return fail(l, AVATAR_METADATA);
    if (!json_value(l->metadata, "kind", &text)) return fail(l, AVATAR_METADATA);
    if (length_of(text) && !same(text, "\"generator\"")) return fail(l, AVATAR_FOREIGN);
    if (!json_value(l->metadata, "output", &text)) return fail(l, AVATAR_METADATA);
    if (same(text, "\"float32\"")) return fail(l, AVATAR_FLOAT_OUTPUT);
    if (!json_value(l->metadata, "precision", &text)) return fail(l, AVATAR_METADATA);
    if (!same(text, "\"int8\"")) return fail(l, AVATAR_PRECISION);
    for (int i = 0; i < 3; i++) {
        if (!json_value(l->metadata, names[i], &text)) return fail(l, AVATAR_METADATA);
        sizes[i] = json_number(text);
        if (sizes[i] < 1 || sizes[i] > 65536) return fail(l, AVATAR_METADATA);
    }
    return true;
}

static bool read_graph(struct loader *l, const int32_t *sizes) {
    bool damaged = false;
    unsigned inputs = 0, outputs = 0;
    const int32_t image[3] = {sizes[1], sizes[1], sizes[2]};
    struct bytes in = l->graph;
    for (struct field f; next_field(&in, &f, &damaged);) {
        if (f.wire != 2) continue;
        if (f.number == 5) {
            if (l->constants == CONSTANTS) return fail(l, AVATAR_TOO_LARGE);
            unsigned fields = 0;
            struct bytes tensor = f.content;
            for (struct field g; next_field(&tensor, &g, &damaged);)
                if (++fields > FIELDS_MAX) return fail(l, AVATAR_DAMAGED);
            l->constant[l->constants].hash = hash_of(name_of(f.content, 8, &damaged));
            l->constant[l->constants].offset = (uint32_t)(f.content.at - l->file.at);
            l->constant[l->constants++].size = (uint32_t)length_of(f.content);
        }
        if (f.number == 11 && (inputs++ || !same(name_of(f.content, 1, &damaged), "z")))
            return fail(l, AVATAR_METADATA);
        if (f.number == 12 && (outputs++ || !same(name_of(f.content, 1, &damaged), "images")))
            return fail(l, AVATAR_METADATA);
    }
    if (damaged) return fail(l, AVATAR_DAMAGED);
    if (!inputs || !outputs) return fail(l, AVATAR_METADATA);
    const struct node z = {.output = {(const uint8_t *)"z", (const uint8_t *)"z" + 1}, .whole = {in.at, in.at}};
    add_vector(l, add_value(l, &z, VECTOR), (uint64_t)sizes[0]);
    in = l->graph;
    for (struct field f; !l->error && next_field(&in, &f, &damaged);)
        if (f.number == 1 && f.wire == 2) add_node(l, f.content);
    if (l->error) return false;
    const struct bytes name = {(const uint8_t *)"images", (const uint8_t *)"images" + 6};
    const struct value *output = find_kind(l, name, TENSOR);
    if (!output || !is_one(&output->view, 4)) return fail(l, AVATAR_METADATA);
    for (unsigned d = 0; d < 3; d++)
        if (extent(&output->view, d + 1) != (uint32_t)image[d]) return fail(l, AVATAR_METADATA);
    l->output = index_of(l, output);
    return true;
}

/* Compile the file: into memory, or with memory NULL only to count. */
static void compile(struct loader *l, struct avatar_model *model) {
    int32_t sizes[3];
    l->fixed = (sizeof *model + 15) / 16 * 16;
    read_file(l);
    if (!l->error) read_metadata(l, sizes);
    if (!l->error) read_graph(l, sizes);
    if (l->error) return;
    const struct source image = source_of(l, &l->value[l->output], 1, 2, 3);
    char *metadata = fixed(l, length_of(l->metadata));
    if (l->error || !model) return;
    for (size_t i = 0; i < length_of(l->metadata); i++) metadata[i] = (char)l->metadata.at[i];
    model->latent_dim = (uint32_t)sizes[0];
    model->steps = (uint32_t)l->steps;
    model->metadata_length = (uint32_t)length_of(l->metadata);
    model->z = working(l, l->value[0].offset);
    model->step = (const struct step *)(const void *)(l->memory + l->steps_at);
    model->last.u.copy.in = image;
    model->last.u.copy.row = (size_t)image.width * image.channels;
    model->last.u.copy.pixel = image.channels;
    model->metadata = metadata;
}

enum { FILE_MAX = 1 << 26, EXTRA = 4 << 20, WORK = 1 << 14 };

static void start(struct loader *l, const void *file, size_t size) {
    l->file = (struct bytes){file, (const uint8_t *)file + size};
    l->graph = l->metadata = (struct bytes){file, file};
    l->error = AVATAR_OK;
    l->memory = NULL;
    l->fixed = l->working = l->steps = l->work = 0;
    l->steps_at = l->working_at = 0;
    l->constants = l->values = l->paddeds = 0;
    l->kernel = best_kernel();
    l->limit = 32 * (uint64_t)size + EXTRA;
    l->work_limit = WORK * (uint64_t)size + (64 << 20);
    if (size > FILE_MAX) fail(l, AVATAR_TOO_LARGE);
    if (size == 0) fail(l, AVATAR_DAMAGED);
}

/* Count; what filling needs to know is then in l. */
static enum avatar_error count_memory(struct loader *l, const void *file, size_t size, uint64_t *needed) {
    start(l, file, size);
    if (!l->error) compile(l, NULL);
    l->steps_at = l->fixed;
    l->working_at = l->fixed + l->steps * sizeof(struct step);
    *needed = l->error ? 0 : l->working_at + l->working;
    return l->error;
}

enum avatar_error avatar_measure(const void *file, size_t size, size_t *memory_size) {
    struct loader l;
    uint64_t needed;
    count_memory(&l, file, size, &needed);
    *memory_size = (size_t)needed;
    return l.error;
}

enum avatar_error avatar_load(const void *file, size_t size, void *memory, size_t memory_size,
                              struct avatar_model **model) {
    struct loader l;
    uint64_t needed;
    *model = NULL;
    if (count_memory(&l, file, size, &needed)) return l.error;
    if (needed > memory_size || !memory || (uintptr_t)memory % 8) return AVATAR_MEMORY;
    const uint64_t steps_at = l.steps_at, working_at = l.working_at;
    start(&l, file, size);
    l.memory = memory;
    l.steps_at = steps_at;
    l.working_at = working_at;
    compile(&l, memory);
    if (!l.error) *model = memory;
    return l.error;
}

const char *avatar_error_text(enum avatar_error error) {
    switch (error) {
    case AVATAR_OK: return "no error";
    case AVATAR_DAMAGED: return "the file is damaged or not an ONNX model; download or export it again";
    case AVATAR_ORT_FORMAT: return "it is an .ort file; the engine reads the .onnx of avatar-export --precision int8";
    case AVATAR_FOREIGN: return "it is not a generator of avatar-edge; make one from a checkpoint with avatar-export";
    case AVATAR_NEWER: return "it is an avatar-edge model of a newer format; upgrade the engine";
    case AVATAR_PRECISION: return "it is not an int8 model; export it with --precision int8";
    case AVATAR_FLOAT_OUTPUT: return "it gives float32 images; export it with --output-dtype uint8";
    case AVATAR_METADATA: return "its avatar-edge metadata is damaged or does not fit its graph; export it again";
    case AVATAR_OPERATOR: return "its graph has an operator or a form that the engine does not know; export it again";
    case AVATAR_SUMS: return "its weights and biases can add up to more than 32 bits; export it again";
    case AVATAR_TOO_LARGE: return "it asks for more memory or work than a file of its size can need";
    case AVATAR_MEMORY: return "there is not enough memory for the model, or it is not aligned to 8 bytes";
    }
    return "unknown error";
}

#if defined(__wasm__) && defined(__clang__)
#pragma clang attribute pop
#endif
