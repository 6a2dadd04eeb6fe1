#!/usr/bin/env bash
# runtime/phone/Avatar.kt with the engine: its latents against the fixture that Python and JavaScript share, and 64 faces
# against Python's. Needs kotlinc, java with jni.h and gcc (Debian: kotlin, default-jdk-headless, gcc), and Python with
# this project's packages.
set -euo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
python=${PYTHON:-python3}
model=$(PYTHONPATH=$root/runtime "$python" -c 'from avatar_runtime.generator import embedded_model; print(embedded_model())')
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
cat >"$out/Main.kt" <<'KOTLIN'
import java.io.File
import java.security.MessageDigest

fun name(units: String) = units.chunked(4).filter { it != "" }.map { it.toInt(16).toChar() }.joinToString("")

fun digest(bytes: ByteArray) = MessageDigest.getInstance("SHA-256").digest(bytes).joinToString("") { "%02x".format(it) }

fun latentBytes(name: String): ByteArray {
    val bytes = java.nio.ByteBuffer.allocate(400).order(java.nio.ByteOrder.LITTLE_ENDIAN)
    for (value in Latents.latent(name, 100)) bytes.putFloat(value)
    return bytes.array()
}

// Without an argument, lines of: how often the name is repeated, its UTF-16 code units in hexadecimal, the first digits of
// the digest of its latent. With a model file, lines of: the units, the digest of its pixels.
fun main(words: Array<String>) {
    var wrong = 0
    var count = 0
    if (words.isEmpty()) {
        generateSequence(::readLine).forEach { line ->
            val (times, units, expected) = line.split(" ", limit = 3)
            count += 1
            if (!digest(latentBytes(name(units).repeat(times.toInt()))).startsWith(expected)) wrong += 1
        }
        println("Kotlin: $count names, $wrong with other latents than Python's")
    } else {
        System.loadLibrary("avatar")
        try {
            Avatars(byteArrayOf(1, 2, 3))
            wrong += 1
        } catch (refused: IllegalArgumentException) {
            println("Kotlin: a damaged file is refused: ${refused.message}")
        }
        Avatars(File(words[0]).readBytes()).use { avatars ->
            generateSequence(::readLine).forEach { line ->
                val (units, expected) = line.split(" ")
                count += 1
                if (digest(avatars.pixels(name(units))) != expected) wrong += 1
            }
        }
        println("Kotlin: $count names, $wrong with other faces than Python's")
    }
    if (wrong > 0 || count == 0) System.exit(1)
}
KOTLIN
java_home=$(dirname "$(dirname "$(readlink -f "$(command -v java)")")")
gcc -std=c11 -O2 -Wall -Wextra -Werror -shared -fPIC -I"$java_home/include" -I"$java_home/include/linux" \
  -I"$root/runtime/native" "$root"/runtime/{native/avatar.c,phone/avatar_jni.c} -o "$out/libavatar.so"
kotlinc "$root/runtime/phone/Avatar.kt" "$out/Main.kt" -include-runtime -d "$out/avatar.jar" 2>"$out/log" || { cat "$out/log"; exit 1; }
"$python" "$root/tests/phone/names.py" | java -jar "$out/avatar.jar"
PYTHONPATH=$root/runtime "$python" "$root/tests/phone/faces.py" "$model" 64 |
  java -Djava.library.path="$out" -jar "$out/avatar.jar" "$model"
