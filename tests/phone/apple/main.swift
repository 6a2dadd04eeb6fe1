// Without an argument, lines of: how often the name is repeated, its UTF-16 code units in hexadecimal, the first digits of
// the digest of its latents. With a model file, lines of: the units, the digest of its pixels.

import CryptoKit
import Foundation

func name(_ hexadecimal: Substring, times: Int = 1) -> String {
    let digits = Array(hexadecimal)
    let units = stride(from: 0, to: digits.count, by: 4).map { UInt16(String(digits[$0..<($0 + 4)]), radix: 16)! }
    return String(decoding: Array(repeating: units, count: times).flatMap { $0 }, as: UTF16.self)
}

func digest(_ bytes: [UInt8]) -> String {
    SHA256.hash(data: Data(bytes)).map { String(format: "%02x", $0) }.joined()
}

var count = 0
var wrong = 0
if CommandLine.arguments.count == 1 {
    while let line = readLine() {
        let words = line.split(separator: " ", omittingEmptySubsequences: false)
        let z = Latents.latent(name(words[1], times: Int(words[0])!), 100)
        let bytes = z.flatMap { value in withUnsafeBytes(of: value.bitPattern.littleEndian) { Array($0) } }
        count += 1
        if !digest(bytes).hasPrefix(words[2]) { wrong += 1 }
    }
    print("Swift: \(count) names, \(wrong) with other latents than Python's")
} else {
    do {
        _ = try Avatars(Data([1, 2, 3]))
        wrong += 1
    } catch {
        print("Swift: a damaged file is refused: \(error)")
    }
    let avatars = try Avatars(Data(contentsOf: URL(fileURLWithPath: CommandLine.arguments[1])))
    while let line = readLine() {
        let words = line.split(separator: " ")
        count += 1
        if digest(avatars.pixels(name(words[0]))) != words[1] { wrong += 1 }
    }
    print("Swift: \(count) names, \(wrong) with other faces than Python's")
}
exit(wrong > 0 || count == 0 ? 1 : 0)
