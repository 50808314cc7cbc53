//! The cases: what the server sends over the connection, and the expected outcome.

use std::time::Duration;

use bedrock_stub::events::events;
use bedrock_stub::frames::{chunk, encode};
use serde_json::json;

use crate::support::raw_server::Step::{self, Hang, Repeat, Reset, Send, Wait};

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Operation {
    Invoke,
    Stream,
}

use Operation::{Invoke, Stream};

/// The expected outcome of a case.
pub enum Expected {
    /// A complete reply.
    Good,
    /// An envelope: `x-error-code`, the status of Bedrock's response if there was one, the
    /// beginning of `error` in the log, and the number of calls.
    Fails(&'static str, Option<u16>, &'static str, usize),
    /// An `error` event: `code`, and the beginning of `error` in the log.
    Breaks(&'static str, &'static str),
}

use Expected::{Breaks, Fails, Good};

pub struct Case {
    pub name: &'static str,
    pub steps: Vec<Step>,
    pub invoke: Expected,
    pub stream: Expected,
}

/// A step that sends a text, in which [`script`] replaces the placeholders.
fn text(text: &str) -> Step {
    Send(text.as_bytes().to_vec())
}

/// Replaces the placeholders in the steps of a case by parts of a valid response to the operation:
/// `{ok}` is its head with the content type, `{length}` the length of its body, `{body}` the body,
/// and `{half}` and `{rest}` are the two halves of the body.
pub fn script(steps: &[Step], operation: Operation) -> Vec<Step> {
    let message = json!({
        "content": [{ "type": "text", "text": "はい" }],
        "stop_reason": "end_turn",
        "usage": { "input_tokens": 1, "output_tokens": 2 },
    });
    let (kind, body) = match operation {
        Invoke => ("application/json", message.to_string().into_bytes()),
        Stream => {
            let frames = events(&message).iter().flat_map(|event| encode(&chunk(event))).collect();
            ("application/vnd.amazon.eventstream", frames)
        }
    };
    let ok = format!("HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\n");
    let replace = |bytes: &[u8]| -> Vec<u8> {
        let Ok(text) = std::str::from_utf8(bytes) else { return bytes.to_vec() };
        let text = text.replace("{ok}", &ok).replace("{length}", &body.len().to_string());
        let mut out = Vec::new();
        let mut rest = text.as_str();
        while let Some(at) = rest.find('{') {
            out.extend(rest[..at].bytes());
            rest = &rest[at..];
            if let Some(after) = rest.strip_prefix("{body}") {
                out.extend(&body);
                rest = after;
            } else if let Some(after) = rest.strip_prefix("{rest}") {
                out.extend(&body[body.len() / 2..]);
                rest = after;
            } else if let Some(after) = rest.strip_prefix("{half}") {
                out.extend(&body[..body.len() / 2]);
                rest = after;
            } else {
                out.push(b'{');
                rest = &rest[1..];
            }
        }
        out.extend(rest.bytes());
        out
    };
    steps
        .iter()
        .map(|step| match step {
            Send(bytes) => Send(replace(bytes)),
            Repeat(bytes) => Repeat(replace(bytes)),
            other => other.clone(),
        })
        .collect()
}

const LOST: &str = "no response: ";
const UNREADABLE: &str = "cannot read the response: ";
const LATE: &str = "no response: it took too long";
const LATE_BODY: &str = "cannot read the response: it took too long";

#[allow(clippy::too_many_lines)]
pub fn cases() -> Vec<Case> {
    let case = |name, steps, invoke, stream| Case { name, steps, invoke, stream };
    let same = |name, steps, expected: fn() -> Expected| case(name, steps, expected(), expected());
    let ms = Duration::from_millis;
    let lost = || Fails("unavailable", None, LOST, 3);
    let unreadable = || Fails("unavailable", Some(200), UNREADABLE, 3);
    let late = || Fails("timeout", None, LATE, 1);
    let late_body = || Fails("timeout", Some(200), LATE_BODY, 1);
    vec![
        same("good", vec![text("{ok}Content-Length: {length}\r\n\r\n{body}")], || Good),
        same("good, in HTTP/1.0", vec![text("HTTP/1.0 200 OK\r\n\r\n{body}")], || Good),
        same(
            "good, with further bytes behind it",
            vec![text("{ok}Content-Length: {length}\r\n\r\n{body}HTTP/1.1 500 Garbage\r\n\r\n")],
            || Good,
        ),
        same(
            "good, in parts",
            vec![
                text("HTTP/1.1 "),
                Wait(ms(200)),
                text("200 OK\r\nContent-Le"),
                Wait(ms(200)),
                text("ngth: {length}\r\n\r\n{half}"),
                Wait(ms(200)),
                text("{rest}"),
            ],
            || Good,
        ),
        same("closed before the response", vec![], lost),
        same("reset before the response", vec![Reset], lost),
        same("closed in the status line", vec![text("HTTP/1.1 20")], lost),
        same("reset in the status line", vec![text("HTTP/1.1 20"), Wait(ms(50)), Reset], lost),
        same("closed in the headers", vec![text("{ok}Content-Le")], lost),
        same("reset in the headers", vec![text("{ok}Content-Le"), Wait(ms(50)), Reset], lost),
        same(
            "closed before the body",
            vec![text("{ok}Content-Length: {length}\r\n\r\n")],
            unreadable,
        ),
        case(
            "closed in the body",
            vec![text("{ok}Content-Length: {length}\r\n\r\n{half}")],
            unreadable(),
            Breaks("unavailable", UNREADABLE),
        ),
        case(
            "reset in the body",
            vec![text("{ok}Content-Length: {length}\r\n\r\n{half}"), Wait(ms(50)), Reset],
            unreadable(),
            Breaks("unavailable", UNREADABLE),
        ),
        case(
            "closed in a chunk",
            vec![text("{ok}Transfer-Encoding: chunked\r\n\r\nffff\r\n{half}")],
            unreadable(),
            Breaks("unavailable", UNREADABLE),
        ),
        same(
            "a chunk without a size",
            vec![text("{ok}Transfer-Encoding: chunked\r\n\r\nzz\r\n{body}")],
            unreadable,
        ),
        case(
            "half a body, delimited by the close of the connection",
            vec![text("{ok}Connection: close\r\n\r\n{half}")],
            Fails("invalid_response", Some(200), "the body of ", 1),
            Breaks("truncated", "the stream ended before the reply did"),
        ),
        case(
            "no body",
            vec![text("{ok}Content-Length: 0\r\n\r\n")],
            Fails("invalid_response", Some(200), "the body of 0 bytes is not Claude's JSON", 1),
            Fails("truncated", Some(200), "the stream ended before the reply did", 3),
        ),
        same("text instead of HTTP", vec![text("220 mail.example.com ESMTP\r\n\r\n")], lost),
        same(
            "binary data instead of HTTP",
            vec![Send((0..=255).cycle().take(4096).collect())],
            lost,
        ),
        same("a status that is not a number", vec![text("HTTP/1.1 abc OK\r\n\r\n")], lost),
        same("an invalid header", vec![text("HTTP/1.1 200 OK\r\nnonsense\r\n\r\n{body}")], lost),
        same(
            "two values of content-length",
            vec![text("{ok}Content-Length: {length}\r\nContent-Length: 1\r\n\r\n{body}")],
            lost,
        ),
        same("endless headers", vec![Repeat(b"HTTP/1.1 200 OK\r\nA: b\r\n".to_vec())], lost),
        same("silence", vec![Hang], late),
        same("silence in the status line", vec![text("HTTP/1.1 20"), Hang], late),
        same("silence in the headers", vec![text("{ok}Content-Le"), Hang], late),
        same(
            "silence before the body",
            vec![text("{ok}Content-Length: {length}\r\n\r\n"), Hang],
            late_body,
        ),
        case(
            "silence in the body",
            vec![text("{ok}Content-Length: {length}\r\n\r\n{half}"), Hang],
            late_body(),
            Breaks("timeout", LATE_BODY),
        ),
        case(
            "a byte at a time",
            [text("{ok}Content-Length: {length}\r\n\r\n")]
                .into_iter()
                .chain((0..30).flat_map(|_| [text("\0"), Wait(ms(250))]))
                .collect(),
            late_body(),
            Fails("invalid_response", Some(200), "the CRC of a frame's prelude does not match", 1),
        ),
        case(
            "an endless body",
            vec![
                text("{ok}Transfer-Encoding: chunked\r\n\r\n"),
                Repeat(b"1000\r\n".iter().copied().chain([b' '; 4096]).chain(*b"\r\n").collect()),
            ],
            Fails(
                "invalid_response",
                Some(200),
                "cannot read the response: the body is too long",
                1,
            ),
            Fails("invalid_response", Some(200), "the CRC of a frame's prelude does not match", 1),
        ),
        case(
            "a huge body",
            vec![text("{ok}Content-Length: 9000000\r\n\r\n"), Repeat(vec![b' '; 4096])],
            Fails(
                "invalid_response",
                Some(200),
                "cannot read the response: the body is too long",
                1,
            ),
            Fails("invalid_response", Some(200), "the CRC of a frame's prelude does not match", 1),
        ),
        case(
            "another content type with a valid body",
            vec![text(
                "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: {length}\r\n\r\n{body}",
            )],
            Good,
            Fails("invalid_response", Some(200), "", 1),
        ),
        case(
            "HTML with the right content type",
            vec![text("{ok}Content-Length: 15\r\n\r\n<!doctype html>")],
            Fails("invalid_response", Some(200), "the body of 15 bytes is not Claude's JSON", 1),
            Fails("invalid_response", Some(200), "the CRC of a frame's prelude does not match", 1),
        ),
        same(
            "an uncompressed body with content-encoding: gzip",
            vec![text("{ok}Content-Encoding: gzip\r\nContent-Length: {length}\r\n\r\n{body}")],
            unreadable,
        ),
        same(
            "a redirect",
            vec![text(
                "HTTP/1.1 307 Temporary Redirect\r\nLocation: /elsewhere\r\nContent-Length: 0\r\n\r\n",
            )],
            || Fails("invalid_response", Some(307), "307 Temporary Redirect without a type", 1),
        ),
        same("no content", vec![text("HTTP/1.1 204 No Content\r\n\r\n")], || {
            Fails("invalid_response", Some(204), "204 No Content without a type", 1)
        }),
        same(
            "a proxy's 502",
            vec![text("HTTP/1.1 502 Bad Gateway\r\nContent-Length: 6\r\n\r\n<html>")],
            || Fails("unavailable", Some(502), "502 Bad Gateway without a type", 3),
        ),
        same(
            "a proxy's 504, closed in its body",
            vec![text("HTTP/1.1 504 Gateway Timeout\r\nContent-Length: 60\r\n\r\n<html>")],
            || Fails("timeout", Some(504), "504 Gateway Timeout without a type", 3),
        ),
        same(
            "a 403 whose body stalls",
            vec![
                text(
                    "HTTP/1.1 403 Forbidden\r\nx-amzn-errortype: AccessDeniedException\r\nContent-Length: 60\r\n\r\n{",
                ),
                Hang,
            ],
            || Fails("access_denied", Some(403), "403 Forbidden AccessDeniedException", 1),
        ),
        same(
            "an error type that is not a valid name",
            vec![text(
                "HTTP/1.1 400 Bad Request\r\nx-amzn-errortype: a b; c\r\nContent-Length: 0\r\n\r\n",
            )],
            || Fails("rejected", Some(400), "400 Bad Request without a type", 1),
        ),
    ]
}
