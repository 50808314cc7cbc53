//! Content negotiation: the headers that announce a request's body, and the formats that its client accepts.

use http::HeaderMap;
use http::header::{ACCEPT, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE};

use crate::error::{Code, Error};
use crate::headers::{request as header, request_all};
use crate::host::ReadError;

/// Accepts JSON in UTF-8. A body without a declared type is taken for JSON, which the parser finds out.
pub(super) fn check_media_type(headers: &HeaderMap) -> Result<(), Error> {
    let value = |name| match header(headers, name) {
        None => Ok(None),
        Some(value) => value.to_str().map(|text| Some(text.to_ascii_lowercase())),
    };
    let refuse = |message| Err(Error::new(Code::UnsupportedMediaType, message));

    let Ok(content_type) = value(&CONTENT_TYPE) else {
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
    match value(&CONTENT_ENCODING).as_ref().map(Option::as_deref) {
        Ok(None | Some("identity" | "")) => Ok(()),
        _ => refuse("the body must come without a Content-Encoding"),
    }
}

/// Refuses a body that is announced to be too long.
pub(super) fn check_length(headers: &HeaderMap, limit: usize) -> Result<(), Error> {
    let text = header(headers, &CONTENT_LENGTH).and_then(|value| value.to_str().ok());
    let length = text.filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
    // A number that does not fit is too long all the same.
    match length.map(|text| text.parse().unwrap_or(u64::MAX)) {
        Some(length) if length > limit as u64 => Err(Error::unreadable(ReadError::TooLong, limit)),
        _ => Ok(()),
    }
}

/// Reports whether a client accepts Server-Sent Events, as an EventSource asks for them.
pub(super) fn accepts_events(headers: &HeaderMap) -> bool {
    let accepted = request_all(headers, &ACCEPT).filter_map(|value| value.to_str().ok());
    accepted.flat_map(|value| value.split(',')).any(|range| {
        let mut parts = range.split(';').map(str::trim);
        let is_events = parts.next().is_some_and(|it| it.eq_ignore_ascii_case("text/event-stream"));
        // `q=0` refuses it.
        let is_zero = |parameter: &str| {
            parameter
                .strip_prefix("q=0")
                .is_some_and(|rest| rest.bytes().all(|it| b".0".contains(&it)))
        };
        is_events && !parts.any(is_zero)
    })
}
