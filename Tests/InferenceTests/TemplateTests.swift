import Testing

@testable import Inference

@Suite struct TemplateTests {
  /// What a template makes of a system text (if any) and a question.
  private func render(_ template: String, system: String? = nil, _ user: String) throws -> (
    text: String, marks: [UInt8]
  ) {
    var builder = GgufBuilder()
    _ = TinyModel.tokenizer(&builder, template: template)
    let mapped = Mapped(builder.bytes)
    let file = try GgufFile(mapped.bytes)
    let memory = Memory(2 << 20)
    var arena = memory.arena
    let tokenizer = try Tokenizer(file, &arena)
    let chat = try ChatTemplate(file, tokenizer, &arena)
    let systemMapped = Mapped(Array((system ?? "").utf8))
    let userMapped = Mapped(Array(user.utf8))
    let question = ChatTemplate.Message(.user, userMapped.bytes)
    let first = system == nil ? question : ChatTemplate.Message(.system, systemMapped.bytes)
    let made = try chat.render((first, system == nil ? nil : question, nil, nil))
    return (String(decoding: made.buffer, as: UTF8.self), (0..<made.count).map { made.marks[$0] })
  }

  private func error(_ template: String) -> InferenceError? {
    do {
      _ = try render(template, "x")
      return nil
    } catch { return error as? InferenceError }
  }

  @Test func chatMarkupIsMadeAsJinjaWould() throws {
    #expect(
      try render(TinyModel.template, "Hi").text
        == "<|im_start|>system\nBe brief<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n")
    #expect(
      try render(TinyModel.template, system: "S", "Hi").text
        == "<|im_start|>system\nS<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n")
  }

  /// The shape of Gemma's own template.
  @Test func slicesConditionsAndFiltersWork() throws {
    let template = """
      {{ bos_token }}
      {%- if messages[0]['role'] == 'system' -%}
          {%- set first_user_prefix = messages[0]['content'] + '\\n\\n' -%}
          {%- set loop_messages = messages[1:] -%}
      {%- else -%}
          {%- set first_user_prefix = "" -%}
          {%- set loop_messages = messages -%}
      {%- endif -%}
      {%- for message in loop_messages -%}
          {%- if (message['role'] == 'user') != (loop.index0 % 2 == 0) -%}
              {{ raise_exception("Conversation roles must alternate") }}
          {%- endif -%}
          {%- if (message['role'] == 'assistant') -%}
              {%- set role = "model" -%}
          {%- else -%}
              {%- set role = message['role'] -%}
          {%- endif -%}
          {{ '<start_of_turn>' + role + '\n' + (first_user_prefix if loop.first else "") }}
          {%- if message['content'] is string -%}
              {{ message['content'] | trim }}
          {%- endif -%}
          {{ '<end_of_turn>\n' }}
      {%- endfor -%}
      {%- if add_generation_prompt -%}
          {{'<start_of_turn>model\n'}}
      {%- endif -%}
      """
    let want = "<s><start_of_turn>user\nS\n\nHi<end_of_turn>\n<start_of_turn>model\n"
    #expect(try render(template, system: "S", "  Hi ").text == want)
  }

  @Test func bytesOfMessagesAreMarkedWhateverTheTemplateDoesWithThem() throws {
    let made = try render("{% set x = '[' + messages[0]['content'] | trim + ']' %}<{{ x ~ '!' }}>", " ab ")
    #expect(made.text == "<[ab]!>")
    #expect(made.marks == [0, 0, 1, 1, 0, 0, 0])
  }

  @Test func blanksAreCutAsTheLibrariesSetIt() throws {
    #expect(try render("a\n  {% if true %}\nb\n  {% endif %}\nc", "x").text == "a\nb\nc")
    #expect(try render("a {{- 'b' -}} c{# not this #}d", "x").text == "abcd")
    #expect(try render("{% if false %}a{% elif none %}b{% else %}c{% endif %}", "x").text == "c")
    #expect(try render("{% if tools is defined %}a{% endif %}{{ 'b' if not tools else 'c' }}", "x").text == "b")
  }

  @Test func whatIsNotKnownIsRefused() {
    for template in [
      "{% macro x() %}{% endmacro %}", "{{ messages | tojson }}", "{% for x in y %}{% endfor %}", "{{ 'open",
      "{% if %}",
      "{% if true %}", "{% endif %}", "{{ }}", "{{ messages[9]['role'] }}", "{{ 1 + }}", "{% set = 1 %}",
      "{{ messages }}",
      "{{ loop.first }}", "{{ raise_exception('no') }}", "{%", "{{ (((((((((((((((((((((((((((((((('x')))))))) }}",
    ] { #expect(error(template) == .badTemplate, "\(template)") }
  }

  @Test func aTemplateThatWouldRunForeverEnds() {
    let nested = String(repeating: "{% for m in messages %}", count: 20) + String(repeating: "{% endfor %}", count: 20)
    #expect(error(nested) == nil)
    let search = String(repeating: "{% if 'b' in messages[0]['content'] %}{% endif %}", count: 3)
    #expect(throws: InferenceError.badTemplate) { _ = try render(search, String(repeating: "a", count: 10_000)) }
    #expect(
      error(String(repeating: "{{ messages[0]['content'] + 'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa' }}", count: 200)) == nil
    )
  }
}
