#!/usr/bin/env bash
# The latents of runtime/phone/Avatar.kt against the fixture that Python and JavaScript share. Needs kotlinc and java
# (Debian: kotlin).
set -euo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
cat >"$out/Main.kt" <<'KOTLIN'
import java.security.MessageDigest

// Lines of: how often the name is repeated, its UTF-16 code units in hexadecimal, the first digits of the digest.
fun main() {
    var wrong = 0
    var count = 0
    generateSequence(::readLine).forEach { line ->
        val (times, units, expected) = line.split(" ", limit = 3)
        val name = units.chunked(4).filter { it != "" }.map { it.toInt(16).toChar() }.joinToString("").repeat(times.toInt())
        val bytes = java.nio.ByteBuffer.allocate(400).order(java.nio.ByteOrder.LITTLE_ENDIAN)
        for (value in Latents.latent(name, 100)) bytes.putFloat(value)
        val digest = MessageDigest.getInstance("SHA-256").digest(bytes.array()).joinToString("") { "%02x".format(it) }
        count += 1
        if (!digest.startsWith(expected)) wrong += 1
    }
    println("Kotlin: $count names, $wrong with other latents than Python's")
    if (wrong > 0) System.exit(1)
}
KOTLIN
kotlinc "$root/runtime/phone/Avatar.kt" "$out/Main.kt" -include-runtime -d "$out/latents.jar" 2>"$out/log" || { cat "$out/log"; exit 1; }
python3 "$root/tests/phone/names.py" | java -jar "$out/latents.jar"
