use bedrock_stub::events::block_delta;
use bedrock_stub::frames::{event, exception};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;

use super::*;
use crate::claude::Reply;

/// A part of a stream.
#[derive(Clone, Debug)]
enum Part {
    Text(String),
    /// A text whose bytes come in two deltas, split anywhere.
    Divided(String, Index),
    /// A text whose UTF-16 code units come in two deltas, each escaped.
    Escaped(String, Index),
    Usage(Option<u64>, Option<u64>),
    Thinking(String),
    /// An event and a frame of unknown types.
    Unknown(String),
    Exception(String),
    Stop,
}

impl Part {
    fn frames(&self) -> Vec<u8> {
        match self {
            Self::Text(text) => encoded(&[text_delta(0, text)]),
            Self::Divided(text, at) => {
                let (before, after) = text.as_bytes().split_at(at.index(text.len() + 1));
                [encode(&raw_delta(before)), encode(&raw_delta(after))].concat()
            }
            Self::Escaped(text, at) => {
                let units: Vec<u16> = text.encode_utf16().collect();
                let (before, after) = units.split_at(at.index(units.len() + 1));
                [encode(&escaped_delta(before)), encode(&escaped_delta(after))].concat()
            }
            Self::Usage(input, output) => {
                let usage = json!({ "input_tokens": input, "output_tokens": output });
                encoded(&[json!({ "type": "message_delta", "delta": {}, "usage": usage })])
            }
            Self::Thinking(text) => {
                encoded(&[block_delta(0, json!({ "type": "thinking_delta", "thinking": text }))])
            }
            Self::Unknown(text) => {
                let unknown = json!({ "type": format!("x{text}"), "delta": { "text": text } });
                let frame = event("aside", text.clone().into_bytes());
                [encoded(&[unknown]), encode(&frame)].concat()
            }
            Self::Exception(kind) => encode(&exception(kind, "words")),
            Self::Stop => closing(),
        }
    }

    fn text(&self) -> &str {
        match self {
            Self::Text(text) | Self::Divided(text, _) | Self::Escaped(text, _) => text,
            _ => "",
        }
    }

    fn is_text(&self) -> bool {
        matches!(self, Self::Text(_) | Self::Divided(..) | Self::Escaped(..))
    }

    fn ends(&self) -> bool {
        matches!(self, Self::Exception(_) | Self::Stop)
    }
}

/// Text with many characters of several bytes.
fn text() -> impl Strategy<Value = String> {
    prop_oneof![any::<String>(), "[aé日😀🎌\u{200d}\u{2028}\n\"\\\\]{0,8}"]
}

fn part() -> impl Strategy<Value = Part> {
    prop_oneof![
        4 => text().prop_map(Part::Text),
        2 => (text(), any::<Index>()).prop_map(|(text, at)| Part::Divided(text, at)),
        2 => (text(), any::<Index>()).prop_map(|(text, at)| Part::Escaped(text, at)),
        1 => any::<(Option<u64>, Option<u64>)>().prop_map(|(input, output)| Part::Usage(input, output)),
        1 => text().prop_map(Part::Thinking),
        1 => text().prop_map(Part::Unknown),
    ]
}

/// Parts, possibly with an end and more parts after it.
fn parts() -> impl Strategy<Value = Vec<Part>> {
    let end = prop_oneof![
        4 => Just(Some(Part::Stop)),
        1 => "[a-z]{0,9}Exception".prop_map(|kind| Some(Part::Exception(kind))),
        1 => Just(None),
    ];
    (vec(part(), 0..8), end, vec(part(), 0..2)).prop_map(|(mut parts, end, behind)| {
        if let Some(end) = end {
            parts.push(end);
            parts.extend(behind);
        }
        parts
    })
}

/// A complete reply and its text.
fn whole() -> impl Strategy<Value = (Vec<u8>, String)> {
    vec(part(), 0..5).prop_map(|mut parts| {
        parts.push(Part::Stop);
        (parts.iter().flat_map(Part::frames).collect(), parts.iter().map(Part::text).collect())
    })
}

/// The JSON of a content block: its type and its text in any form and order.
fn block() -> impl Strategy<Value = String> {
    let kind = prop_oneof![
        4 => Just(Some(r#""text""#)),
        1 => Just(Some(r#""thinking""#)),
        1 => Just(Some(r#""sculpture""#)),
        1 => Just(Some("null")),
        1 => Just(Some("1")),
        1 => Just(None),
    ];
    let text = prop_oneof![
        4 => text().prop_map(|text| Some(json!(text).to_string())),
        2 => vec(prop_oneof![0xd800_u16..0xe000, 0x40_u16..0x60], 0..4).prop_map(|units| {
            let units: String = units.iter().map(|unit| format!("\\u{unit:04x}")).collect();
            Some(format!("\"{units}\""))
        }),
        1 => prop_oneof![Just("null"), Just("1"), Just("{}"), Just(r#"["a"]"#)].prop_map(|it| Some(it.to_owned())),
        1 => Just(None),
    ];
    (kind, text, any::<bool>()).prop_map(|(kind, text, is_reversed)| {
        let kind = kind.map(|kind| format!(r#""type":{kind}"#));
        let text = text.map(|text| format!(r#""text":{text}"#));
        let mut members: Vec<String> = [kind, text].into_iter().flatten().collect();
        if is_reversed {
            members.reverse();
        }
        format!("{{{}}}", members.join(","))
    })
}

fn divided<'a>(bytes: &'a [u8], places: &[Index]) -> Vec<&'a [u8]> {
    let mut places: Vec<usize> = places.iter().map(|it| it.index(bytes.len() + 1)).collect();
    places.extend([0, bytes.len()]);
    places.sort_unstable();
    places.windows(2).map(|pair| &bytes[pair[0]..pair[1]]).collect()
}

fn settings() -> ProptestConfig {
    ProptestConfig { failure_persistence: None, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(settings())]

    #[test]
    fn the_steps_do_not_depend_on_how_the_bytes_are_split(parts in parts(), places in vec(any::<Index>(), 0..40)) {
        let bytes: Vec<u8> = parts.iter().flat_map(Part::frames).collect();
        let whole = steps([&bytes[..]]);
        prop_assert_eq!(format!("{:?}", steps(divided(&bytes, &places))), format!("{whole:?}"));

        let end = parts.iter().position(Part::ends);
        let text: String = parts[..end.unwrap_or(parts.len())].iter().map(Part::text).collect();
        prop_assert_eq!(joined(&whole), text.as_str());
        match (whole.last(), end.map(|end| &parts[end])) {
            (Some(Step::Done(generated)), Some(Part::Stop)) => prop_assert_eq!(&generated.text, &text),
            (Some(Step::Failed(InvokeError::InvalidReply(InvalidReply::NoText))), Some(Part::Stop)) => {
                prop_assert!(!parts[..end.unwrap_or(0)].iter().any(Part::is_text));
            }
            (Some(Step::Failed(InvokeError::Exception { .. })), Some(Part::Exception(_))) => {}
            (Some(Step::Failed(InvokeError::Truncated)), None) => {}
            (last, end) => prop_assert!(false, "{last:?} of {end:?}"),
        }
    }

    #[test]
    fn a_whole_and_a_streamed_reply_are_read_alike(
        blocks in vec(prop_oneof![8 => block(), 1 => Just("null".to_owned())], 0..4),
        reason in prop_oneof![
            Just(None), Just(Some("null")), Just(Some("5")), Just(Some(r#""end_turn""#)), Just(Some(r#""stop_sequence""#)),
            Just(Some(r#""max_tokens""#)), Just(Some(r#""refusal""#)), Just(Some(r#""tool_use""#)), Just(Some(r#""a b""#)),
        ],
        has_intervened: bool,
    ) {
        let action = if has_intervened { "INTERVENED" } else { "NONE" };
        let reason = reason.map_or(String::new(), |reason| format!(r#""stop_reason":{reason}"#));
        let comma = if reason.is_empty() { "" } else { "," };
        let whole = format!(
            r#"{{"content":[{}],{reason}{comma}"usage":{{"output_tokens":7}},"amazon-bedrock-guardrailAction":"{action}"}}"#,
            blocks.join(","),
        );
        let mut streamed: Vec<String> = blocks
            .iter()
            .map(|block| format!(r#"{{"type":"content_block_start","content_block":{block}}}"#))
            .collect();
        streamed.push(format!(r#"{{"type":"message_delta","delta":{{{reason}}},"usage":{{"output_tokens":7}}}}"#));
        streamed.push(format!(r#"{{"type":"message_stop","amazon-bedrock-guardrailAction":"{action}"}}"#));
        let bytes: Vec<u8> =
            streamed.iter().flat_map(|event| encode(&chunk_of(event.as_bytes()))).collect();

        let is_unreadable = |error: &InvalidReply| matches!(error, InvalidReply::NotJson { .. });
        let mut steps = steps([&bytes[..]]);
        match (Reply::parse(whole.as_bytes()), steps.pop()) {
            (Ok(reply), Some(Step::Done(generated))) => {
                prop_assert_eq!(reply.text, generated.text);
                prop_assert_eq!(reply.stop_reason, generated.stop_reason);
                prop_assert_eq!(reply.usage, generated.usage);
                prop_assert_eq!(reply.guardrail_intervened, generated.guardrail_intervened);
            }
            (Err(error), Some(Step::Failed(InvokeError::InvalidReply(streamed)))) => {
                prop_assert!(error == streamed || is_unreadable(&error) && is_unreadable(&streamed), "{error} {streamed}");
            }
            (whole, streamed) => prop_assert!(false, "{whole:?} {streamed:?}"),
        }
    }

    #[test]
    fn random_bytes_fail_at_the_first_step(bytes in vec(any::<u8>(), 0..200), places in vec(any::<Index>(), 0..4)) {
        let whole = steps([&bytes[..]]);
        prop_assert_eq!(format!("{:?}", steps(divided(&bytes, &places))), format!("{whole:?}"));
        prop_assert!(matches!(whole[..], [Step::Failed(_)]));
    }

    #[test]
    fn frames_of_any_content_never_panic_and_do_not_depend_on_the_split(payload in vec(any::<u8>(), 0..60), json: String, text in vec(any::<u8>(), 0..9)) {
        for frame in [event("chunk", payload.clone()), chunk_of(&payload), chunk_of(json.as_bytes()), raw_delta(&text)] {
            let bytes = [encode(&frame), closing()].concat();
            let whole = format!("{:?}", steps([&bytes[..]]));
            prop_assert_eq!(format!("{:?}", steps(bytes.chunks(7))), whole);
        }
    }

    #[test]
    fn a_damaged_reply_is_never_taken_for_another((bytes, text) in whole(), at: Index, bit in 0_u32..8, byte: u8) {
        let (flipped, inserted) = (at.index(bytes.len()), at.index(bytes.len() + 1));
        let mut damaged = [bytes.clone(), bytes.clone(), bytes];
        damaged[0][flipped] ^= 1_u8 << bit;
        damaged[1].remove(flipped);
        damaged[2].insert(inserted, byte);
        for bytes in damaged {
            let steps = steps([&bytes[..]]);
            prop_assert!(text.starts_with(joined(&steps).as_str()));
            if let Some(Step::Done(generated)) = steps.last() {
                prop_assert_eq!(&generated.text, &text);
            }
        }
    }
}
