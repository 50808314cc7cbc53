//! `Converse` and `ConverseStream`.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use axum::extract::{Extension, Path, State};
use axum::response::Response;
use serde_json::{Map, Value, json};

use super::{
    Call, Judgements, Target, authenticate, check_content_type, complete, complete_with_stream,
};
use crate::converse::{EXTRA, parse};
use crate::error::AwsError;
use crate::messages::check_model_id;
use crate::reply::Form;
use crate::server::Shared;
use crate::sigv4::Received;

/// Handles `Converse`.
pub(crate) async fn converse(
    State(shared): State<Arc<Shared>>,
    path: Path<HashMap<String, String>>,
    Extension(received): Extension<Arc<Received>>,
) -> Response {
    let target = Target::from_path(path, &shared.settings);
    let call = validate(&shared, &target, &received, false);
    complete(target.model_id, call).await
}

/// Handles `ConverseStream`.
pub(crate) async fn converse_stream(
    State(shared): State<Arc<Shared>>,
    path: Path<HashMap<String, String>>,
    Extension(received): Extension<Arc<Received>>,
) -> Response {
    let started = Instant::now();
    let target = Target::from_path(path, &shared.settings);
    let call = validate(&shared, &target, &received, true);
    complete_with_stream(&shared, target.model_id, call, started).await
}

fn validate<'a>(
    shared: &Shared,
    target: &Target,
    received: &'a Received,
    is_stream: bool,
) -> Result<Call<'a>, AwsError> {
    authenticate(shared, &target.region, received)?;
    check_model_id(&target.model_id)?;
    check_content_type(received)?;
    let request = parse(&target.model_id, &received.body, is_stream)?;
    let mut call = Call::new(shared, target, request.messages, received).map_err(of_model)?;
    call.reply.form = Form::Converse;
    let mut extra: Map<String, Value> = request.echo;
    let own = call.reply.json();
    let fields: Map<String, Value> = request
        .response_fields
        .iter()
        .filter_map(|pointer| {
            let name = pointer.rsplit('/').next().unwrap_or_default();
            own.pointer(pointer).map(|value| (name.to_owned(), value.clone()))
        })
        .collect();
    if !request.response_fields.is_empty() {
        extra.insert("additionalModelResponseFields".to_owned(), Value::Object(fields));
    }
    if let Some(guardrail) = request.guardrail {
        let Judgements { input, output } = call.apply_guardrail();
        if guardrail.has_trace {
            let trace = guardrail.trace(&input, output.as_ref());
            extra.insert("trace".to_owned(), json!({ "guardrail": trace }));
        }
    }
    call.reply.extra.insert(EXTRA.to_owned(), Value::Object(extra));
    Ok(call)
}

/// Words an error of the model as the operation does.
fn of_model(error: AwsError) -> AwsError {
    if error.name != "ValidationException" || error.message.contains("on-demand throughput") {
        return error;
    }
    let message = format!("The model returned the following errors: {}", error.message);
    AwsError { message, ..error }
}
