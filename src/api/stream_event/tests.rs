use super::*;
use crate::error::Code;

fn events() -> Vec<(&'static str, StreamEvent, &'static str)> {
    let usage =
        |input_tokens, output_tokens| Usage { input_tokens, output_tokens, ..Usage::default() };
    let delta = |text: &str| StreamEvent::Delta { text: text.to_owned() };
    let error = |code, message: &str| StreamEvent::Error {
        code,
        message: message.to_owned(),
        retryable: code.is_retryable(),
    };
    #[rustfmt::skip]
    let events = vec![
        ("start", StreamEvent::Start { request_id: Identifier::random(42), model: "anthropic.claude-v1:0".to_owned(), session: None, dropped_turns: None }, r#"{"request_id":"00000000-0000-4000-8000-00000000002a","model":"anthropic.claude-v1:0"}"#),
        ("delta", delta("はい。"), r#"{"text":"はい。"}"#),
        ("delta", delta("a\nb\r\n\rc\n\n"), r#"{"text":"a\nb\r\n\rc\n\n"}"#),
        ("delta", delta("data: \"x\"\\"), r#"{"text":"data: \"x\"\\"}"#),
        ("delta", delta("\u{2028}\u{2029}\u{85}\u{feff}"), "{\"text\":\"\u{2028}\u{2029}\u{85}\u{feff}\"}"),
        ("delta", delta("\0\u{1b}\u{7f}"), "{\"text\":\"\\u0000\\u001b\u{7f}\"}"),
        ("delta", delta("👩‍👩‍👧🎌</p>"), r#"{"text":"👩‍👩‍👧🎌</p>"}"#),
        ("done", StreamEvent::Done { input_prompt: "お元気\nですか".to_owned(), generated_text: "\"はい\"🎌".to_owned(), stop_reason: Identifier::new("end_turn"), usage: usage(Some(12), Some(7)), guardrail_action: None }, r#"{"input_prompt":"お元気\nですか","generated_text":"\"はい\"🎌","stop_reason":"end_turn","usage":{"input_tokens":12,"output_tokens":7}}"#),
        ("done", StreamEvent::Done { input_prompt: "a".to_owned(), generated_text: String::new(), stop_reason: None, usage: usage(None, None), guardrail_action: Some("INTERVENED") }, r#"{"input_prompt":"a","generated_text":"","stop_reason":null,"usage":{"input_tokens":null,"output_tokens":null},"guardrail_action":"INTERVENED"}"#),
        ("error", error(Code::Throttled, "Error: Bedrock invocation failed"), r#"{"code":"throttled","message":"Error: Bedrock invocation failed","retryable":true}"#),
        ("error", error(Code::InvalidResponse, "Error: Invalid Bedrock response"), r#"{"code":"invalid_response","message":"Error: Invalid Bedrock response","retryable":false}"#),
    ];
    events
}

#[test]
fn server_sent_events_are_pinned() {
    for (name, event, data) in events() {
        let mut out = b"before".to_vec();
        event.write_sse(&mut out);
        let data = data.replace('\u{85}', r"\u0085");
        let data = data.replace('\u{2028}', r"\u2028").replace('\u{2029}', r"\u2029");
        let expected = format!("beforeevent: {name}\ndata: {data}\n\n");
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }
}

/// Python's `str.splitlines`, on which its HTTP clients are built, breaks lines at these characters.
#[test]
fn a_line_of_an_event_has_no_character_at_which_a_client_may_break_it() {
    let separators = "\r\u{b}\u{c}\u{1c}\u{1d}\u{1e}\u{85}\u{2028}\u{2029}";
    let text = format!("{separators}\u{2027}\u{202a}\u{84}\u{86}â€¨{separators}日本語");
    let mut out = "\u{2028}".as_bytes().to_vec();
    StreamEvent::Delta { text: text.clone() }.write_sse(&mut out);
    let out = String::from_utf8(out).unwrap();
    let event = out.strip_prefix('\u{2028}').expect("the bytes before the event stay");
    assert!(!event.contains(|it| separators.contains(it)), "{event:?}");
    let data = event.strip_prefix("event: delta\ndata: ").unwrap();
    assert_eq!(serde_json::from_str::<serde_json::Value>(data).unwrap()["text"], text);
}

#[test]
fn websocket_messages_are_pinned() {
    for (name, event, data) in events() {
        assert_eq!(event.to_message(), format!(r#"{{"event":"{name}","data":{data}}}"#));
    }
}

#[test]
fn done_and_error_are_the_last_events() {
    for (name, event, _) in events() {
        assert_eq!(event.name(), name);
        assert_eq!(event.is_last(), ["done", "error"].contains(&name), "{name}");
    }
}

#[test]
fn only_transient_failures_are_retryable() {
    let cases = [
        (Code::InvalidRequest, false),
        (Code::PayloadTooLarge, false),
        (Code::Misconfigured, false),
        (Code::Internal, false),
        (Code::Throttled, true),
        (Code::Timeout, true),
        (Code::Unavailable, true),
        (Code::AccessDenied, false),
        (Code::ModelNotFound, false),
        (Code::Rejected, false),
        (Code::ModelError, true),
        (Code::InvalidResponse, false),
        (Code::Truncated, true),
    ];
    for (code, expected) in cases {
        assert_eq!(code.is_retryable(), expected, "{code:?}");
    }
}
