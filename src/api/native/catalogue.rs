//! The lists of inference profiles and foundation models: those that callers may use, by the table and the configuration.
//! The account is never asked.
//!
//! <https://docs.aws.amazon.com/bedrock/latest/APIReference/API_ListInferenceProfiles.html>
//! <https://docs.aws.amazon.com/bedrock/latest/APIReference/API_ListFoundationModels.html>

use percent_encoding::percent_decode_str;
use serde::Serialize;

use crate::aws::{partition, without_profile};
use crate::claude::Feature;
use crate::config::{Config, Endpoint};
use crate::error::{AwsWords, Code, Error};
use crate::json::to_json;

const PROFILES: &str = "/inference-profiles";
const MODELS: &str = "/foundation-models";

/// Unknown. AWS's clients parse a time.
const CREATED: &str = "1970-01-01T00:00:00Z";

/// Reports whether a path is that of a list, or of one of its entries.
pub(crate) fn is_path(path: &str) -> bool {
    let below = |root| {
        path.strip_prefix(root)
            .is_some_and(|it: &str| it.is_empty() || it.len() > 1 && it.starts_with('/'))
    };
    below(PROFILES) || below(MODELS)
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Profile {
    inference_profile_name: String,
    inference_profile_arn: String,
    inference_profile_id: String,
    models: [ProfileModel; 1],
    status: &'static str,
    r#type: &'static str,
    created_at: &'static str,
    updated_at: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ProfileModel {
    model_arn: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct FoundationModel {
    model_arn: String,
    model_id: String,
    model_name: String,
    provider_name: String,
    input_modalities: &'static [&'static str],
    output_modalities: [&'static str; 1],
    response_streaming_supported: bool,
    customizations_supported: [&'static str; 0],
    inference_types_supported: [&'static str; 1],
    model_lifecycle: Lifecycle,
}

#[derive(Serialize)]
struct Lifecycle {
    status: &'static str,
}

/// Renders a list, or one of its entries.
///
/// # Errors
///
/// If there is no such entry.
pub(crate) fn find(path: &str, query: &str, config: &Config) -> Result<String, Error> {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Profiles {
        inference_profile_summaries: Vec<Profile>,
    }
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Models {
        model_summaries: Vec<FoundationModel>,
    }
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Details {
        model_details: FoundationModel,
    }
    let name = |rest: &str| -> Option<String> {
        let name = percent_decode_str(rest.strip_prefix('/')?).decode_utf8_lossy();
        // The id is the last part of an ARN.
        Some(name.rsplit('/').next()?.to_owned())
    };
    let parameter = |wanted: &str| {
        let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
        pairs.find(|(name, _)| *name == wanted).map(|(_, value)| value)
    };
    if let Some(rest) = path.strip_prefix(PROFILES) {
        let mut profiles = profiles(config);
        return match name(rest) {
            Some(name) => {
                let found = profiles.into_iter().find(|it| it.inference_profile_id == name);
                found.map(|it| to_json(&it)).ok_or_else(missing)
            }
            None => {
                if parameter("type").or(parameter("typeEquals")).is_some_and(|it| it != SYSTEM) {
                    profiles.clear();
                }
                Ok(to_json(&Profiles { inference_profile_summaries: profiles }))
            }
        };
    }
    let models = models(config);
    match name(path.strip_prefix(MODELS).unwrap_or_default()) {
        Some(name) => {
            let found = models.into_iter().find(|it| it.model_id == name);
            found.map(|it| to_json(&Details { model_details: it })).ok_or_else(missing)
        }
        None => {
            let has = |name, values: &[&str]| {
                let matches = |wanted| values.iter().any(|it| it.eq_ignore_ascii_case(wanted));
                parameter(name).is_none_or(matches)
            };
            let is_wanted = |it: &FoundationModel| {
                has("byProvider", &[&it.provider_name])
                    && has("byOutputModality", &it.output_modalities)
                    && has("byInferenceType", &it.inference_types_supported)
                    && has("byCustomizationType", &it.customizations_supported)
            };
            Ok(to_json(&Models { model_summaries: models.into_iter().filter(is_wanted).collect() }))
        }
    }
}

const SYSTEM: &str = "SYSTEM_DEFINED";

/// AWS's words for an entry that is not there.
const MISSING: &AwsWords =
    &("ResourceNotFoundException", "The provided model identifier is invalid.");

fn missing() -> Error {
    let error = Error::new(Code::NotFound, MISSING.1);
    Error { in_aws_words: Some(MISSING), ..error }
}

/// Returns the id of a profile without its prefix: that of its model.
fn base_id(endpoint: &Endpoint) -> Option<&str> {
    // An ARN contains the account.
    let id = Some(&*endpoint.model_id).filter(|id| !id.starts_with("arn:"))?;
    match endpoint.model {
        // The table also knows profiles of prefixes that are new.
        Some(model) if id.ends_with(model.id) => Some(model.id),
        // The name of a model may have dots, too: `deepseek.v3.2`.
        _ => Some(without_profile(id)),
    }
}

fn arn(endpoint: &Endpoint, resource: &str) -> String {
    let region = &endpoint.region;
    format!("arn:{}:bedrock:{region}::{resource}", partition(region))
}

fn display_name(endpoint: &Endpoint, id: &str) -> String {
    endpoint.model.map_or(id, |model| model.name).to_owned()
}

/// Returns the inference profiles that callers may use.
fn profiles(config: &Config) -> Vec<Profile> {
    let profile = |endpoint: &Endpoint| {
        let base = base_id(endpoint).filter(|base| *base != endpoint.model_id)?;
        let id = endpoint.model_id.clone();
        Some(Profile {
            inference_profile_name: display_name(endpoint, base),
            inference_profile_arn: arn(endpoint, &format!("inference-profile/{id}")),
            inference_profile_id: id,
            models: [ProfileModel {
                model_arn: arn(endpoint, &format!("foundation-model/{base}")),
            }],
            status: "ACTIVE",
            r#type: SYSTEM,
            created_at: CREATED,
            updated_at: CREATED,
        })
    };
    config.callable().filter_map(profile).collect()
}

/// Returns the foundation models of these profiles, and those that callers may use without one.
fn models(config: &Config) -> Vec<FoundationModel> {
    let mut models: Vec<FoundationModel> = Vec::new();
    for endpoint in config.callable() {
        let Some(id) = base_id(endpoint) else { continue };
        if models.iter().any(|it| it.model_id == id) {
            continue;
        }
        let provider = id.split_once('.').map_or("", |(provider, _)| provider);
        models.push(FoundationModel {
            model_arn: arn(endpoint, &format!("foundation-model/{id}")),
            model_id: id.to_owned(),
            model_name: display_name(endpoint, id),
            provider_name: capitalized(provider),
            input_modalities: match endpoint.model {
                Some(model) if model.refuses(Feature::Images) => &["TEXT"],
                _ => &["TEXT", "IMAGE"],
            },
            output_modalities: ["TEXT"],
            response_streaming_supported: true,
            customizations_supported: [],
            inference_types_supported: [if id == endpoint.model_id {
                "ON_DEMAND"
            } else {
                "INFERENCE_PROFILE"
            }],
            model_lifecycle: Lifecycle { status: "ACTIVE" },
        });
    }
    models
}

fn capitalized(word: &str) -> String {
    let mut letters = word.chars();
    let first = letters.next().map(|first| first.to_ascii_uppercase());
    first.into_iter().chain(letters).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::config;

    #[test]
    fn a_model_is_listed_by_its_own_id_and_for_what_it_takes() {
        let models = "amazon.nova-micro-v1:0, deepseek.v3.2, us.amazon.nova-lite-v1:0, us.new.a.b, new.a, a.b.c";
        let vars = [
            ("BEDROCK_REGION", "us-east-1"),
            ("BEDROCK_MODEL_ID", "us.anthropic.claude-opus-5"),
            ("ALLOWED_MODELS", models),
        ];
        let config = config(&vars).unwrap();
        let list = |path, entries: &str, name: &str| -> Vec<(String, usize)> {
            let list: serde_json::Value =
                serde_json::from_str(&find(path, "", &config).unwrap()).unwrap();
            let entries = list[entries].as_array().unwrap().iter();
            let inputs =
                |it: &serde_json::Value| it["inputModalities"].as_array().map_or(0, Vec::len);
            entries.map(|it| (it[name].as_str().unwrap().to_owned(), inputs(it))).collect()
        };
        let models = [
            ("anthropic.claude-opus-5", 2),
            ("amazon.nova-micro-v1:0", 1),
            ("deepseek.v3.2", 1),
            ("amazon.nova-lite-v1:0", 2),
            ("new.a.b", 2),
            ("new.a", 2),
            ("a.b.c", 2),
        ];
        let models = models.map(|(id, inputs)| (id.to_owned(), inputs));
        assert_eq!(list(MODELS, "modelSummaries", "modelId"), models);
        let profiles = ["us.anthropic.claude-opus-5", "us.amazon.nova-lite-v1:0", "us.new.a.b"];
        let profiles = profiles.map(|id| (id.to_owned(), 0));
        assert_eq!(list(PROFILES, "inferenceProfileSummaries", "inferenceProfileId"), profiles);
    }
}
