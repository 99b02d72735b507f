import Bounded
import CSky
print("heap \(sky_heap_read().peak_bytes) \(Instant(ms: 3).ms)")
