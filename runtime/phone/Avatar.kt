// avatar-edge on Android, ready to paste: with runtime/native/avatar.c and avatar.h and avatar_jni.c, which the NDK makes
// the library avatar of, and the int8 .onnx file among the assets. Tested on a desktop's Java, with a C compiler's library
// (tests/phone/kotlin.sh): latents and faces equal Python's. Not tested on a device by us.
//
//     System.loadLibrary("avatar")                                                // once
//     val avatars = Avatars(assets.open("anime-faces-128.onnx").readBytes())
//     imageView.setImageBitmap(avatars.bitmap("alice"))                           // see the end of this file

import java.io.Closeable
import java.security.MessageDigest
import java.text.Normalizer

object Latents {
    const val SCHEME = "avatar-edge-latent-1"

    /** The latent vector of a name: standard normal numbers, equal bit for bit to Python's. */
    fun latent(name: String, latentDim: Int): FloatArray {
        val prefix = "$SCHEME\u0000${Normalizer.normalize(wellFormed(name), Normalizer.Form.NFC)}\u0000".toByteArray()
        val sha256 = MessageDigest.getInstance("SHA-256")
        val z = FloatArray(latentDim)
        for (start in 0 until latentDim step 8) {
            sha256.update(prefix)
            val block = start / 8
            val digest = sha256.digest(byteArrayOf((block shr 24).toByte(), (block shr 16).toByte(), (block shr 8).toByte(), block.toByte()))
            for (i in start until minOf(start + 8, latentDim)) {
                var word = 0L
                for (j in 0..3) word = word * 256 + (digest[(i - start) * 4 + j].toInt() and 255)
                z[i] = standardNormal(word)
            }
        }
        return z
    }

    /** Lone surrogates become U+FFFD. */
    private fun wellFormed(name: String): String {
        val text = StringBuilder(name)
        var i = 0
        while (i < text.length) {
            val pair = text[i].isHighSurrogate() && i + 1 < text.length && text[i + 1].isLowSurrogate()
            if (!pair && text[i].isSurrogate()) text.setCharAt(i, '\uFFFD')
            i += if (pair) 2 else 1
        }
        return text.toString()
    }

    // M. J. Wichura, "Algorithm AS 241", PPND16; only +, -, *, / and sqrt, which IEEE 754 rounds correctly.
    private fun standardNormal(word: Long): Float {
        val p = (word + 0.5) / 4294967296.0
        val q = p - 0.5
        if (Math.abs(q) <= 0.425) {
            val r = 0.180625 - q * q
            return (q * polynomial(A, r) / polynomial(B, r)).toFloat()
        }
        val r = Math.sqrt(-log(if (q < 0) p else 1 - p)) - 1.6
        val z = polynomial(C, r) / polynomial(D, r)
        return (if (q < 0) -z else z).toFloat()
    }

    private fun polynomial(coefficients: DoubleArray, x: Double): Double {
        var value = coefficients[0]
        for (i in 1 until coefficients.size) value = value * x + coefficients[i]
        return value
    }

    private fun log(x: Double): Double { // fdlibm's e_log.c
        val bits = java.lang.Double.doubleToRawLongBits(x)
        var k = ((bits shr 52) and 0x7ff).toInt() - 1022
        var mantissa = java.lang.Double.longBitsToDouble((bits and 0xfffffffffffffL) or (1022L shl 52))
        if (mantissa < 0.7071067811865476) {
            mantissa *= 2
            k -= 1
        }
        val f = mantissa - 1
        val s = f / (2 + f)
        val s2 = s * s
        val half = 0.5 * f * f
        return k * 6.93147180369123816490e-01 - (half - (s * (half + s2 * polynomial(LOG, s2)) + k * 1.90821492927058770002e-10) - f)
    }

    private val A = doubleArrayOf(2.5090809287301226727e3, 3.3430575583588128105e4, 6.7265770927008700853e4, 4.5921953931549871457e4, 1.3731693765509461125e4, 1.9715909503065514427e3, 1.3314166789178437745e2, 3.3871328727963666080e0)
    private val B = doubleArrayOf(5.2264952788528545610e3, 2.8729085735721942674e4, 3.9307895800092710610e4, 2.1213794301586595867e4, 5.3941960214247511077e3, 6.8718700749205790830e2, 4.2313330701600911252e1, 1.0)
    private val C = doubleArrayOf(7.74545014278341407640e-4, 2.27238449892691845833e-2, 2.41780725177450611770e-1, 1.27045825245236838258e0, 3.64784832476320460504e0, 5.76949722146069140550e0, 4.63033784615654529590e0, 1.42343711074968357734e0)
    private val D = doubleArrayOf(1.05075007164441684324e-9, 5.47593808499534494600e-4, 1.51986665636164571966e-2, 1.48103976427480074590e-1, 6.89767334985100004550e-1, 1.67638483018380384940e0, 2.05319162663775882187e0, 1.0)
    private val LOG = doubleArrayOf(1.479819860511658591e-01, 1.531383769920937332e-01, 1.818357216161805012e-01, 2.222219843214978396e-01, 2.857142874366239149e-01, 3.999999999940941908e-01, 6.666666666666735130e-01)
}

/** Faces of one model file. One thread at a time may draw; close gives its memory back. */
class Avatars(file: ByteArray) : Closeable {
    private val model = Engine.open(file)
    val width = Engine.width(model)
    val height = Engine.height(model)
    val channels = Engine.channels(model)

    /** The avatar of a name: bytes [height, width, channels], RGB (or grey if channels is 1). */
    fun pixels(name: String): ByteArray {
        val image = ByteArray(height * width * channels)
        Engine.draw(model, Latents.latent(name, Engine.latentDim(model)), image)
        return image
    }

    override fun close() = Engine.close(model)
}

/** avatar_jni.c. open throws IllegalArgumentException with what is wrong with the file. */
internal object Engine {
    external fun open(file: ByteArray): Long
    external fun latentDim(model: Long): Int
    external fun width(model: Long): Int
    external fun height(model: Long): Int
    external fun channels(model: Long): Int
    external fun draw(model: Long, z: FloatArray, image: ByteArray)
    external fun close(model: Long)
}

/* On Android:

import android.graphics.Bitmap

fun Avatars.bitmap(name: String): Bitmap {
    val bytes = pixels(name)
    val argb = IntArray(width * height) {
        val (red, green, blue) = List(3) { c -> bytes[it * channels + if (channels == 1) 0 else c].toInt() and 255 }
        (255 shl 24) or (red shl 16) or (green shl 8) or blue
    }
    return Bitmap.createBitmap(argb, width, height, Bitmap.Config.ARGB_8888)
}

CMakeLists.txt:

add_library(avatar SHARED avatar.c avatar_jni.c)
target_compile_options(avatar PRIVATE -O2)
*/
