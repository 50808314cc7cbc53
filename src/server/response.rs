//! What every response has, whatever its interface: headers that tell what is known of the call.

use crate::api::Envelope;
use crate::claude::INTERVENED;
use crate::identifier::{milliseconds, readable};
use crate::log::Record;

/// Adds the headers that every response has.
pub(super) fn describe(record: &Record, envelope: &mut Envelope) {
    // A response is for its caller only.
    if envelope.header("cache-control").is_none() {
        envelope.set_header("cache-control", "no-store");
    }
    envelope.set_header("x-content-type-options", "nosniff");
    envelope.set_header("x-request-id", record.request_id.as_str());
    if let Some(id) = &record.upstream_request_id {
        envelope.set_header("x-amzn-requestid", id.as_str());
    }
    if record.attempts > 0 {
        envelope.set_header("x-bedrock-attempts", record.attempts);
        envelope.set_header("x-bedrock-region", record.region.as_deref().unwrap_or_default());
    }
    if !record.removed.is_empty() {
        envelope.set_header("x-bedrock-removed", removed(&record.removed));
    }
    if let Some(id) = &record.session_id {
        envelope.set_header("x-session-id", id.as_str());
        if let Some(turns) = record.dropped_turns {
            envelope.set_header("x-session-dropped-turns", turns);
        }
    }
    if let Some(reason) = &record.stop_reason {
        envelope.set_header("x-stop-reason", reason.as_str());
    }
    if record.guardrail_intervened {
        envelope.set_header("x-bedrock-guardrail-action", INTERVENED);
    }
    // Bedrock's own names.
    if let Some(tokens) = record.input_tokens {
        envelope.set_header("x-amzn-bedrock-input-token-count", tokens);
    }
    if let Some(tokens) = record.output_tokens {
        envelope.set_header("x-amzn-bedrock-output-token-count", tokens);
    }
    if let (Some(upstream), Some(total)) = (record.upstream_time, record.total_time) {
        let (upstream, total) = (milliseconds(upstream), milliseconds(total));
        envelope.set_header("server-timing", format!("bedrock;dur={upstream}, total;dur={total}"));
    }
}

/// Lists what was removed, as far as a header takes it.
fn removed(places: &[String]) -> String {
    const MOST_BYTES: usize = 2048;
    let mut list = String::new();
    // The names of members are the caller's.
    for place in places.iter().map(|it| readable(it)) {
        if list.len() + place.len() > MOST_BYTES {
            list.push_str(", ...");
            break;
        }
        list.extend([if list.is_empty() { "" } else { ", " }, &place]);
    }
    list
}

/// Makes the head of a response in Server-Sent Events.
pub(super) fn event_stream() -> Envelope {
    let mut envelope = Envelope::new(200, "text/event-stream; charset=utf-8", String::new());
    // Not transformed, because compression holds events back.
    envelope.set_header("cache-control", "no-store, no-transform");
    envelope
}
