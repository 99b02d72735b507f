import GRDB
import Bounded
print("hub \(Instant(ms: 3).ms) \(try DatabaseQueue().read { try String.fetchOne($0, sql: "select sqlite_version()") ?? "" })")
