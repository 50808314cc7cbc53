//! The payload of a call, and the parts of it that are left out when a model refuses them.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;

use super::{Call, ConverseModel, Conversed, Operation, Payload, Variant};
use crate::bedrock::error::InvokeError;
use crate::claude::{Codec, Feature, build_payload, names_field};
use crate::config::{Authentication, Endpoint};
use crate::converse::{self, CACHE_CONTROL, Converted};
use crate::error::Error;
use crate::host::Host;
use crate::identifier::readable;
use crate::log::Record;

/// The only optional field that the Worker adds to a prompt by itself.
const TEMPERATURE: &str = "temperature";

impl<H: Host> Call<'_, H> {
    /// Chooses the payload for an endpoint whose model has just refused `parts`.
    pub(super) fn variant(&self, endpoint: &Endpoint, parts: Option<&Vec<String>>) -> Variant {
        let mut without = parts.cloned().unwrap_or_default();
        let is_converse = endpoint.codec == Codec::Converse;
        if is_converse && self.state.refused.contains(&endpoint.model_id, CACHE_CONTROL) {
            without.push(CACHE_CONTROL.to_owned());
        }
        let may_add =
            self.request.translated.is_none() && !without.iter().any(|it| it == TEMPERATURE);
        let added_temperature = if may_add { self.default_temperature(endpoint) } else { None };
        let native_model = self.request.translated.as_ref().and_then(|it| it.native_model.as_ref());
        let native_model = native_model.map(|_| endpoint.model_id.clone());
        let converse = is_converse.then_some(ConverseModel { row: endpoint.model });
        Variant { added_temperature, without, native_model, converse }
    }

    /// Returns the parts of a payload that Bedrock refused by name and that the reply does not depend on.
    pub(super) fn removable_parts(&self, error: &InvokeError, payload: &Payload) -> Vec<String> {
        if payload.converse.is_some() && error.is_of_cache() {
            let json = std::str::from_utf8(&payload.json).unwrap_or_default();
            let has_cache = json.contains(r#""cachePoint""#);
            return if has_cache { vec![CACHE_CONTROL.to_owned()] } else { Vec::new() };
        }
        let Some(message) = error.rejection() else { return Vec::new() };
        if let Some(translated) = &payload.translated {
            return translated.removable_parts(message);
        }
        let has_temperature = payload.variant.added_temperature.is_some();
        let is_refused = has_temperature && names_field(message, TEMPERATURE);
        if is_refused { vec![TEMPERATURE.to_owned()] } else { Vec::new() }
    }

    /// Remembers that a model has refused parts of a payload.
    pub(super) fn remember(&self, parts: &[String], endpoint: &Endpoint, record: &mut Record) {
        let is_new = |part: &&String| self.state.refused.insert(&endpoint.model_id, part);
        let new: Vec<String> = parts.iter().filter(is_new).map(|part| readable(part)).collect();
        if !new.is_empty() {
            record.dropped_field = Some(new.join(","));
        }
        if self.request.translated.is_some() {
            record.removed.extend_from_slice(parts);
        }
    }

    /// Returns the configured temperature, unless the caller has set one or the model is known to refuse it.
    fn default_temperature(&self, endpoint: &Endpoint) -> Option<f64> {
        let is_refused = || {
            endpoint.refuses(Feature::Sampling)
                || self.state.refused.contains(&endpoint.model_id, TEMPERATURE)
        };
        match self.request.temperature {
            None if !is_refused() => self.config.temperature,
            _ => None,
        }
    }

    /// Makes the payload, and records what was removed from the caller's body for it.
    pub(super) async fn payload(
        &self,
        variant: Variant,
        record: &mut Record,
    ) -> Result<Payload, Error> {
        let (json, translated) = match &self.request.translated {
            Some(translated) => {
                let model_id = variant.native_model.as_deref().unwrap_or_default();
                let translated = match variant.converse {
                    Some(_) => translated.clone(),
                    None => translated.adapt(&variant.without, model_id)?,
                };
                let json = match self.operation {
                    Operation::CountTokens => to_be_counted(&translated.json),
                    Operation::Invoke | Operation::Stream => translated.json.clone(),
                };
                (json, Some(translated))
            }
            None => {
                let json = build_payload(self.request, variant.added_temperature).to_json();
                (Bytes::from(json.map_err(|error| self.public(error.into()))?), None)
            }
        };
        let (json, converse) = match variant.converse {
            Some(model) => {
                let tier = translated.as_ref().and_then(|it| it.service_tier);
                let (json, facts) = self.converse(&json, model, &variant.without, tier, record)?;
                (json, Some(facts))
            }
            None => (json, None),
        };
        let hash = match &self.config.authentication {
            Authentication::ApiKey(_) => [0; 32],
            _ => self.host.sha256(&json).await,
        };
        Ok(Payload { variant, json, translated, converse, hash })
    }

    /// Converts a payload for Converse.
    fn converse(
        &self,
        json: &[u8],
        model: ConverseModel,
        without: &[String],
        service_tier: Option<&str>,
        record: &mut Record,
    ) -> Result<(Bytes, Conversed), Error> {
        let guardrail = self.config.guardrail.as_ref();
        let guardrail =
            guardrail.and_then(|it| Some((it.id.to_str().ok()?, it.version.to_str().ok()?)));
        let target = converse::Target {
            model: model.row,
            guardrail,
            service_tier,
            has_refused: &|part| without.iter().any(|it| it == part),
        };
        // It was written from text.
        let json = std::str::from_utf8(json).unwrap_or_default();
        let Converted { json, names, is_whole, removed } = converse::from_claude(json, &target)?;
        for place in removed {
            if !record.removed.contains(&place) {
                record.removed.push(place);
            }
        }
        Ok((json.into(), Conversed { names, is_whole }))
    }
}

/// Wraps a body of InvokeModel for CountTokens.
///
/// <https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_CountTokens.html>
fn to_be_counted(body: &[u8]) -> Bytes {
    let mut json = String::from(r#"{"input":{"invokeModel":{"body":""#);
    STANDARD.encode_string(body, &mut json);
    json.push_str(r#""}}}"#);
    json.into()
}
