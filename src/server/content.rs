//! Content negotiation: the headers that announce a request's body, and the formats that its client accepts.

use http::header::{ACCEPT, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderMap, HeaderName};

use crate::error::{Code, Error};
use crate::headers::{request as header, request_all};
use crate::host::ReadError;

/// Accepts JSON in UTF-8. A body without a declared type is taken for JSON, which the parser finds out.
pub(super) fn check_media_type(headers: &HeaderMap) -> Result<(), Error> {
    let refuse = |message| Err(Error::new(Code::UnsupportedMediaType, message));

    let Ok(content_type) = only_distinct(headers, &CONTENT_TYPE) else {
        return refuse("the Content-Type must be application/json");
    };
    if let Some(content_type) = content_type {
        let mut parts = content_type.split(';').map(str::trim);
        let essence = parts.next().unwrap_or_default();
        let is_structured = essence.starts_with("application/") && essence.ends_with("+json");
        if essence != "application/json" && !is_structured {
            return refuse("the Content-Type must be application/json");
        }
        let charset = parts.find_map(|parameter| parameter.strip_prefix("charset="));
        if charset.is_some_and(|charset| !["utf-8", "utf8"].contains(&charset.trim_matches('"'))) {
            return refuse("the charset must be utf-8");
        }
    }
    match only_distinct(headers, &CONTENT_ENCODING).as_ref().map(Option::as_deref) {
        Ok(None | Some("identity" | "")) => Ok(()),
        _ => refuse("the body must come without a Content-Encoding"),
    }
}

/// Refuses a body that is announced to be too long.
pub(super) fn check_length(headers: &HeaderMap, limit: usize) -> Result<(), Error> {
    match announced_length(headers) {
        Some(length) if length > limit => Err(Error::unreadable(ReadError::TooLong, limit)),
        _ => Ok(()),
    }
}

/// Returns the length that a body is announced to have.
pub(super) fn announced_length(headers: &HeaderMap) -> Option<usize> {
    let text = header(headers, &CONTENT_LENGTH).and_then(|value| value.to_str().ok());
    let length = text.filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
    // A number that does not fit is too long all the same.
    length.map(|text| text.parse().unwrap_or(usize::MAX))
}

/// Returns the value of a header in lower case. Equal lines, which some platforms join with commas, are one.
fn only_distinct(headers: &HeaderMap, name: &HeaderName) -> Result<Option<String>, NotOne> {
    let mut only: Option<String> = None;
    for line in request_all(headers, name) {
        let line = line.to_str().map_err(|_| NotOne)?.to_ascii_lowercase();
        for value in list(&line) {
            if only.as_ref().is_some_and(|only| only != value) {
                return Err(NotOne);
            }
            only.get_or_insert_with(|| value.to_owned());
        }
    }
    Ok(only)
}

/// A header has several values.
struct NotOne;

/// Splits a list at the commas that are not between quotation marks.
fn list(line: &str) -> impl Iterator<Item = &str> {
    let mut is_quoted = false;
    line.split(move |character| {
        is_quoted ^= character == '"';
        character == ',' && !is_quoted
    })
    .map(str::trim)
}

/// Reports whether a client prefers Server-Sent Events to JSON, as an EventSource does: it names them, and with no lower
/// weight than JSON has.
///
/// <https://www.rfc-editor.org/rfc/rfc9110#section-12.5.1>
pub(super) fn prefers_events(headers: &HeaderMap) -> bool {
    let (mut events, mut json) = (0, [None; 3]);
    let lines = request_all(headers, &ACCEPT).filter_map(|value| value.to_str().ok());
    for range in lines.flat_map(list) {
        let mut parts = range.split(';').map(str::trim);
        let name = parts.next().unwrap_or_default().to_ascii_lowercase();
        let weight = weight(parts);
        let place = match &*name {
            "text/event-stream" => {
                events = events.max(weight);
                continue;
            }
            "application/json" => 0,
            "application/*" => 1,
            "*/*" => 2,
            _ => continue,
        };
        if let Some(place) = json.get_mut(place) {
            *place = Some(weight);
        }
    }
    // The most specific range counts.
    let json = json.into_iter().flatten().next().unwrap_or(0);
    events > 0 && events >= json
}

/// Returns the weight of a media range in thousandths. One that is not valid is not there.
fn weight<'a>(parameters: impl Iterator<Item = &'a str>) -> u32 {
    const WHOLE: u32 = 1000;
    let value = parameters
        .filter_map(|it| it.split_once('='))
        .find(|(name, _)| name.trim().eq_ignore_ascii_case("q"));
    let Some((_, value)) = value else { return WHOLE };
    let (whole, fraction) = value.trim().split_once('.').unwrap_or((value.trim(), ""));
    let digits = format!("{fraction:0<3}");
    match (whole, digits.parse::<u32>()) {
        ("1", Ok(0)) => WHOLE,
        ("0", Ok(thousandths)) if fraction.len() <= 3 && !fraction.starts_with('+') => thousandths,
        _ => WHOLE,
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn headers(name: HeaderName, lines: &[&str]) -> HeaderMap {
        let lines = lines.iter().map(|line| HeaderValue::from_str(line).unwrap());
        lines.map(|line| (name.clone(), line)).collect()
    }

    #[test]
    fn events_are_preferred_if_they_are_named_with_the_highest_weight() {
        let cases: [(&[&str], bool); 24] = [
            (&[], false),
            (&["text/event-stream"], true),
            (&["text/event-stream;q=0.1"], true),
            (&["text/event-stream;q=0.1, */*"], false),
            (&["text/event-stream;q=0.1", "*/*"], false),
            (&["*/*, text/event-stream;q=0.1"], false),
            (&["text/event-stream, */*;q=0.1"], true),
            (&["text/event-stream, */*"], true),
            (&["application/json, text/event-stream"], true),
            (&["application/json;q=0.5, text/event-stream;q=0.4"], false),
            (&["application/json;q=0.4, text/event-stream;q=0.5"], true),
            (&["application/json;q=0.4, */*, text/event-stream;q=0.5"], true),
            (&["application/*;q=0.4, */*, text/event-stream;q=0.5"], true),
            (&["application/*, text/event-stream;q=0.999"], false),
            (&["text/event-stream;q=0"], false),
            (&["text/event-stream;q=0.000"], false),
            (&["text/event-stream; q=0.001"], true),
            (&["text/event-stream;Q=0"], false),
            (&["text/event-stream;q=0.1;q=1, */*;q=0.2"], false),
            (&["text/event-stream;q=much, */*"], true),
            (&["text/event-stream;q=2, */*"], true),
            (&["text/event-stream;a=\",*/*\""], true),
            (&["text/*"], false),
            (&["text/html, text/event-stream;q=0.2"], true),
        ];
        for (lines, expected) in cases {
            assert_eq!(prefers_events(&headers(ACCEPT, lines)), expected, "{lines:?}");
        }
    }

    #[test]
    fn equal_lines_of_the_content_encoding_are_one() {
        for (lines, expected) in [
            (&["identity"][..], true),
            (&["identity", "Identity"], true),
            (&["identity, identity"], true),
            (&[""], true),
            (&["identity, gzip"], false),
            (&["gzip", "gzip"], false),
        ] {
            let result = check_media_type(&headers(CONTENT_ENCODING, lines));
            assert_eq!(result.is_ok(), expected, "{lines:?}");
        }
    }

    #[test]
    fn equal_lines_of_the_content_type_are_one() {
        const JSON: &str = "application/json";
        let cases: [(&[&str], bool); 9] = [
            (&[], true),
            (&[JSON], true),
            (&[JSON, JSON], true),
            (&["application/json, application/json"], true),
            (&["Application/JSON,application/json", JSON], true),
            (&[r#"application/json; profile="a,b""#], true),
            (&[JSON, "text/plain"], false),
            (&["text/plain", JSON], false),
            (&["application/json, application/json; charset=utf-8"], false),
        ];
        for (lines, expected) in cases {
            let result = check_media_type(&headers(CONTENT_TYPE, lines));
            assert_eq!(result.is_ok(), expected, "{lines:?}");
        }
    }
}
