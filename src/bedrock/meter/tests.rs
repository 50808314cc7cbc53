//! Responses of each kind, in chunks of every size.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use proptest::prelude::*;

use super::*;
use crate::aws::encode_event;

/// Makes an event stream of Converse.
fn converse(events: &[(&str, &str)]) -> Vec<u8> {
    let mut out = Vec::new();
    for (kind, payload) in events {
        match kind.strip_suffix("Exception") {
            Some(_) => encode_exception(kind, payload.as_bytes(), &mut out),
            None => encode_event(kind, "application/json", payload.as_bytes(), &mut out),
        }
    }
    out
}

/// Makes an event stream of InvokeModelWithResponseStream.
fn invoke(events: &[&str]) -> Vec<u8> {
    let mut out = Vec::new();
    for event in events {
        let payload = format!(r#"{{"bytes":"{}","p":"abcdefg"}}"#, STANDARD.encode(event));
        encode_event("chunk", "application/json", payload.as_bytes(), &mut out);
    }
    out
}

/// Makes Server-Sent Events.
fn events(events: &[&str]) -> Vec<u8> {
    events.iter().flat_map(|data| format!("event: x\ndata: {data}\n\n").into_bytes()).collect()
}

fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
    pairs.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect()
}

/// The numbers that a meter reads in a response: input, output, cache read and written, the stop reason, and whether all is final.
type Reading = ([Option<u64>; 4], Option<String>, bool);

fn read(bill: Bill, headers: &HeaderMap, bytes: &[u8], size: usize) -> (Reading, End) {
    let mut meter = Meter::new(bill, headers).expect("a meter");
    bytes.chunks(size).for_each(|chunk| meter.push(chunk));
    let end = meter.close(None);
    let counts = meter.counts();
    let Usage { input_tokens, output_tokens, .. } = counts.usage;
    let Usage { cache_read_input_tokens, cache_creation_input_tokens, .. } = counts.usage;
    let numbers =
        [input_tokens, output_tokens, cache_read_input_tokens, cache_creation_input_tokens];
    let reason = counts.stop_reason.as_ref().map(|it| it.as_str().to_owned());
    ((numbers, reason, counts.is_final), end)
}

const START: &str = r#"{"type":"message_start","message":{"usage":{"input_tokens":12,"output_tokens":1,"cache_read_input_tokens":3,"cache_creation_input_tokens":0}}}"#;
const DELTA: &str =
    r#"{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"usage"}}"#;
const STOP: &str =
    r#"{"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":7}}"#;
const END: &str = r#"{"type":"message_stop","amazon-bedrock-invocationMetrics":{"inputTokenCount":12,"outputTokenCount":7}}"#;
const METADATA: &str = r#"{"metrics":{"latencyMs":1},"usage":{"inputTokens":5,"outputTokens":6,"cacheReadInputTokens":1,"cacheWriteInputTokens":2,"totalTokens":14}}"#;

#[test]
fn the_numbers_of_every_kind_of_response_are_read_in_any_chunks() {
    let sse = headers(&[("content-type", "text/event-stream; charset=utf-8")]);
    let none = HeaderMap::new();
    let long = format!(r#"{{"delta":{{"text":"{}"}}}}"#, "x".repeat(100_000));
    let reason = |text: &str| Some(text.to_owned());
    let claude = ([Some(12), Some(7), Some(3), Some(0)], reason("end_turn"), true);
    let of_converse = ([Some(5), Some(6), Some(1), Some(2)], reason("tool_use"), true);
    let whole_converse = format!(
        r#"{{"output":{{"message":{{"content":[{{"text":"\"usage\":{{"}}]}}}},"stopReason":"tool_use",{}"#,
        &METADATA[1..]
    );
    #[rustfmt::skip]
    let cases: [(&str, Bill, &HeaderMap, Vec<u8>, Reading); 11] = [
        ("Claude's frames", Bill::Frames, &none, invoke(&[START, DELTA, STOP, END]), claude.clone()),
        ("Claude's frames without metrics", Bill::Frames, &none, invoke(&[START, DELTA, STOP, r#"{"type":"message_stop"}"#]), claude.clone()),
        ("Claude's events", Bill::Events, &sse, events(&[START, DELTA, STOP, END]), claude.clone()),
        ("Claude's reply", Bill::Events, &none, br#"{"usage":{"input_tokens":12,"output_tokens":7,"cache_read_input_tokens":3,"cache_creation_input_tokens":0},"stop_reason":"end_turn"}"#.to_vec(), claude),
        ("frames of Converse", Bill::Frames, &none, converse(&[("messageStart", "{}"), ("contentBlockDelta", &long), ("messageStop", r#"{"stopReason":"tool_use"}"#), ("metadata", METADATA)]), of_converse.clone()),
        ("a reply of Converse", Bill::Whole, &none, whole_converse.into_bytes(), of_converse),
        ("frames of Nova", Bill::Frames, &none, invoke(&[r#"{"messageStart":{}}"#, r#"{"metadata":{"usage":{"inputTokens":1,"outputTokens":2}},"amazon-bedrock-invocationMetrics":{"inputTokenCount":1,"outputTokenCount":3}}"#]), ([Some(1), Some(3), None, None], None, true)),
        ("frames of OpenAI's weights", Bill::Frames, &none, invoke(&[r#"{"choices":[]}"#, r#"{"usage":{"prompt_tokens":8,"completion_tokens":9}}"#]), ([Some(8), Some(9), None, None], None, true)),
        ("a reply of Llama, without a count", Bill::Whole, &none, br#"{"generation":"x","stop_reason":"stop"}"#.to_vec(), ([None; 4], reason("stop"), false)),
        ("one header alone", Bill::Whole, &headers(&[("x-amzn-bedrock-input-token-count", "4")]), b"{}".to_vec(), ([None; 4], None, false)),
        ("no numbers", Bill::Frames, &none, converse(&[("messageStart", "{}"), ("messageStop", "{}")]), ([None; 4], None, false)),
    ];
    for (name, bill, headers, bytes, expected) in cases {
        for size in [1, 7, 100, usize::MAX] {
            let (reading, end) = read(bill, headers, &bytes, size);
            assert_eq!(reading, expected, "{name} by {size}");
            assert!(
                end.error.is_none() && end.tail.is_empty() && !end.is_broken,
                "{name}: {end:?}"
            );
        }
    }
}

#[test]
fn the_headers_of_a_reply_that_tell_everything_need_no_meter() {
    let all = headers(&[
        ("x-amzn-bedrock-input-token-count", "4"),
        ("x-amzn-bedrock-output-token-count", "5"),
        ("x-amzn-bedrock-cache-read-input-token-count", "6"),
    ]);
    let usage = Usage {
        input_tokens: Some(4),
        output_tokens: Some(5),
        cache_read_input_tokens: Some(6),
        cache_creation_input_tokens: None,
        cache_creation_1h_input_tokens: None,
    };
    assert_eq!(Meter::new(Bill::Whole, &all).err(), Some(usage));
    for bill in [Bill::Free, Bill::NotInTokens] {
        assert_eq!(Meter::new(bill, &all).err(), Some(Usage::default()));
    }
}

#[test]
fn the_client_learns_of_a_response_that_breaks_off() {
    let sse = headers(&[("content-type", "text/event-stream")]);
    let none = HeaderMap::new();
    let converse_start = || converse(&[("messageStart", "{}"), ("contentBlockDelta", "{}")]);
    let half = |bytes: Vec<u8>| bytes[..bytes.len() - 9].to_vec();
    let failed = || Some(TransportError::Failed("reset".to_owned()));
    #[rustfmt::skip]
    let cases = [
        ("between two frames", Bill::Frames, &none, converse_start(), None, "modelStreamErrorException", false),
        ("between two frames of Claude", Bill::Frames, &none, invoke(&[START, DELTA]), None, "modelStreamErrorException", false),
        ("between two frames, by a failure", Bill::Frames, &none, invoke(&[START]), failed(), "modelStreamErrorException", false),
        ("in a frame", Bill::Frames, &none, half(converse_start()), None, "", true),
        ("in the end of a frame", Bill::Frames, &none, half(invoke(&[START, STOP, END])), None, "", true),
        ("between two events", Bill::Events, &sse, events(&[START, DELTA]), None, "event: error\ndata: {\"", false),
        ("in an event", Bill::Events, &sse, half(events(&[START, DELTA])), failed(), "", true),
        ("in a reply", Bill::Whole, &none, b"{\"usage\":{".to_vec(), None, "", true),
        ("before a reply", Bill::Whole, &none, Vec::new(), failed(), "", true),
        ("not frames", Bill::Frames, &none, b"<html>an error of a proxy</html>".to_vec(), None, "", true),
    ];
    for (name, bill, headers, bytes, failure, tail, is_broken) in cases {
        let mut meter = Meter::new(bill, headers).expect("a meter");
        bytes.chunks(5).for_each(|chunk| meter.push(chunk));
        let end = meter.close(failure);
        assert!(end.error.is_some(), "{name}");
        assert_eq!(end.is_broken, is_broken, "{name}");
        let text = String::from_utf8_lossy(&end.tail);
        assert!(text.contains(tail) && end.tail.is_empty() == tail.is_empty(), "{name}: {text}");
    }
}

#[test]
fn an_exception_of_a_stream_is_the_failure_and_needs_no_further_end() {
    let exception = ("throttlingException", r#"{"message":"Too many tokens, please wait."}"#);
    let claudes = r#"{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}"#;
    let sse = headers(&[("content-type", "text/event-stream")]);
    for (name, bill, headers, bytes, expected) in [
        (
            "Converse",
            Bill::Frames,
            HeaderMap::new(),
            converse(&[("messageStart", "{}"), exception]),
            "ThrottlingException: Too many tokens, please wait.",
        ),
        ("Claude's", Bill::Events, sse, events(&[START, claudes]), "overloaded_error: Overloaded"),
    ] {
        let (_, end) = read(bill, &headers, &bytes, 3);
        assert_eq!(end.error.map(|it| it.to_string()).as_deref(), Some(expected), "{name}");
        assert!(end.tail.is_empty() && !end.is_broken, "{name}");
    }
}

#[test]
fn a_guardrail_that_intervened_is_noticed() {
    for (name, bill, bytes) in [
        (
            "Converse",
            Bill::Frames,
            converse(&[("messageStop", r#"{"stopReason":"guardrail_intervened"}"#)]),
        ),
        ("a reply", Bill::Whole, br#"{"stopReason":"guardrail_intervened"}"#.to_vec()),
        (
            "InvokeModel",
            Bill::Whole,
            br#"{"amazon-bedrock-guardrailAction":"INTERVENED"}"#.to_vec(),
        ),
        (
            "its stream",
            Bill::Frames,
            invoke(&[r#"{"type":"message_stop","amazon-bedrock-guardrailAction":"INTERVENED"}"#]),
        ),
    ] {
        let mut meter = Meter::new(bill, &HeaderMap::new()).expect("a meter");
        meter.push(&bytes);
        assert!(meter.counts().guardrail_intervened, "{name}");
    }
}

#[test]
fn a_meter_holds_a_bounded_part_of_a_response() {
    let payload = "x".repeat(1 << 20);
    let chunk = format!(r#"{{"bytes":"{payload}"}}"#);
    let bytes = converse(&[("chunk", &chunk), ("metadata", &chunk), ("contentBlockDelta", &chunk)]);
    let mut meter = Meter::new(Bill::Frames, &HeaderMap::new()).expect("a meter");
    for chunk in bytes.chunks(4096) {
        meter.push(chunk);
        let Source::Frames(frames) = &meter.source else { panic!("other frames") };
        assert!(frames.held() <= 200_000, "{}", frames.held());
    }
    assert_eq!(meter.received(), bytes.len());
}

proptest! {
    #[test]
    fn any_bytes_give_the_same_numbers_in_any_chunks(
        bytes in proptest::collection::vec(any::<u8>(), 0..400),
        size in 1_usize..50,
        kind in 0_usize..3,
    ) {
        let (bill, headers) = [
            (Bill::Frames, HeaderMap::new()),
            (Bill::Whole, HeaderMap::new()),
            (Bill::Events, headers(&[("content-type", "text/event-stream")])),
        ][kind].clone();
        let (whole, end) = read(bill, &headers, &bytes, usize::MAX);
        let (parts, other) = read(bill, &headers, &bytes, size);
        prop_assert_eq!(whole, parts);
        prop_assert_eq!((end.tail, end.is_broken), (other.tail, other.is_broken));
    }
}
