//! The only edits of a body: the guardrail that the operator forces on Converse, which takes it in the body alone, and the
//! id of a model that a request to Bedrock's Messages API names otherwise. Every other byte stays.
//!
//! A body can also tell a guardrail to look at parts of it only, or at a stream too late. That is refused where the operator
//! forces one.

use std::borrow::Cow;

use bytes::Bytes;
use http::HeaderValue;
use serde_json::value::RawValue;

use crate::bedrock::{Operation, Subject};
use crate::claude::GUARDRAIL_CONFIG;
use crate::config::{Config, Endpoint, Guardrail};
use crate::error::Error;
use crate::host::KeptBody;
use crate::json::{Edits, Found, Members, Scan, elements, string, to_json};

const GUARDRAIL: &str = "guardrailConfig";
const MODEL: &str = "model";

/// The block of Converse that a guardrail looks at in place of all others.
///
/// <https://docs.aws.amazon.com/bedrock/latest/userguide/guardrails-use-converse-api.html>
const GUARDED: &str = "guardContent";

/// Reports whether the body of a request to a path may need an edit, and is read for it.
pub(crate) fn is_edited(path: &str, config: &Config) -> bool {
    Operation::find(path).is_some_and(|(operation, _)| {
        operation.subject() == Subject::Body
            || operation.is_converse() && config.guardrail.is_some()
    })
}

/// Returns the members of a body.
fn members(body: &Bytes) -> Result<(&str, Members<'_>), Error> {
    let text = std::str::from_utf8(body).map_err(|_| not_an_object())?;
    let members = serde_json::from_str(text).map_err(|_| not_an_object())?;
    Ok((text, members))
}

fn not_an_object() -> Error {
    Error::invalid("The body is not a JSON object.")
}

/// Returns the only member of a name.
fn only<'a>(Members(members): &Members<'a>, wanted: &str) -> Result<Option<&'a RawValue>, Error> {
    let mut values = members.iter().filter(|(name, _)| name == wanted).map(|(_, value)| *value);
    match (values.next(), values.next()) {
        (_, Some(_)) => Err(Error::invalid(format!("{wanted}: expected once"))),
        (value, None) => Ok(value),
    }
}

/// Returns the model that the body of a request to the Messages API names.
pub(super) fn model(body: &Bytes) -> Result<String, Error> {
    let (_, members) = members(body)?;
    let name = only(&members, MODEL)?.and_then(string);
    name.map(Into::into).ok_or_else(|| Error::invalid("model: expected a string"))
}

/// Makes a body name an endpoint's model by its id.
pub(super) fn with_model(body: &Bytes, endpoint: &Endpoint) -> Result<KeptBody, Error> {
    let (text, members) = members(body)?;
    let mut edits = Edits::new(text);
    if let Some(value) = only(&members, MODEL)?
        && string(value).as_deref() != Some(&endpoint.model_id)
    {
        edits.replace(value, to_json(&endpoint.model_id));
    }
    Ok(edited(edits, body))
}

/// Checks that a body of InvokeModel does not weaken the operator's guardrail.
///
/// # Errors
///
/// If it does, or if it is not JSON in UTF-8, of which one cannot tell.
pub(super) fn check_guarded(body: &KeptBody) -> Result<(), Error> {
    let mut scan = Scan::new(&[GUARDRAIL_CONFIG], 0);
    body.scan(|part| {
        scan.push(part);
        !scan.is_over()
    });
    match scan.found(GUARDRAIL_CONFIG) {
        Found::Missing if scan.is_complete() => Ok(()),
        Found::Missing => Err(not_an_object()),
        Found::Once(_) | Found::Unclear => Err(weakened(GUARDRAIL_CONFIG)),
    }
}

/// Describes that a body would limit what the operator's guardrail looks at.
fn weakened(name: &str) -> Error {
    Error::invalid(format!("{name} is not allowed here: the guardrail looks at all content."))
}

/// Returns all members of the objects in a list.
fn members_in(list: &RawValue) -> impl Iterator<Item = (Cow<'_, str>, &RawValue)> {
    let objects = elements(list).into_iter();
    let objects = objects.filter_map(|it| serde_json::from_str::<Members<'_>>(it.get()).ok());
    objects.flat_map(|Members(members)| members)
}

/// Checks that no block of a body of Converse is one that the guardrail looks at in place of all others.
fn check_blocks(Members(members): &Members<'_>) -> Result<(), Error> {
    let is_guarded = |list| members_in(list).any(|(name, _)| name == GUARDED);
    let is_weakened = members.iter().any(|(name, list)| match &**name {
        "system" => is_guarded(list),
        "messages" => {
            members_in(list).any(|(name, content)| name == "content" && is_guarded(content))
        }
        _ => false,
    });
    if is_weakened { Err(weakened(GUARDED)) } else { Ok(()) }
}

/// Makes the operator's guardrail that of a body of Converse. Returns also whether the caller's own was replaced.
///
/// # Errors
///
/// If the body would limit what the guardrail looks at, or is not a JSON object.
pub(super) fn with_guardrail(
    body: &Bytes,
    guardrail: &Guardrail,
) -> Result<(KeptBody, bool), Error> {
    let (text, members) = members(body)?;
    check_blocks(&members)?;
    let forced = json_of(guardrail);
    let mut edits = Edits::new(text);
    let own = only(&members, GUARDRAIL)?;
    let is_other = own.is_some_and(|own| !is_same(own, guardrail));
    match own {
        Some(own) if is_other => edits.replace(own, forced),
        Some(_) => {}
        None if members.0.is_empty() => {
            return Ok((Bytes::from(format!("{{\"{GUARDRAIL}\":{forced}}}")).into(), false));
        }
        None => edits.insert(text.trim_ascii(), format!("\"{GUARDRAIL}\":{forced},")),
    }
    Ok((edited(edits, body), is_other))
}

/// Applies edits. The memory of the body counts as long as the result lives.
fn edited(edits: Edits<'_>, body: &Bytes) -> KeptBody {
    if edits.is_empty() {
        return body.clone().into();
    }
    KeptBody::from(Bytes::from(edits.apply())).guarded(body.clone())
}

fn json_of(Guardrail { id, version }: &Guardrail) -> String {
    let [id, version] = [id, version].map(|it| to_json(&it.to_str().unwrap_or_default()));
    format!(r#"{{"guardrailIdentifier":{id},"guardrailVersion":{version}}}"#)
}

/// Reports whether a caller's guardrail is the operator's, in the same mode. A `trace` takes nothing off.
fn is_same(own: &RawValue, Guardrail { id, version }: &Guardrail) -> bool {
    let Ok(own) = serde_json::from_str::<Members<'_>>(own.get()) else { return false };
    let value = |name| only(&own, name).ok().flatten().and_then(string);
    let is = |name, expected: &HeaderValue| {
        value(name).is_some_and(|value| value.as_bytes() == expected.as_bytes())
    };
    is("guardrailIdentifier", id)
        && is("guardrailVersion", version)
        && own.0.iter().all(|(name, value)| match &**name {
            "guardrailIdentifier" | "guardrailVersion" | "trace" => true,
            // In the other mode a stream passes before the guardrail has looked at it.
            "streamProcessingMode" => string(value).as_deref() == Some("sync"),
            _ => false,
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guardrail() -> Guardrail {
        let (id, version) = (HeaderValue::from_static("abc"), HeaderValue::from_static("DRAFT"));
        Guardrail { id, version }
    }

    fn bytes(body: &KeptBody) -> String {
        String::from_utf8(body.content::<Bytes>().unwrap().to_vec()).unwrap()
    }

    #[test]
    fn the_operators_guardrail_is_in_every_body_of_converse() {
        const FORCED: &str = r#"{"guardrailIdentifier":"abc","guardrailVersion":"DRAFT"}"#;
        let with = |own: &str| format!(r#"{{"messages": [], "guardrailConfig" : {own} }}"#);
        let same = r#"{"guardrailVersion":"DRAFT","trace":"enabled","guardrailIdentifier":"abc"}"#;
        let escaped = r#"{"guardrail\u0043onfig":{}}"#;
        #[rustfmt::skip]
        let cases = [
            ("none", r#" {"messages": [] } "#.to_owned(), format!(r#" {{"guardrailConfig":{FORCED},"messages": [] }} "#), false),
            ("no members", "{}".to_owned(), format!(r#"{{"guardrailConfig":{FORCED}}}"#), false),
            ("the same", with(same), with(same), false),
            ("another", with(r#"{"guardrailIdentifier":"x","guardrailVersion":"1"}"#), with(FORCED), true),
            ("another version", with(r#"{"guardrailIdentifier":"abc","guardrailVersion":"1"}"#), with(FORCED), true),
            ("twice the identifier", with(r#"{"guardrailIdentifier":"abc","guardrailIdentifier":"x","guardrailVersion":"DRAFT"}"#), with(FORCED), true),
            ("null", with("null"), with(FORCED), true),
            ("the default mode", with(&same.replace("enabled\"", "enabled\",\"streamProcessingMode\":\"sync\"")), with(&same.replace("enabled\"", "enabled\",\"streamProcessingMode\":\"sync\"")), false),
            ("the mode in which a stream is not held back", with(&same.replace("enabled\"", "enabled\",\"streamProcessingMode\":\"async\"")), with(FORCED), true),
            ("with a member that is not known", with(&same.replace("trace", "new")), with(FORCED), true),
            ("blocks that are not for it", r#"{"guardrailConfig":FORCED,"messages":[{"content":[{"text":"guardContent"},{"toolResult":{"content":[{"json":{"guardContent":1}}]}}]}],"system":[{"text":"a"}]}"#.replace("FORCED", FORCED), r#"{"guardrailConfig":FORCED,"messages":[{"content":[{"text":"guardContent"},{"toolResult":{"content":[{"json":{"guardContent":1}}]}}]}],"system":[{"text":"a"}]}"#.replace("FORCED", FORCED), false),
            ("with an escape in its name", escaped.to_owned(), escaped.replace("{}", FORCED), true),
        ];
        for (name, body, expected, is_replaced) in cases {
            let body = Bytes::from(body);
            let (edited, was_other) = with_guardrail(&body, &guardrail()).unwrap();
            assert_eq!((bytes(&edited), was_other), (expected, is_replaced), "{name}");
        }
        for body in ["", "[]", "{", "\u{feff}{}", r#"{"guardrailConfig":{},"guardrailConfig":{}}"#]
        {
            let body = Bytes::from(body);
            assert!(with_guardrail(&body, &guardrail()).is_err(), "{body:?}");
        }
    }

    #[test]
    fn a_body_cannot_limit_what_the_operators_guardrail_looks_at() {
        const BLOCK: &str = r#"{"guardContent":{"text":{"text":"harmless"}}}"#;
        for body in [
            r#"{"messages":[{"role":"user","content":[{"text":"forbidden"},BLOCK]}]}"#,
            r#"{"messages":[{"content":[]},{"content":[{"text":"a"}],"content":[BLOCK]}]}"#,
            r#"{"messages":[],"messages":[{"content":[BLOCK]}]}"#,
            r#"{"system":[{"text":"forbidden"},BLOCK]}"#,
        ] {
            for block in [BLOCK, &BLOCK.replace("guardC", "guard\\u0043")] {
                let body = Bytes::from(body.replace("BLOCK", block));
                let error = with_guardrail(&body, &guardrail()).unwrap_err();
                let message =
                    "guardContent is not allowed here: the guardrail looks at all content.";
                assert_eq!(error.message, message, "{body:?}");
            }
        }

        let member = r#""amazon-bedrock-guardrailConfig":{"tagSuffix":"xyz"}"#;
        let utf_16 =
            |text: &str| -> Vec<u8> { text.encode_utf16().flat_map(u16::to_le_bytes).collect() };
        for (body, is_accepted) in [
            (b"{}".to_vec(), true),
            (
                br#" {"messages":[{"content":"{\"amazon-bedrock-guardrailConfig\":1}"}]} "#
                    .to_vec(),
                true,
            ),
            (format!(r#"{{"a":{{{member}}}}}"#).into_bytes(), true),
            (format!("{{{member}}}").into_bytes(), false),
            (format!(r#"{{"messages":[],{member}}}"#).into_bytes(), false),
            (format!(r#"{{"messages":[],{member},{member}}}"#).into_bytes(), false),
            (format!("{{{}}}", member.replace("amazon", "am\\u0061zon")).into_bytes(), false),
            (format!("\u{feff}{{{member}}}").into_bytes(), false),
            (utf_16(&format!("{{{member}}}")), false),
            (format!(r#"{{"messages":[],{member}"#).into_bytes(), false),
            (b"[]".to_vec(), false),
            (Vec::new(), false),
        ] {
            let kept = KeptBody::from(Bytes::from(body.clone()));
            let body = String::from_utf8_lossy(&body);
            assert_eq!(check_guarded(&kept).is_ok(), is_accepted, "{body}");
        }
    }
}
