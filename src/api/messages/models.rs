//! The list of models in the form of Anthropic's Models API.
//!
//! <https://docs.claude.com/en/api/models-list>

use percent_encoding::percent_decode_str;
use serde::Serialize;

use crate::config::{Config, Endpoint};
use crate::error::{Code, Error};
use crate::json::to_json;

const DEFAULT_LIMIT: usize = 20;
const MAX_LIMIT: usize = 1000;

#[derive(Serialize)]
struct Entry<'a> {
    r#type: &'static str,
    id: &'a str,
    display_name: String,
    /// Unknown, for which Anthropic promises this value.
    created_at: &'static str,
}

#[derive(Serialize)]
struct Page<'a> {
    data: &'a [Entry<'a>],
    has_more: bool,
    first_id: Option<&'a str>,
    last_id: Option<&'a str>,
}

impl<'a> Entry<'a> {
    /// Describes a model by its public name, or by its id if it has none. An ARN, which contains the account, is not
    /// listed.
    fn new(endpoint: &'a Endpoint) -> Option<Self> {
        let id = match endpoint.model {
            Some(model) => model.name,
            None if endpoint.model_id.starts_with("arn:") => return None,
            None => &endpoint.model_id,
        };
        Some(Self {
            r#type: "model",
            id,
            display_name: display_name(id),
            created_at: "1970-01-01T00:00:00Z",
        })
    }
}

/// Writes `claude-opus-4-5` as Claude Opus 4.5.
fn display_name(id: &str) -> String {
    let mut name = String::new();
    let mut is_version = false;
    for word in id.split('-') {
        let is_number = word.bytes().all(|byte| byte.is_ascii_digit());
        if !name.is_empty() {
            name.push(if is_version && is_number { '.' } else { ' ' });
        }
        is_version = is_number;
        let mut letters = word.chars();
        name.extend(letters.next().map(|first| first.to_ascii_uppercase()));
        name.push_str(letters.as_str());
    }
    name
}

fn entries(config: &Config) -> Vec<Entry<'_>> {
    let mut entries: Vec<Entry<'_>> = Vec::new();
    for entry in config.callable().filter_map(Entry::new) {
        if !entries.iter().any(|known| known.id == entry.id) {
            entries.push(entry);
        }
    }
    entries
}

/// Renders the page of the list that a query asks for.
///
/// # Errors
///
/// If the query is not one of the Models API.
pub(crate) fn list(query: &str, config: &Config) -> Result<String, Error> {
    let entries = entries(config);
    let (mut limit, mut from, mut to) = (DEFAULT_LIMIT, 0, entries.len());
    let mut is_backward = false;
    for (name, value) in query.split('&').filter_map(|pair| pair.split_once('=')) {
        let value = percent_decode_str(value).decode_utf8_lossy();
        let place = || {
            let place = entries.iter().position(|entry| entry.id == value);
            place.ok_or_else(|| Error::invalid(format!("{name}: expected an id of the list")))
        };
        match name {
            "limit" => {
                limit = value.parse().ok().filter(|it| (1..=MAX_LIMIT).contains(it)).ok_or_else(
                    || Error::invalid(format!("limit: expected a number from 1 to {MAX_LIMIT}")),
                )?;
            }
            "after_id" => from = place()? + 1,
            "before_id" => (to, is_backward) = (place()?, true),
            _ => {}
        }
    }
    let selected = entries.get(from..to).unwrap_or_default();
    let more = selected.len().saturating_sub(limit);
    let data =
        if is_backward { selected.get(more..) } else { selected.get(..selected.len() - more) };
    let data = data.unwrap_or_default();
    Ok(to_json(&Page {
        data,
        has_more: more > 0,
        first_id: data.first().map(|entry| entry.id),
        last_id: data.last().map(|entry| entry.id),
    }))
}

/// Renders one model: that of a public name or an id, as it is written in a path.
///
/// # Errors
///
/// If callers may not use it.
pub(crate) fn find(name: &str, config: &Config) -> Result<String, Error> {
    let name = percent_decode_str(name).decode_utf8_lossy();
    let found = config.find_model(Some(&name));
    let entry = found.as_deref().and_then(Entry::new);
    entry.map(|entry| to_json(&entry)).ok_or_else(|| unknown_model(&name))
}

/// Describes that callers may not use a model.
pub(super) fn unknown_model(name: &str) -> Error {
    let name: String = name.chars().take(128).collect();
    let message =
        format!("model: {name} is not available here: GET /v1/models lists those that are");
    Error::new(Code::ModelNotAllowed, message)
}
