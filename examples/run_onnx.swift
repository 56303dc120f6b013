// What a file of `ferlab export format=onnx` says of a face crop: run_onnx model.onnx face.png
// Without ferlab. Needs the package onnxruntime-swift-package-manager, for iOS and macOS. For models of expressions;
// spec.json and labels.txt must lie beside the model. CoreGraphics resizes with another filter than the training, so
// answers for crops of another size than the model's differ a little.
import CoreGraphics
import Foundation
import ImageIO
import OnnxRuntimeBindings

guard CommandLine.arguments.count == 3 else {
    print("usage: run_onnx model.onnx face.png")
    exit(1)
}
let (model, picture) = (URL(fileURLWithPath: CommandLine.arguments[1]), URL(fileURLWithPath: CommandLine.arguments[2]))
let folder = model.deletingLastPathComponent()
let json = try JSONSerialization.jsonObject(with: Data(contentsOf: folder.appendingPathComponent("spec.json")))
let spec = (json as! [String: Any])["spec"] as! [String: Any]
let (size, isGray) = (spec["size"] as! Int, spec["colour"] as! String == "gray")
let face = CGImageSourceCreateImageAtIndex(CGImageSourceCreateWithURL(picture as CFURL, nil)!, 0, nil)!
let context = CGContext(
    data: nil, width: size, height: size, bitsPerComponent: 8, bytesPerRow: 4 * size,
    space: CGColorSpace(name: CGColorSpace.sRGB)!, bitmapInfo: CGImageAlphaInfo.noneSkipLast.rawValue)!
context.draw(face, in: CGRect(x: 0, y: 0, width: size, height: size))
let rgb = UnsafeRawBufferPointer(start: context.data!, count: 4 * size * size)
func plane(_ r: Double, _ g: Double, _ b: Double) -> [UInt8] {
    (0..<size * size).map { i in
        UInt8((r * Double(rgb[4 * i]) + g * Double(rgb[4 * i + 1]) + b * Double(rgb[4 * i + 2])).rounded())
    }
}
// The model normalises by itself.
let pixels = isGray ? plane(0.299, 0.587, 0.114) : plane(1, 0, 0) + plane(0, 1, 0) + plane(0, 0, 1)
let shape = [1, isGray ? 1 : 3, size, size].map { NSNumber(value: $0) }
let images = try ORTValue(tensorData: NSMutableData(data: Data(pixels)), elementType: .uInt8, shape: shape)
let environment = try ORTEnv(loggingLevel: .warning)
let session = try ORTSession(env: environment, modelPath: model.path, sessionOptions: nil)
let answers = try session.run(withInputs: ["images": images], outputNames: ["expression"], runOptions: nil)
let values = try (answers["expression"]!.tensorData() as Data).withUnsafeBytes { Array($0.bindMemory(to: Float.self)) }
let labels = try String(contentsOf: folder.appendingPathComponent("labels.txt"), encoding: .utf8).split(separator: "\n")
for (label, value) in zip(labels, values) {
    print(label, String(format: "%.4f", value))
}
