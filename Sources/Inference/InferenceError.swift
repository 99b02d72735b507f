/// Why a model, a text or a request was refused.
public enum InferenceError: UInt8, Error, Equatable, Sendable {
  case notGguf = 1
  case unknownVersion = 2
  case truncated = 3
  case overLimit = 4
  case badValue = 5
  case missingKey = 6
  case unknownArchitecture = 7
  case unknownTensorType = 8
  case missingTensor = 9
  case badShape = 10
  case unknownTokenizer = 11
  case badVocabulary = 12
  case textTooLong = 13
  case contextFull = 14
  case outputTooLong = 15
  case noTemplate = 16
  case badTemplate = 17
  case unsupportedFeature = 18
  case badToken = 19
  case doesNotFit = 20
  case cannotMap = 21
  case noMemory = 22
  case wrongKind = 23
  case cancelled = 24

  /// For machines; never changes.
  public var token: StaticString {
    switch self {
    case .notGguf: "not-gguf"
    case .unknownVersion: "unknown-version"
    case .truncated: "truncated"
    case .overLimit: "over-limit"
    case .badValue: "bad-value"
    case .missingKey: "missing-key"
    case .unknownArchitecture: "unknown-architecture"
    case .unknownTensorType: "unknown-tensor-type"
    case .missingTensor: "missing-tensor"
    case .badShape: "bad-shape"
    case .unknownTokenizer: "unknown-tokenizer"
    case .badVocabulary: "bad-vocabulary"
    case .textTooLong: "text-too-long"
    case .contextFull: "context-full"
    case .outputTooLong: "output-too-long"
    case .noTemplate: "no-template"
    case .badTemplate: "bad-template"
    case .unsupportedFeature: "unsupported-feature"
    case .badToken: "bad-token"
    case .doesNotFit: "does-not-fit"
    case .cannotMap: "cannot-map"
    case .noMemory: "no-memory"
    case .wrongKind: "wrong-kind"
    case .cancelled: "cancelled"
    }
  }

  /// For people: what it was, and what to do.
  public var sentence: StaticString {
    switch self {
    case .notGguf: "this is not a GGUF file; fetch or convert the model anew"
    case .unknownVersion: "the GGUF version is not 2 or 3; convert the model with a current tool"
    case .truncated: "the file is shorter than its header says; fetch it anew and compare its checksum"
    case .overLimit: "a count or a size in the file is beyond what this program accepts (docs/inference.md, Limits)"
    case .badValue: "a key of the file has a type or a value that makes no sense; convert the model anew"
    case .missingKey: "a key that this kind of model needs is missing; convert the model anew"
    case .unknownArchitecture: "the model's architecture is none of llama, gemma3, bert"
    case .unknownTensorType:
      "a tensor's type is none of F32, F16, Q8_0, Q4_0, Q4_1, Q5_0, Q4_K, Q6_K; take another quantisation"
    case .missingTensor: "a tensor that this kind of model needs is missing; fetch or convert the model anew"
    case .badShape: "a tensor's shape or type does not match the model's keys; fetch or convert the model anew"
    case .unknownTokenizer: "the model's tokenizer is not supported (docs/inference.md, Tokenizers)"
    case .badVocabulary: "the model's list of tokens or merges is damaged; fetch the model anew"
    case .textTooLong: "the text is too long; shorten it (docs/inference.md, Limits)"
    case .contextFull: "prompt and answer do not fit the context; shorten the prompt or raise --context"
    case .outputTooLong: "the result does not fit its buffer; ask for less"
    case .noTemplate: "the model has no chat template: it is no instruct model; use --raw"
    case .badTemplate: "the model's chat template uses what this program does not know; use --raw"
    case .unsupportedFeature: "the model uses a feature that is not supported (docs/inference.md, Architectures)"
    case .badToken: "a token number is beyond the vocabulary"
    case .doesNotFit: "the model does not fit this machine's memory; take a smaller model or context"
    case .cannotMap: "the model file cannot be opened and mapped; check its path and permissions"
    case .noMemory: "the system refused the memory for cache and activations; take a smaller context"
    case .wrongKind: "this kind of model cannot do that: llama and gemma3 generate, bert embeds"
    case .cancelled: "stopped before the end, as asked"
    }
  }
}
