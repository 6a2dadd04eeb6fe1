// Lines of: how often the name is repeated, its UTF-16 code units in hexadecimal, the digest of its latents.

import CryptoKit
import Foundation

var count = 0
var wrong = 0
while let line = readLine() {
    let words = line.split(separator: " ", omittingEmptySubsequences: false)
    let digits = Array(words[1])
    let units = stride(from: 0, to: digits.count, by: 4).map { UInt16(String(digits[$0..<($0 + 4)]), radix: 16)! }
    let repeated = Array(repeating: units, count: Int(words[0])!).flatMap { $0 }
    let z = Latents.latent(String(decoding: repeated, as: UTF16.self), 100)
    let bytes = z.flatMap { value in withUnsafeBytes(of: value.bitPattern.littleEndian) { Array($0) } }
    let digest = SHA256.hash(data: Data(bytes)).map { String(format: "%02x", $0) }.joined()
    count += 1
    if !digest.hasPrefix(words[2]) { wrong += 1 }
}
print("Swift: \(count) names, \(wrong) with other latents than Python's")
exit(wrong > 0 || count == 0 ? 1 : 0)
