//! The only edits of a body: the guardrail that the operator forces on Converse, which takes it in the body alone, and the
//! id of a model that a request to Bedrock's Messages API names otherwise. Every other byte stays.

use bytes::Bytes;
use http::HeaderValue;
use serde_json::value::RawValue;

use crate::bedrock::{Operation, Subject};
use crate::config::{Config, Endpoint, Guardrail};
use crate::error::Error;
use crate::host::KeptBody;
use crate::json::{Edits, Members, string, to_json};

const GUARDRAIL: &str = "guardrailConfig";
const MODEL: &str = "model";

/// Reports whether the body of a request to a path may need an edit, and is read for it.
pub(crate) fn is_edited(path: &str, config: &Config) -> bool {
    Operation::find(path).is_some_and(|(operation, _)| {
        operation.subject() == Subject::Body
            || operation.is_converse() && config.guardrail.is_some()
    })
}

/// Returns the members of a body.
fn members(body: &Bytes) -> Result<(&str, Members<'_>), Error> {
    let invalid = || Error::invalid("The body is not a JSON object.");
    let text = std::str::from_utf8(body).map_err(|_| invalid())?;
    let members = serde_json::from_str(text).map_err(|_| invalid())?;
    Ok((text, members))
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

/// Makes the operator's guardrail that of a body of Converse. Returns also whether the caller's own was replaced.
pub(super) fn with_guardrail(
    body: &Bytes,
    guardrail: &Guardrail,
) -> Result<(KeptBody, bool), Error> {
    let (text, members) = members(body)?;
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

/// Reports whether a caller's guardrail is the operator's. What else is in it, such as `trace`, takes nothing off.
fn is_same(own: &RawValue, Guardrail { id, version }: &Guardrail) -> bool {
    let Ok(own) = serde_json::from_str::<Members<'_>>(own.get()) else { return false };
    let is = |name: &str, expected: &HeaderValue| {
        let value = only(&own, name).ok().flatten().and_then(string);
        value.is_some_and(|value| value.as_bytes() == expected.as_bytes())
    };
    is("guardrailIdentifier", id) && is("guardrailVersion", version)
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
}
