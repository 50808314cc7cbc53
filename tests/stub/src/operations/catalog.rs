//! The catalog of models and inference profiles: `ListInferenceProfiles`, `GetInferenceProfile`,
//! `ListFoundationModels` and `GetFoundationModel`. They belong to the service `bedrock`, whose host
//! is another one; the stand-in serves both.
//!
//! Out of scope: the filters but `type`, and application inference profiles.

use std::collections::HashMap;
use std::sync::Arc;

use axum::extract::{Extension, Path, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use percent_encoding::percent_decode_str;
use serde_json::{Value, json};

use super::{Target, authenticate};
use crate::error::AwsError;
use crate::models::Model;
use crate::server::{LogFields, Shared};
use crate::sigv4::Received;

/// The account of AWS's documentation.
const ACCOUNT: &str = "123456789012";

/// The time at which every profile was created and updated.
const CREATED: &str = "2026-01-01T00:00:00Z";

/// The entries of a page, unless `maxResults` says otherwise.
const PAGE: usize = 100;

type PathParts = Path<HashMap<String, String>>;

/// Handles `ListInferenceProfiles`.
pub(crate) async fn inference_profiles(
    State(shared): State<Arc<Shared>>,
    path: PathParts,
    Extension(received): Extension<Arc<Received>>,
) -> Response {
    let list = |region: &str| {
        if query(&received, "type").is_some_and(|kind| kind == "APPLICATION") {
            return Ok(json!({ "inferenceProfileSummaries": [] }));
        }
        page(&received, profiles(region), "inferenceProfileSummaries")
    };
    respond(&shared, path, &received, |region, _| list(region))
}

/// Handles `GetInferenceProfile`.
pub(crate) async fn inference_profile(
    State(shared): State<Arc<Shared>>,
    path: PathParts,
    Extension(received): Extension<Arc<Received>>,
) -> Response {
    respond(&shared, path, &received, |region, id| {
        let is_wanted = |profile: &Value| {
            profile["inferenceProfileId"] == id || profile["inferenceProfileArn"] == id
        };
        profiles(region)
            .into_iter()
            .find(is_wanted)
            .ok_or_else(|| not_found(format!("Inference profile {id} could not be found.")))
    })
}

/// Handles `ListFoundationModels`.
pub(crate) async fn foundation_models(
    State(shared): State<Arc<Shared>>,
    path: PathParts,
    Extension(received): Extension<Arc<Received>>,
) -> Response {
    respond(&shared, path, &received, |region, _| {
        let models: Vec<Value> = Model::ALL.iter().map(|it| foundation(region, it)).collect();
        Ok(json!({ "modelSummaries": models }))
    })
}

/// Handles `GetFoundationModel`.
pub(crate) async fn foundation_model(
    State(shared): State<Arc<Shared>>,
    path: PathParts,
    Extension(received): Extension<Arc<Received>>,
) -> Response {
    respond(&shared, path, &received, |region, id| {
        let mut models = Model::ALL.iter().map(|it| foundation(region, it));
        let model = models.find(|it| it["modelId"] == id || it["modelArn"] == id);
        let model = model.ok_or_else(|| {
            not_found(format!("Could not resolve the foundation model from the model {id}."))
        })?;
        Ok(json!({ "modelDetails": model }))
    })
}

fn respond(
    shared: &Shared,
    path: PathParts,
    received: &Received,
    run: impl FnOnce(&str, &str) -> Result<Value, AwsError>,
) -> Response {
    let id = path.0.get("id").cloned().unwrap_or_default();
    let region = Target::from_path(path, &shared.settings).region;
    let result =
        authenticate(shared, &region, received).and_then(|()| run(&region, &id)).map(|body| {
            ([(header::CONTENT_TYPE, "application/json")], body.to_string()).into_response()
        });
    LogFields { model_id: "-".to_owned(), fault: None }.attach_to(result)
}

fn not_found(message: String) -> AwsError {
    AwsError::bedrock(StatusCode::NOT_FOUND, "ResourceNotFoundException", message)
}

fn profiles(region: &str) -> Vec<Value> {
    let of_model = |model: &'static Model| {
        model.profiles.iter().map(move |prefix| (format!("{prefix}.anthropic.{}", model.id), model))
    };
    Model::ALL
        .iter()
        .flat_map(of_model)
        .map(|(id, model)| {
            json!({
                "inferenceProfileName": format!("Anthropic {}", model.id),
                "description": format!("Routes requests to Anthropic {}.", model.id),
                "createdAt": CREATED,
                "updatedAt": CREATED,
                "inferenceProfileArn":
                    format!("arn:aws:bedrock:{region}:{ACCOUNT}:inference-profile/{id}"),
                "models": [{ "modelArn": arn(region, model) }],
                "inferenceProfileId": id,
                "status": "ACTIVE",
                "type": "SYSTEM_DEFINED",
            })
        })
        .collect()
}

fn arn(region: &str, model: &Model) -> String {
    format!("arn:aws:bedrock:{region}::foundation-model/anthropic.{}", model.id)
}

fn foundation(region: &str, model: &Model) -> Value {
    json!({
        "modelArn": arn(region, model),
        "modelId": format!("anthropic.{}", model.id),
        "modelName": model.id,
        "providerName": "Anthropic",
        "inputModalities": ["TEXT", "IMAGE"],
        "outputModalities": ["TEXT"],
        "responseStreamingSupported": true,
        "customizationsSupported": [],
        "inferenceTypesSupported": ["INFERENCE_PROFILE"],
        "modelLifecycle": { "status": "ACTIVE" },
    })
}

fn query(received: &Received, name: &str) -> Option<String> {
    let (_, query) = received.target.split_once('?')?;
    let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    let (_, value) = pairs.find(|(key, _)| *key == name)?;
    Some(percent_decode_str(value).decode_utf8_lossy().into_owned())
}

/// Returns a page of a list. The token of the next one is the number of entries before it.
fn page(received: &Received, items: Vec<Value>, key: &str) -> Result<Value, AwsError> {
    let number = |name: &str, default: usize| match query(received, name) {
        None => Ok(default),
        Some(text) => {
            text.parse().map_err(|_| AwsError::validation(format!("{name} is not valid.")))
        }
    };
    let (start, count) = (number("nextToken", 0)?, number("maxResults", PAGE)?);
    let end = items.len().min(start.saturating_add(count));
    let mut page = json!({ key: items.get(start..end).unwrap_or_default() });
    if end < items.len() {
        page["nextToken"] = json!(end.to_string());
    }
    Ok(page)
}
