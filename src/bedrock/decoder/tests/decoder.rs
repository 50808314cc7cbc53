use bedrock_stub::frames::{HeaderValue, event};

use super::*;

/// Returns the failure that this frame causes after valid ones.
fn failure(frame: &Frame) -> String {
    let steps = steps([&begun()[..], &encode(frame), &closing()]);
    match steps.last() {
        Some(Step::Failed(error)) => error.to_string(),
        _ => "none".to_owned(),
    }
}

#[test]
fn a_frame_that_cannot_be_read_ends_the_reply_with_its_reason() {
    let payload = || chunk(&text_delta(0, "x")).payload;
    let typed = |kind: &str, value: HeaderValue| Frame {
        headers: vec![(":event-type".to_owned(), "chunk".into()), (kind.to_owned(), value)],
        payload: payload(),
    };
    let chunk = |json: &str| chunk_of(json.as_bytes());
    let raw = |payload: &str| event("chunk", payload.into());
    #[rustfmt::skip]
    let cases = [
        ("no message type", typed(":other", "event".into()), "expected a message with a type, got none"),
        ("a message type in capitals", typed(":message-type", "EVENT".into()), "expected a message with a type, got none"),
        ("a message type that is not a string", typed(":message-type", HeaderValue::Bool(true)), "expected a message with a type, got none"),
        ("an unknown message type", typed(":message-type", "ping".into()), "expected a message with a type, got none"),
        ("an unknown event", event("himitsu", payload()), "none"),
        ("no payload", raw(""), "none"),
        ("a payload without bytes", raw("{}"), "none"),
        ("bytes that are null", raw(r#"{"bytes":null}"#), "none"),
        ("bytes that are not a string", raw(r#"{"bytes":[1]}"#), "the body of 13 bytes is not Claude's JSON: data at 1:9"),
        ("base64 that is cut", raw(r#"{"bytes":"YWI"}"#), "expected base64 in a chunk, got something else"),
        ("base64url", raw(r#"{"bytes":"_-8="}"#), "expected base64 in a chunk, got something else"),
        ("base64, escaped", raw(r#"{"bytes":"eyJ0eXBlIjoi\u0061W5nIn0="}"#), "none"),
        ("padding before it", raw(r#"{"p":"abc","bytes":"eyJ0eXBlIjoicGluZyJ9"}"#), "none"),
        ("no bytes", raw(r#"{"bytes":""}"#), "none"),
        ("JSON that is cut", chunk(r#"{"type":"himitsu"#), "the body of 16 bytes is not Claude's JSON: end at 1:16"),
        ("JSON without a type", chunk(r#"{"kind":"himitsu"}"#), "the body of 18 bytes is not Claude's JSON: data at 1:18"),
        ("a text that is not a string", chunk(r#"{"type":"content_block_delta","delta":{"type":"text_delta","text":1}}"#), "the body of 69 bytes is not Claude's JSON: data at 1:67"),
        ("an unknown type", chunk(r#"{"type":"himitsu"}"#), "none"),
        ("an unknown delta", chunk(r#"{"type":"content_block_delta","delta":{"type":"himitsu"}}"#), "none"),
        ("a delta of no type", chunk(r#"{"type":"content_block_delta","delta":{"text":"himitsu"}}"#), "none"),
        ("a text with an unknown event", chunk(r#"{"type":"aside","delta":{"type":"text_delta","text":"himitsu"}}"#), "none"),
        ("deep nesting", chunk(&format!(r#"{{"type":"aside","x":{}{}}}"#, "[".repeat(1000), "]".repeat(1000))), "none"),
    ];
    let mut wrong = Vec::new();
    for (name, frame, expected) in cases {
        let actual = failure(&frame);
        if actual != expected {
            wrong.push(format!("{name}: {actual}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_first_readable_frame_starts_the_reply() {
    let text = encoded(&[text_delta(0, "a")]);
    let cases = [
        ("message_start", begun(), true),
        ("a text", text, true),
        ("an unknown event", encode(&event("aside", Vec::new())), true),
        ("message_stop", encoded(&[json!({ "type": "message_stop" })]), true),
        ("HTML", b"<!doctype html>".to_vec(), false),
        ("nothing", Vec::new(), false),
    ];
    for (name, bytes, expected) in cases {
        let steps = steps([&bytes[..]]);
        assert_eq!(matches!(steps[0], Step::Start), expected, "{name}: {steps:?}");
        let starts = steps.iter().filter(|it| matches!(it, Step::Start)).count();
        assert_eq!(starts, usize::from(expected), "{name}");
    }
}

#[test]
fn a_step_waits_for_its_whole_frame() {
    let mut decoder = Decoder::default();
    let bytes = encoded(&[text_delta(0, "a")]);
    for byte in &bytes[..bytes.len() - 1] {
        decoder.push(&[*byte]);
        assert!(decoder.step().is_none() && !decoder.is_over());
    }
    decoder.push(&bytes[bytes.len() - 1..]);
    assert!(matches!(decoder.step(), Some(Step::Start)));
    assert!(matches!(decoder.step(), Some(Step::Text(text)) if text == "a"));
    assert_eq!(decoder.so_far().text, "a");
    assert!(decoder.step().is_none() && !decoder.is_over());
}

#[test]
fn bytes_after_the_end_are_not_kept() {
    let mut decoder = Decoder::default();
    decoder.push(&closing());
    while decoder.step().is_some() {}
    decoder.push(&begun());
    assert!(matches!(&decoder.source, Source::Frames(frames) if frames.is_empty()));
    assert!(decoder.so_far().text.is_empty());
}

#[test]
fn the_text_of_a_blocks_start_and_of_its_deltas_is_part_of_the_reply() {
    let start = |text| json!({ "type": "content_block_start", "content_block": { "type": "text", "text": text } });
    let events = [
        start("一"),
        text_delta(0, "二"),
        json!({ "type": "content_block_stop" }),
        start(""),
        text_delta(1, ""),
        text_delta(1, "三"),
    ];
    let steps = steps([&encoded(&events)[..], &closing()]);
    let texts: Vec<_> =
        steps.iter().filter(|it| matches!(it, Step::Text(_))).map(|it| format!("{it:?}")).collect();
    assert_eq!(texts, [r#"Text("一")"#, r#"Text("二")"#, r#"Text("三")"#]);
    assert!(matches!(steps.last(), Some(Step::Done(it)) if it.text == "一二三"));
}

#[test]
fn an_incomplete_last_character_is_replaced_at_the_end_and_dropped_on_an_error() {
    let halves = [
        ("one of two", raw_delta(b"\xc3")),
        ("two of three", raw_delta(b"\xe6\x97")),
        ("one of four", raw_delta(b"\xf0")),
        ("three of four", raw_delta(b"\xf0\x9f\x98")),
        ("a leading surrogate", escaped_delta(&[0xd83d])),
    ];
    for (name, half) in halves {
        let half = encode(&half);
        let whole = steps([&begun()[..], &half, &closing()]);
        assert!(
            matches!(whole.last(), Some(Step::Done(it)) if it.text == "はい\u{fffd}"),
            "{name}: {whole:?}"
        );
        assert_eq!(joined(&whole), "はい\u{fffd}", "{name}");
        let cut = steps([&begun()[..], &half]);
        assert!(matches!(cut.last(), Some(Step::Failed(InvokeError::Truncated))), "{name}");
        assert_eq!(joined(&cut), "はい", "{name}");
    }
}

#[test]
fn events_that_are_not_part_of_the_reply_may_have_any_form() {
    #[rustfmt::skip]
    let cases = [
        ("an unknown event with another delta", r#"{"type":"aside","delta":"x"}"#),
        ("an unknown event with another message", r#"{"type":"aside","message":"x"}"#),
        ("an unknown event with another content_block", r#"{"type":"aside","content_block":null}"#),
        ("an unknown event with another usage", r#"{"type":"aside","usage":"x"}"#),
        ("an unknown event with another error", r#"{"type":"aside","error":"x"}"#),
        ("an unknown block with another text", r#"{"type":"content_block_start","content_block":{"type":"sculpture","text":{"a":1}}}"#),
        ("an unknown delta with another text", r#"{"type":"content_block_delta","delta":{"type":"sculpture_delta","text":["a"]}}"#),
        ("no delta", r#"{"type":"content_block_delta","index":0}"#),
        ("a delta that is null", r#"{"type":"content_block_delta","delta":null}"#),
        ("no block", r#"{"type":"content_block_start","index":0}"#),
        ("a text that is null", r#"{"type":"content_block_delta","delta":{"type":"text_delta","text":null}}"#),
        ("a text block without a text", r#"{"type":"content_block_start","content_block":{"type":"text"}}"#),
        ("a message_start without a message", r#"{"type":"message_start"}"#),
        ("a message_delta without a delta", r#"{"type":"message_delta","usage":{"output_tokens":7}}"#),
        ("a message_delta with nothing", r#"{"type":"message_delta"}"#),
        ("a delta of a message that is null", r#"{"type":"message_delta","delta":null}"#),
        ("a stop reason that is null", r#"{"type":"message_delta","delta":{"stop_reason":null}}"#),
        ("a stop reason that is a number", r#"{"type":"message_delta","delta":{"stop_reason":5}}"#),
        ("usage that is null", r#"{"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":null}"#),
        ("usage of a start that is null", r#"{"type":"message_start","message":{"usage":null}}"#),
    ];
    let mut wrong = Vec::new();
    for (name, json) in cases {
        let actual = failure(&chunk_of(json.as_bytes()));
        if actual != "none" {
            wrong.push(format!("{name}: {actual}"));
        }
    }
    // serde takes an array for a struct too.
    for (name, frame) in [
        ("an event that is an array", chunk_of(br#"["message_stop"]"#)),
        ("a chunk that is an array", event("chunk", br#"["eyJ0eXBlIjoicGluZyJ9"]"#.to_vec())),
    ] {
        if failure(&frame) == "none" {
            wrong.push(name.to_owned());
        }
    }
    // There may be several of them: docs.claude.com, "Streaming Messages".
    let delta =
        |reason: Value| json!({ "type": "message_delta", "delta": { "stop_reason": reason } });
    let twice = encoded(&[text_delta(0, "は"), delta(json!("end_turn")), delta(Value::Null)]);
    let steps = steps([&twice[..], &closing()]);
    if !matches!(steps.last(), Some(Step::Done(it)) if it.stop_reason.is_some()) {
        wrong.push(format!("a stop reason, then none: {steps:?}"));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_stream_without_a_text_block_fails_as_a_whole_reply_does() {
    let tool = json!({ "type": "tool_use", "id": "t", "name": "search", "input": {} });
    let empty =
        json!({ "type": "content_block_start", "content_block": { "type": "text", "text": "" } });
    let without_stop = |mut events: Vec<Value>| {
        events.retain(|event| event["type"] != "message_delta");
        events
    };
    let cases = [
        ("a tool only", without_stop(events(&reply(json!([tool])))), false),
        ("no block", without_stop(events(&reply(json!([])))), false),
        ("no block, and the model ended the reply", events(&reply(json!([]))), true),
        ("an empty block", vec![empty, json!({ "type": "message_stop" })], true),
    ];
    for (name, events, is_answer) in cases {
        let steps = steps([&encoded(&events)[..]]);
        let actual = match steps.last() {
            Some(Step::Done(generated)) => generated.text.is_empty(),
            Some(Step::Failed(InvokeError::InvalidReply(InvalidReply::NoText))) => false,
            last => panic!("{name}: {last:?}"),
        };
        assert_eq!(actual, is_answer, "{name}");
    }
}

#[test]
fn a_guardrail_that_intervenes_in_any_event_is_noted() {
    let events = || {
        let mut events = events_of("Blocked.");
        events.push(json!({ "type": "message_stop" }));
        events
    };
    for at in 0..events().len() {
        for (action, expected) in [("INTERVENED", true), ("NONE", false)] {
            let mut events = events();
            events[at]["amazon-bedrock-guardrailAction"] = json!(action);
            // What comes behind the first message_stop is not read.
            let is_read = events[..at].iter().all(|event| event["type"] != "message_stop");
            let steps = steps([&encoded(&events)[..]]);
            let Some(Step::Done(generated)) = steps.last() else { panic!("{at}: {steps:?}") };
            assert_eq!(generated.guardrail_intervened, expected && is_read, "{at} {action}");
        }
    }
}
