/// Every limit of a model file and of what is made of it. A GGUF file is hostile input: what is beyond these is
/// refused before anything is computed with it. `docs/inference.md` has the same list.
public enum InferenceLimits {
  /// Keys of the file's header; models have 20 to 60.
  public static let keys = 512
  public static let keyBytes = 255
  /// Models have 100 to 1,000. Their table is on the small heap of board programs.
  public static let tensors = 2_048
  public static let tensorNameBytes = 127
  public static let dimensions = 4
  /// Rows, columns: also what makes their products fit 64 bits.
  public static let dimension = 1 << 24
  public static let vocabulary = 1 << 19
  public static let merges = 1 << 19
  public static let tokenBytes = 1_024
  /// Entries of any other array.
  public static let arrayEntries = 1 << 20
  public static let layers = 256
  public static let embedding = 16_384
  public static let feedForward = 65_536
  public static let heads = 256
  public static let headSize = 512
  public static let context = 32_768
  /// Tokens that go through the layers together.
  public static let batch = 32
  public static let threads = 4
  /// Bytes of a text to tokenize.
  public static let textBytes = 16_384
  public static let templateBytes = 16_384
  /// Tokens that sampling chooses from, at most.
  public static let candidates = 256
}
