/// The program's version, as `--version`, the man page and the journal show it.
public enum HubVersion {
  public static let text = "0.1.0"
}
