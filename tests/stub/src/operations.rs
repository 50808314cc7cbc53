//! The operations of Bedrock. As in Bedrock, authentication comes first, so that an unauthenticated
//! caller is not told what is wrong with the body.

mod catalog;
mod converse;
mod native;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use axum::extract::{Extension, Path, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};

pub(crate) use catalog::{
    foundation_model, foundation_models, inference_profile, inference_profiles,
};
pub(crate) use converse::{converse, converse_stream};
pub(crate) use native::native;

use crate::auth;
use crate::cache::InputTokens;
use crate::converse::{EXTRA, parse as converse_request};
use crate::encoding::Encoding;
use crate::error::AwsError;
use crate::faults::{self, Fault, FaultContext, Outcome, RequestedFault, StreamOutcome};
use crate::guardrails::{self, GuardrailConfig, Judgement, Source};
use crate::invoke;
use crate::makers::{Body, OtherModel};
use crate::messages::{Messages, check_model_id};
use crate::models::{Model, check_parameters, check_profile};
use crate::reply::{Form, INPUT_TOKEN_COUNT, Reply};
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
    text_for_guardrail: String,
    reply: Reply,
}

/// Handles `InvokeModel`.
pub(crate) async fn invoke_model(
    State(shared): State<Arc<Shared>>,
    path: Path<HashMap<String, String>>,
    Extension(received): Extension<Arc<Received>>,
) -> Response {
    let target = Target::from_path(path, &shared.settings);
    if OtherModel::find(&target.model_id).is_some_and(|model| model.body == Body::Embedding) {
        let result = embed(&shared, &target, &received);
        return LogFields { model_id: target.model_id, fault: None }.attach_to(result);
    }
    let call = validate(&shared, &target, &received, false);
    complete(target.model_id, call).await
}

/// Handles `InvokeModelWithResponseStream`.
pub(crate) async fn invoke_model_with_stream(
    State(shared): State<Arc<Shared>>,
    path: Path<HashMap<String, String>>,
    Extension(received): Extension<Arc<Received>>,
) -> Response {
    let started = Instant::now();
    let target = Target::from_path(path, &shared.settings);
    let call = validate(&shared, &target, &received, true);
    complete_with_stream(&shared, target.model_id, call, started).await
}

/// Responds to a call with its whole reply, or to a refused one with its error, and adds the fields of the log.
async fn complete(model_id: String, call: Result<Call<'_>, AwsError>) -> Response {
    let mut fields = LogFields { model_id, fault: None };
    let result = match call {
        Ok(call) => respond(call, &mut fields.fault).await,
        Err(error) => Err(error),
    };
    fields.attach_to(result)
}

/// Responds to a call with the stream of its reply, or to a refused one with its error, and adds the fields of the log.
async fn complete_with_stream(
    shared: &Shared,
    model_id: String,
    call: Result<Call<'_>, AwsError>,
    started: Instant,
) -> Response {
    let mut fields = LogFields { model_id, fault: None };
    let result = match call {
        Ok(call) => {
            let encoding = match call.reply.form {
                Form::Claude => Encoding::Frames,
                Form::Converse => Encoding::Converse,
                Form::Other(body) => Encoding::Other(body),
            };
            respond_with_stream(shared, call, encoding, started, &mut fields.fault).await
        }
        Err(error) => Err(error),
    };
    fields.attach_to(result)
}

fn embed(shared: &Shared, target: &Target, received: &Received) -> Result<Response, AwsError> {
    authenticate(shared, &target.region, received)?;
    let (reply, count) = invoke::embedding(&received.body)?;
    let headers = [
        (header::CONTENT_TYPE, "application/json".to_owned()),
        (INPUT_TOKEN_COUNT, count.to_string()),
    ];
    Ok((headers, reply.to_string()).into_response())
}

/// Handles `ApplyGuardrail`.
pub(crate) async fn apply_guardrail(
    State(shared): State<Arc<Shared>>,
    Path(mut path): Path<HashMap<String, String>>,
    Extension(received): Extension<Arc<Received>>,
) -> Response {
    let [region, id, version] = ["region", "id", "version"].map(|name| path.remove(name));
    let region = region.unwrap_or_else(|| shared.settings.region.clone());
    let apply = || {
        authenticate(&shared, &region, &received)?;
        guardrails::apply(
            &id.clone().unwrap_or_default(),
            &version.unwrap_or_default(),
            &received.body,
        )
    };
    let result = apply();
    LogFields { model_id: format!("guardrail/{}", id.unwrap_or_default()), fault: None }
        .attach_to(result)
}

/// Handles `CountTokens`, for bodies of `InvokeModel` and of `Converse`.
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
        let messages = match &request["input"]["converse"] {
            input @ Value::Object(_) => {
                let body = input.to_string().into_bytes();
                converse_request(&target.model_id, &body, false)?.messages
            }
            _ => {
                let body = request["input"]["invokeModel"]["body"].as_str().unwrap_or_default();
                let body = BASE64_STANDARD.decode(body).unwrap_or_default();
                Messages::parse(received.header("content-type"), &body)?
            }
        };
        check_parameters(&target.model_id, &messages)?;
        let count = json!({ "inputTokens": InputTokens::count(&messages).uncached });
        Ok(([(header::CONTENT_TYPE, "application/json")], count.to_string()).into_response())
    };
    let result = count();
    LogFields { model_id: target.model_id, fault: None }.attach_to(result)
}

/// Checks the content type of an operation whose body is JSON.
fn check_content_type(received: &Received) -> Result<(), AwsError> {
    let content_type = received.header("content-type").unwrap_or_default();
    if content_type.split(';').next().is_some_and(|it| it.trim() == "application/json") {
        return Ok(());
    }
    Err(AwsError::bedrock(
        StatusCode::UNSUPPORTED_MEDIA_TYPE,
        "UnsupportedMediaTypeException",
        "The content type of the request must be application/json.",
    ))
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
    is_stream: bool,
) -> Result<Call<'a>, AwsError> {
    authenticate(shared, &target.region, received)?;
    check_model_id(&target.model_id)?;
    let model = OtherModel::find(&target.model_id);
    let messages = match model {
        Some(model) => invoke::parse(&target.model_id, model, &received.body, is_stream)?,
        None => Messages::parse(received.header("content-type"), &received.body)?,
    };
    let guardrail = GuardrailConfig::from_headers(received)?;
    let mut call = Call::new(shared, target, messages, received)?;
    if let Some(model) = model {
        call.reply.form = Form::Other(model.body);
        call.reply.extra.insert(EXTRA.to_owned(), json!({}));
    }
    if let Some(guardrail) = guardrail {
        let Judgements { input, output } = call.apply_guardrail();
        let intervened = input.replacement.is_some()
            || output.as_ref().is_some_and(|it| it.replacement.is_some());
        let action = if intervened { "INTERVENED" } else { "NONE" };
        call.reply.extra.insert("amazon-bedrock-guardrailAction".to_owned(), json!(action));
        if guardrail.has_trace {
            let trace = guardrail.trace_of_invoke(&input, output.as_ref());
            call.reply.extra.insert("amazon-bedrock-trace".to_owned(), trace);
        }
    }
    Ok(call)
}

/// The judgements of a guardrail on a request, and on its reply unless the request was blocked.
struct Judgements {
    input: Judgement,
    output: Option<Judgement>,
}

impl<'a> Call<'a> {
    /// Checks what depends on the model, and generates the reply.
    fn new(
        shared: &Shared,
        target: &Target,
        messages: Messages,
        received: &'a Received,
    ) -> Result<Self, AwsError> {
        match OtherModel::find(&target.model_id) {
            Some(model) => model.check_profile(&target.model_id)?,
            None => {
                check_profile(&target.model_id)?;
                check_parameters(&target.model_id, &messages)?;
                signatures::check(&target.model_id, &messages)?;
            }
        }
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
        let text_for_guardrail = messages.text_for_guardrail();
        Ok(Self { received, prompt, text_for_guardrail, reply })
    }

    /// Lets a guardrail judge the request and the reply, which it may replace.
    fn apply_guardrail(&mut self) -> Judgements {
        let input = guardrails::judge(&self.text_for_guardrail, Source::Input);
        if let Some(message) = &input.replacement {
            self.replace_reply(message);
            // The model was not called.
            (self.reply.input, self.reply.output_tokens) = (InputTokens::default(), 0);
            return Judgements { input, output: None };
        }
        let output = guardrails::judge(&self.reply.text(), Source::Output);
        if let Some(text) = &output.replacement {
            self.replace_reply(text);
        }
        Judgements { input, output: Some(output) }
    }

    fn replace_reply(&mut self, text: &str) {
        self.reply.content = vec![json!({ "type": "text", "text": text })];
        self.reply.stop_reason = match self.reply.form {
            Form::Converse => "guardrail_intervened",
            Form::Claude | Form::Other(_) => "end_turn",
        };
        self.reply.stop_sequence = None;
    }
}

async fn respond(
    call: Call<'_>,
    fault_name: &mut Option<&'static str>,
) -> Result<Response, AwsError> {
    let Call { received, prompt, reply, .. } = call;
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
    let mut response = reply.response(reply.render(&content));
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
    let Call { received, prompt, reply, .. } = call;
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
