// What Avatar.swift uses of onnxruntime's Swift package, as its Objective-C headers declare it. Nothing here runs.

import Foundation

public enum ORTLoggingLevel { case warning }
public enum ORTTensorElementDataType { case float }

public class ORTEnv {
    public init(loggingLevel: ORTLoggingLevel) throws {}
}

public class ORTValue {
    public init(tensorData: NSMutableData, elementType: ORTTensorElementDataType, shape: [NSNumber]) throws {}
    public func tensorData() throws -> NSMutableData { fatalError() }
}

public class ORTSession {
    public init(env: ORTEnv, modelPath: String, sessionOptions: AnyObject?) throws {}
    public func run(withInputs: [String: ORTValue], outputNames: Set<String>, runOptions: AnyObject?) throws -> [String: ORTValue] {
        fatalError()
    }
}
