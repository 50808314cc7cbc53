//! Signing of requests of the embedding Worker.

use http::HeaderMap;
use wasm_bindgen::JsValue;

use super::http::{header_map, response, target_of, with_head};
use super::log::log_for;
use super::platform::Worker;
use crate::api::{RenderError, Rpc};
use crate::aws::sigv4::Unsigned;
use crate::error::Error;
use crate::host::{Http, Runtime};
use crate::identifier::Identifier;
use crate::log::Record;
use crate::server::Isolate;

/// The head of a Request.
struct Head {
    method: String,
    host: String,
    target: String,
    headers: HeaderMap,
}

impl Head {
    fn new(request: &JsValue) -> Self {
        with_head(request, true, |line, headers| {
            let (method, url) = line.split_once(' ').unwrap_or_default();
            // The URL of a Request has a host, and neither a user nor a default port.
            let (_, host) = url.split_once("//").unwrap_or_default();
            let host = host.split(['/', '?', '#']).next().unwrap_or_default();
            Self {
                method: method.to_owned(),
                host: host.to_owned(),
                target: target_of(url).to_owned(),
                headers: header_map(headers).0,
            }
        })
    }
}

/// Returns the headers of the signature of a Request: names and values by turns, a line each. An error is a Response with
/// what is to be thrown, and has a log line.
pub(super) async fn sign(
    request: JsValue,
    body: Vec<u8>,
    service: &str,
    region: &str,
    isolate: &Isolate,
    worker: &Worker,
) -> Result<JsValue, JsValue> {
    let region = Some(region).filter(|region| !region.is_empty());
    match signature(&Head::new(&request), &body, service, region, isolate, worker).await {
        Ok(headers) => {
            let lines: Vec<&str> =
                headers.iter().flat_map(|(name, value)| [*name, value.as_str()]).collect();
            Ok(lines.join("\n").into())
        }
        Err(mut error) => {
            let mut record = Record::new(Identifier::random(worker.random()));
            record.fail(error.code, error.cause.take());
            record.set_status(error.code.status().as_u16());
            let envelope = Rpc.render_error("", &error, &record);
            log_for(worker, record, isolate);
            response(&envelope)
        }
    }
}

async fn signature(
    head: &Head,
    body: &[u8],
    service: &str,
    region: Option<&str>,
    isolate: &Isolate,
    worker: &Worker,
) -> Result<Vec<(&'static str, String)>, Error> {
    let Head { method, host, target, headers } = head;
    let bedrock = isolate.bedrock(worker)?;
    let payload_hash = worker.sha256(body).await;
    let unsigned = Unsigned { method, host, target, headers, payload_hash };
    bedrock.sign(&unsigned, service, region).await
}
