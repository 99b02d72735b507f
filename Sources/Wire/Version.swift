/// The version of the programs in this tree, in one place.
public enum Version {
  public static let text: StaticString = "0.1.0"
}
