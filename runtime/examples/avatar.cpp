// The avatar of a name in C++: the engine (runtime/native, one C file) and the standard library.
//
//     gcc -std=c11 -O2 -c ../native/avatar.c
//     g++ -std=c++17 -O2 -ffp-contract=off -I../native avatar.cpp avatar.o -o avatar
//     ./avatar anime-faces-128.onnx alice > alice.ppm
//
// The latent is Python's, bit for bit (pytest -m cpp). The name must be UTF-8 and in Unicode's NFC, as all ASCII is:
// C++ has no normaliser, and a name in another form gets another face. -ffp-contract=off forbids the fused
// multiply-add, which rounds once where Python rounds twice: it changes 2 of the 2^32 numbers a latent is made of.

#include "avatar.h"

#include <algorithm>
#include <array>
#include <cfloat>
#include <cmath>
#include <cstdint>
#include <fstream>
#include <iostream>
#include <iterator>
#include <stdexcept>
#include <string>
#include <vector>

#ifdef __FAST_MATH__
#error "-ffast-math changes the latents, and with them the faces"
#endif
static_assert(FLT_EVAL_METHOD == 0, "doubles must be rounded to 64 bits after every operation; on i386: -mfpmath=sse");

#define SCHEME "avatar-edge-latent-1"

// SHA-256, FIPS 180-4, section 6.2.

uint32_t rotate(uint32_t x, int n) { return x >> n | x << (32 - n); }

// The first 32 bits of the fractions of the roots of the first primes: the standard's constants.
template <size_t N>
std::array<uint32_t, N> fractions(double root(double)) {
    std::array<uint32_t, N> found;
    std::vector<int> primes;
    for (int n = 2; primes.size() < N; n++) {
        if (std::any_of(primes.begin(), primes.end(), [n](int p) { return n % p == 0; })) continue;
        const double value = root(n);
        found[primes.size()] = uint32_t((value - std::floor(value)) * 4294967296.0);
        primes.push_back(n);
    }
    return found;
}

std::array<uint32_t, 8> sha256(std::string message) {
    static const auto K = fractions<64>(std::cbrt);
    static const auto INITIAL = fractions<8>(std::sqrt);
    const uint64_t bits = message.size() * 8;
    message += '\x80';
    message.resize((message.size() + 8 + 63) / 64 * 64);
    for (int i = 0; i < 8; i++) message[message.size() - 1 - i] = char(bits >> (8 * i));
    auto state = INITIAL;
    for (size_t start = 0; start < message.size(); start += 64) {
        uint32_t w[64] = {};
        for (int i = 0; i < 64; i++) w[i / 4] = w[i / 4] << 8 | uint8_t(message[start + i]);
        for (int t = 16; t < 64; t++) {
            const uint32_t s0 = rotate(w[t - 15], 7) ^ rotate(w[t - 15], 18) ^ w[t - 15] >> 3;
            const uint32_t s1 = rotate(w[t - 2], 17) ^ rotate(w[t - 2], 19) ^ w[t - 2] >> 10;
            w[t] = w[t - 16] + s0 + w[t - 7] + s1;
        }
        auto [a, b, c, d, e, f, g, h] = state;
        for (int t = 0; t < 64; t++) {
            const uint32_t t1 = h + (rotate(e, 6) ^ rotate(e, 11) ^ rotate(e, 25)) + ((e & f) ^ (~e & g)) + K[t] + w[t];
            const uint32_t t2 = (rotate(a, 2) ^ rotate(a, 13) ^ rotate(a, 22)) + ((a & b) ^ (a & c) ^ (b & c));
            h = g, g = f, f = e, e = d + t1, d = c, c = b, b = a, a = t1 + t2;
        }
        const uint32_t round[8] = {a, b, c, d, e, f, g, h};
        for (int i = 0; i < 8; i++) state[i] += round[i];
    }
    return state;
}

// M. J. Wichura, "Algorithm AS 241", PPND16, and fdlibm's e_log.c; only +, -, *, / and sqrt, which IEEE 754 rounds
// correctly.

// Highest power first: A/B for |p - 0.5| <= 0.425, C/D for the tails.
const double A[] = {2.5090809287301226727e3, 3.3430575583588128105e4, 6.7265770927008700853e4, 4.5921953931549871457e4,
                    1.3731693765509461125e4, 1.9715909503065514427e3, 1.3314166789178437745e2, 3.3871328727963666080e0};
const double B[] = {5.2264952788528545610e3, 2.8729085735721942674e4, 3.9307895800092710610e4, 2.1213794301586595867e4,
                    5.3941960214247511077e3, 6.8718700749205790830e2, 4.2313330701600911252e1, 1.0};
const double C[] = {7.74545014278341407640e-4, 2.27238449892691845833e-2, 2.41780725177450611770e-1,
                    1.27045825245236838258e0,  3.64784832476320460504e0,  5.76949722146069140550e0,
                    4.63033784615654529590e0,  1.42343711074968357734e0};
const double D[] = {1.05075007164441684324e-9, 5.47593808499534494600e-4, 1.51986665636164571966e-2,
                    1.48103976427480074590e-1, 6.89767334985100004550e-1, 1.67638483018380384940e0,
                    2.05319162663775882187e0,  1.0};
const double LOG[] = {1.479819860511658591e-01, 1.531383769920937332e-01, 1.818357216161805012e-01,
                      2.222219843214978396e-01, 2.857142874366239149e-01, 3.999999999940941908e-01,
                      6.666666666666735130e-01};

template <size_t N>
double polynomial(const double (&coefficients)[N], double x) {
    double value = coefficients[0];
    for (size_t i = 1; i < N; i++) value = value * x + coefficients[i];
    return value;
}

double logarithm(double x) {
    int k;
    double mantissa = std::frexp(x, &k);
    if (mantissa < 0.7071067811865476) mantissa *= 2, k -= 1;
    const double f = mantissa - 1, s = f / (2 + f), s2 = s * s, half = 0.5 * f * f;
    const double inner = s * (half + s2 * polynomial(LOG, s2)) + k * 1.90821492927058770002e-10;
    return k * 6.93147180369123816490e-01 - (half - inner - f);
}

float standard_normal(uint32_t word) {
    const double p = (word + 0.5) / 4294967296.0, q = p - 0.5;
    if (std::abs(q) <= 0.425) {
        const double r = 0.180625 - q * q;
        return float(q * polynomial(A, r) / polynomial(B, r));
    }
    const double r = std::sqrt(-logarithm(q < 0 ? p : 1 - p)) - 1.6;
    return float(std::copysign(polynomial(C, r) / polynomial(D, r), q));
}

// The latent vector of a name: standard normal numbers.
std::vector<float> latent(const std::string& name, size_t latent_dim) {
    const std::string prefix = std::string(SCHEME) + '\0' + name + '\0';
    std::vector<float> z;
    for (uint32_t block = 0; z.size() < latent_dim; block++) {
        const std::string counter = {char(block >> 24), char(block >> 16), char(block >> 8), char(block)};
        for (uint32_t word : sha256(prefix + counter)) z.push_back(standard_normal(word));
    }
    z.resize(latent_dim);
    return z;
}

std::vector<char> read_file(const char* path) {
    std::ifstream file(path, std::ios::binary);
    std::vector<char> bytes{std::istreambuf_iterator<char>(file), {}};
    if (!file) throw std::runtime_error("the file cannot be read");
    return bytes;
}

void check(avatar_error error) {
    if (error) throw std::runtime_error(avatar_error_text(error));
}

// The avatar of a name as a picture file: PPM, or PGM from a grey model.
std::string draw(const char* path, const std::string& name) {
    const auto file = read_file(path);
    size_t bytes;
    check(avatar_measure(file.data(), file.size(), &bytes));
    std::vector<char> memory(bytes);
    avatar_model* model;
    check(avatar_load(file.data(), file.size(), memory.data(), memory.size(), &model));

    size_t length;
    const char* metadata = avatar_metadata(model, &length);
    if (std::string(metadata, length).find(R"("latent_scheme": ")" SCHEME R"(")") == std::string::npos)
        throw std::runtime_error("it does not turn names into faces by " SCHEME);
    const int height = avatar_height(model), width = avatar_width(model), channels = avatar_channels(model);
    std::string pixels(size_t(height) * width * channels, 0);
    avatar_draw(model, latent(name, avatar_latent_dim(model)).data(), reinterpret_cast<uint8_t*>(pixels.data()));
    const auto size = std::to_string(width) + " " + std::to_string(height);
    return (channels == 1 ? "P5\n" : "P6\n") + size + "\n255\n" + pixels;
}

int main(int count, char** words) {
    if (count != 3) {
        std::cerr << "usage: avatar MODEL.onnx NAME > NAME.ppm\n";
        return 2;
    }
    try {
        std::cout << draw(words[1], words[2]) << std::flush;
        if (!std::cout) throw std::runtime_error("the picture could not be written to standard output");
        return 0;
    } catch (const std::exception& err) {
        std::cerr << "avatar: " << err.what() << " (" << words[1] << ")\n";
        return 1;
    }
}
