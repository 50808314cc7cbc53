//! The operations of Bedrock. As in Bedrock, authentication comes first, so that an unauthenticated
//! caller is not told what is wrong with the body.

mod native;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use axum::extract::{Extension, Path, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};

pub(crate) use native::native;

use crate::auth;
use crate::cache::InputTokens;
use crate::converse as converse_operation;
use crate::encoding::Encoding;
use crate::error::AwsError;
use crate::faults::{self, Fault, FaultContext, Outcome, RequestedFault, StreamOutcome};
use crate::messages::{Messages, check_model_id};
use crate::models::{Model, check_parameters, check_profile};
use crate::reply::Reply;
use crate::server::{LogFields, Settings, Shared};
use crate::signatures;
use crate::sigv4::Received;
use crate::stream::{self, Plan};

/// The service in the credential scope of a request to Bedrock. It is not `bedrock-runtime`, the
/// name in the host.
const SERVICE: &str = "bedrock";

/// The header with the service tier, of a request and of its response.
const SERVICE_TIER: HeaderName = HeaderName::from_static("x-amzn-bedrock-service-tier");

/// The service tiers (AWS's documentation, "Service tiers").
const SERVICE_TIERS: &[&str] = &["default", "flex", "priority", "reserved"];

/// The region and the model that a request is for. Without a region in the path, it is that of the
/// settings.
struct Target {
    region: String,
    model_id: String,
}

impl Target {
    /// Reads the path. axum percent-decodes the model ID once, as Bedrock does.
    fn from_path(Path(mut parts): Path<HashMap<String, String>>, settings: &Settings) -> Self {
        Self {
            region: parts.remove("region").unwrap_or_else(|| settings.region.clone()),
            model_id: parts.remove("model_id").unwrap_or_default(),
        }
    }
}

/// A call that passed every check.
struct Call<'a> {
    received: &'a Received,
    /// The prompt that may demand a fault. It is empty if the fault is not due.
    prompt: String,
    reply: Reply,
}

/// Handles `InvokeModel`.
pub(crate) async fn invoke_model(
    State(shared): State<Arc<Shared>>,
    path: Path<HashMap<String, String>>,
    Extension(received): Extension<Arc<Received>>,
) -> Response {
    let target = Target::from_path(path, &shared.settings);
    let mut fields = LogFields { model_id: target.model_id.clone(), fault: None };
    let result = match validate(&shared, &target, &received) {
        Ok(call) => respond(call, &mut fields.fault).await,
        Err(error) => Err(error),
    };
    fields.attach_to(result)
}

/// Handles `InvokeModelWithResponseStream`.
pub(crate) async fn invoke_model_with_stream(
    State(shared): State<Arc<Shared>>,
    path: Path<HashMap<String, String>>,
    Extension(received): Extension<Arc<Received>>,
) -> Response {
    let started = Instant::now();
    let target = Target::from_path(path, &shared.settings);
    let mut fields = LogFields { model_id: target.model_id.clone(), fault: None };
    let result = match validate(&shared, &target, &received) {
        Ok(call) => {
            respond_with_stream(&shared, call, Encoding::Frames, started, &mut fields.fault).await
        }
        Err(error) => Err(error),
    };
    fields.attach_to(result)
}

/// Handles `Converse`.
pub(crate) async fn converse(
    State(shared): State<Arc<Shared>>,
    Path(model_id): Path<String>,
    Extension(received): Extension<Arc<Received>>,
) -> Response {
    let respond = || {
        auth::verify(&received, SERVICE, &shared.settings, SystemTime::now())?;
        check_model_id(&model_id)?;
        converse_operation::respond(&model_id, received.header("content-type"), &received.body)
    };
    let result = respond();
    LogFields { model_id, fault: None }.attach_to(result)
}

/// Handles `CountTokens`, for bodies of `InvokeModel`.
///
/// Source: <https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_CountTokens.html>
pub(crate) async fn count_tokens(
    State(shared): State<Arc<Shared>>,
    path: Path<HashMap<String, String>>,
    Extension(received): Extension<Arc<Received>>,
) -> Response {
    let target = Target::from_path(path, &shared.settings);
    let count = || {
        authenticate(&shared, &target.region, &received)?;
        check_model_id(&target.model_id)?;
        if !target.model_id.starts_with("anthropic.")
            || !Model::find(&target.model_id).counts_tokens
        {
            return Err(AwsError::validation(
                "The provided model doesn't support counting tokens.",
            ));
        }
        let request: Value = serde_json::from_slice(&received.body).unwrap_or_default();
        let body = request["input"]["invokeModel"]["body"].as_str().unwrap_or_default();
        let body = BASE64_STANDARD.decode(body).unwrap_or_default();
        let messages = Messages::parse(received.header("content-type"), &body)?;
        check_parameters(&target.model_id, &messages)?;
        let count = json!({ "inputTokens": InputTokens::count(&messages).uncached });
        Ok(([(header::CONTENT_TYPE, "application/json")], count.to_string()).into_response())
    };
    let result = count();
    LogFields { model_id: target.model_id, fault: None }.attach_to(result)
}

fn authenticate(shared: &Shared, region: &str, received: &Received) -> Result<(), AwsError> {
    let now = SystemTime::now();
    let mut settings = Settings { region: region.to_owned(), ..shared.settings.clone() };
    settings.keys.extend(shared.sts.keys(received, now)?);
    auth::verify(received, SERVICE, &settings, now)
}

fn validate<'a>(
    shared: &Shared,
    target: &Target,
    received: &'a Received,
) -> Result<Call<'a>, AwsError> {
    authenticate(shared, &target.region, received)?;
    check_model_id(&target.model_id)?;
    let messages = Messages::parse(received.header("content-type"), &received.body)?;
    Call::new(shared, target, messages, received)
}

impl<'a> Call<'a> {
    /// Checks what depends on the model, and generates the reply.
    fn new(
        shared: &Shared,
        target: &Target,
        messages: Messages,
        received: &'a Received,
    ) -> Result<Self, AwsError> {
        check_profile(&target.model_id)?;
        check_parameters(&target.model_id, &messages)?;
        signatures::check(&target.model_id, &messages)?;
        let tier = received.header(SERVICE_TIER.as_str());
        if tier.is_some_and(|tier| !SERVICE_TIERS.contains(&tier)) {
            return Err(AwsError::validation("The provided service tier is invalid."));
        }
        let mut reply = Reply::new(&target.model_id, &messages, &received.body)?;
        reply.input = shared.cache.account(&target.model_id, &messages);
        let mut prompt = messages.text_of_user();
        if !shared.is_fault_due(&prompt, &target.region) {
            prompt = String::new();
        }
        Ok(Self { received, prompt, reply })
    }
}

async fn respond(
    call: Call<'_>,
    fault_name: &mut Option<&'static str>,
) -> Result<Response, AwsError> {
    let Call { received, prompt, reply } = call;
    let mut content = reply.json();
    let mut headers = HeaderMap::new();
    if let Some(fault) = Fault::from_prompt(&prompt)? {
        *fault_name = Some(fault.name);
        match fault.run(&FaultContext { received, prompt: &prompt, reply: &reply }) {
            Outcome::Respond(response) => return Ok(response),
            Outcome::Content(other, additional) => (content, headers) = (other, additional),
            Outcome::Delay(delay) => tokio::time::sleep(delay).await,
        }
    }
    let mut response = reply.response(content.to_string());
    response.headers_mut().extend(headers);
    echo_service_tier(received, &mut response);
    Ok(response)
}

async fn respond_with_stream(
    shared: &Shared,
    call: Call<'_>,
    encoding: Encoding,
    started: Instant,
    fault_name: &mut Option<&'static str>,
) -> Result<Response, AwsError> {
    let Call { received, prompt, reply } = call;
    let fault = RequestedFault::from_prompt(&prompt, encoding)?;
    *fault_name = fault.as_ref().map(RequestedFault::name);
    let mut headers = HeaderMap::new();
    let plan = match fault {
        None => complete_stream(&reply.json()),
        Some(RequestedFault::Shared(fault)) => {
            match fault.run(&FaultContext { received, prompt: &prompt, reply: &reply }) {
                Outcome::Respond(response) => return Ok(response),
                Outcome::Content(other, additional) => {
                    headers = additional;
                    complete_stream(&other)
                }
                Outcome::Delay(delay) => {
                    tokio::time::sleep(delay).await;
                    complete_stream(&reply.json())
                }
            }
        }
        Some(RequestedFault::StreamOnly(fault)) => match fault.run(&prompt, &reply, encoding)? {
            StreamOutcome::Respond(response) => return Ok(response),
            StreamOutcome::Stream(plan) => plan,
        },
    };
    let frame_delay = shared.settings.frame_delay;
    let streams = shared.streams.clone();
    let mut response = stream::response(plan, encoding, frame_delay, streams, started);
    response.headers_mut().extend(headers);
    echo_service_tier(received, &mut response);
    Ok(response)
}

fn complete_stream(content: &Value) -> Plan {
    Plan::new(faults::complete_stream(content))
}

fn echo_service_tier(received: &Received, response: &mut Response) {
    let tier = received.header(SERVICE_TIER.as_str());
    if let Some(tier) = tier.and_then(|tier| HeaderValue::from_str(tier).ok()) {
        response.headers_mut().insert(SERVICE_TIER, tier);
    }
}
