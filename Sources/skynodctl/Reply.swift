import Bounded
import Wire

/// One `key=value` pair with the value's quotes taken away.
struct Field {
  let key: [UInt8]
  let value: [UInt8]

  func `is`(_ name: StaticString) -> Bool { equals(key, name) }
}

/// The pairs of one reply line.
func row(_ line: [UInt8]) -> [Field] {
  var fields: [Field] = []
  var pairs = ControlPairs(line.span.bytes)
  while pairs.next() {
    var value = TextBuffer(capacity: max(1, pairs.rawValue.byteCount))
    // A value that is not well formed is shown as it came.
    let isWell = ControlText.read(pairs.rawValue, into: &value)
    fields.append(Field(key: copy(pairs.key), value: isWell ? copy(value.bytes) : copy(pairs.rawValue)))
  }
  return fields
}

/// The fields of a reply that has one a line. A bare value is the rest of its line.
func fields(_ lines: [[UInt8]]) -> [Field] {
  var all: [Field] = []
  for line in lines { all += row(line) }
  return all
}

func value(_ fields: [Field], _ name: StaticString) -> [UInt8] {
  for field in fields where field.is(name) { return field.value }
  return []
}

func number(_ fields: [Field], _ name: StaticString) -> UInt64? {
  parseDecimal(value(fields, name).span.bytes)
}

func copy(_ span: RawSpan) -> [UInt8] { (0..<span.byteCount).map { span[$0] } }

func digits(_ value: UInt64) -> [UInt8] {
  var text = TextBuffer(capacity: 20)
  text.append(value)
  return copy(text.bytes)
}
