// avatar-edge on iOS and macOS, ready to paste: with runtime/native/avatar.c and avatar.h, Avatar-Bridging-Header.h, and
// the int8 .onnx file in the bundle. Tested on Linux (tests/phone/swift.sh): latents and faces equal Python's. Not tested
// on a device by us.
//
//     let avatars = try Avatars(Data(contentsOf: Bundle.main.url(forResource: "anime-faces-128", withExtension: "onnx")!))
//     let pixels = avatars.pixels("alice")                      // height * width * channels bytes

import CryptoKit
import Foundation

enum Latents {
    static let scheme = "avatar-edge-latent-1"

    /// The latent vector of a name: standard normal numbers, equal bit for bit to Python's.
    static func latent(_ name: String, _ latentDim: Int) -> [Float] {
        let prefix = Data("\(scheme)\0\(name.precomposedStringWithCanonicalMapping)\0".utf8)
        var z: [Float] = []
        for block in 0..<UInt32((latentDim + 7) / 8) {
            let digest = Array(SHA256.hash(data: prefix + withUnsafeBytes(of: block.bigEndian) { Data($0) }))
            for i in 0..<8 where z.count < latentDim {
                let word = digest[(4 * i)..<(4 * i + 4)].reduce(UInt32(0)) { $0 << 8 | UInt32($1) }
                z.append(standardNormal(word))
            }
        }
        return z
    }

    // M. J. Wichura, "Algorithm AS 241", PPND16; only +, -, *, / and sqrt, which IEEE 754 rounds correctly.
    private static func standardNormal(_ word: UInt32) -> Float {
        let p = (Double(word) + 0.5) / 4294967296.0
        let q = p - 0.5
        if abs(q) <= 0.425 {
            let r = 0.180625 - q * q
            return Float(q * polynomial(a, r) / polynomial(b, r))
        }
        let r = (-log(q < 0 ? p : 1 - p)).squareRoot() - 1.6
        let z = polynomial(c, r) / polynomial(d, r)
        return Float(q < 0 ? -z : z)
    }

    private static func polynomial(_ coefficients: [Double], _ x: Double) -> Double {
        coefficients.dropFirst().reduce(coefficients[0]) { $0 * x + $1 }
    }

    private static func log(_ x: Double) -> Double { // fdlibm's e_log.c
        var k = Double(x.exponent) + 1
        var mantissa = x.significand / 2
        if mantissa < 0.7071067811865476 {
            mantissa *= 2
            k -= 1
        }
        let f = mantissa - 1
        let s = f / (2 + f)
        let s2 = s * s
        let half = 0.5 * f * f
        let inner = s * (half + s2 * polynomial(logarithm, s2)) + k * 1.90821492927058770002e-10
        return k * 6.93147180369123816490e-01 - (half - inner - f)
    }

    private static let a = [2.5090809287301226727e3, 3.3430575583588128105e4, 6.7265770927008700853e4, 4.5921953931549871457e4, 1.3731693765509461125e4, 1.9715909503065514427e3, 1.3314166789178437745e2, 3.3871328727963666080e0]
    private static let b = [5.2264952788528545610e3, 2.8729085735721942674e4, 3.9307895800092710610e4, 2.1213794301586595867e4, 5.3941960214247511077e3, 6.8718700749205790830e2, 4.2313330701600911252e1, 1.0]
    private static let c = [7.74545014278341407640e-4, 2.27238449892691845833e-2, 2.41780725177450611770e-1, 1.27045825245236838258e0, 3.64784832476320460504e0, 5.76949722146069140550e0, 4.63033784615654529590e0, 1.42343711074968357734e0]
    private static let d = [1.05075007164441684324e-9, 5.47593808499534494600e-4, 1.51986665636164571966e-2, 1.48103976427480074590e-1, 6.89767334985100004550e-1, 1.67638483018380384940e0, 2.05319162663775882187e0, 1.0]
    private static let logarithm = [1.479819860511658591e-01, 1.531383769920937332e-01, 1.818357216161805012e-01, 2.222219843214978396e-01, 2.857142874366239149e-01, 3.999999999940941908e-01, 6.666666666666735130e-01]
}

/// What is wrong with a model file, in a sentence.
struct AvatarError: Error, CustomStringConvertible {
    let description: String
}

/// Faces of one model file. One thread at a time may draw.
final class Avatars {
    private let memory: UnsafeMutableRawPointer
    private let model: OpaquePointer
    let width: Int
    let height: Int
    let channels: Int

    init(_ file: Data) throws {
        func check(_ error: avatar_error) throws {
            if error != AVATAR_OK { throw AvatarError(description: String(cString: avatar_error_text(error))) }
        }
        let bytes = [UInt8](file)
        var size = 0
        try check(avatar_measure(bytes, bytes.count, &size))
        memory = UnsafeMutableRawPointer.allocate(byteCount: size, alignment: 16)
        var made: OpaquePointer?
        do {
            try check(avatar_load(bytes, bytes.count, memory, size, &made))
        } catch {
            memory.deallocate()
            throw error
        }
        model = made!
        width = Int(avatar_width(model))
        height = Int(avatar_height(model))
        channels = Int(avatar_channels(model))
    }

    deinit { memory.deallocate() }

    /// The avatar of a name: uint8 [height, width, channels], RGB (or grey if channels is 1).
    func pixels(_ name: String) -> [UInt8] {
        var image = [UInt8](repeating: 0, count: height * width * channels)
        avatar_draw(model, Latents.latent(name, Int(avatar_latent_dim(model))), &image)
        return image
    }
}
