//! bedrock-edge as the handler of an AWS Lambda: takes Lambda's events and returns its JSON.
//!
//! `template.yaml` deploys it. To run it on your machine:
//!
//! ```console
//! $ cargo lambda watch
//! $ cargo lambda invoke --data-ascii '{"prompt": "Hello"}'
//! ```

use std::collections::HashMap;

use bedrock_edge::dynamodb::SessionsTable;
use bedrock_edge::{
    Envelope, Handled, IncomingRequest, Isolate, Record, Streaming, handle, lambda_handler,
};
use futures_util::stream::{self, BoxStream, StreamExt};
use lambda_runtime::{FunctionResponse, LambdaEvent, MetadataPrelude, StreamResponse, service_fn};
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::sync::mpsc;
use tokio::task::{LocalSet, spawn_local};

use host::{Native, NativeBody};

mod host;

type Error = Box<dyn std::error::Error + Send + Sync>;
type Chunks = BoxStream<'static, Result<Vec<u8>, Error>>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    // Lambda sets the variables once for a process, and keeps a process no longer than the role's
    // credentials are valid.
    let isolate: &_ = Box::leak(Box::new(Isolate::from_vars(|name| std::env::var(name).ok())));
    isolate.warnings().iter().for_each(|line| println!("{line}"));
    // template.yaml sets it to the InvokeMode of the Function URL.
    let streams = std::env::var("INVOKE_MODE").is_ok_and(|mode| mode == "RESPONSE_STREAM");
    // Without SESSIONS_TABLE there are no sessions.
    let sessions = SessionsTable::from_vars(|name| std::env::var(name).ok())?;
    let host: &_ = Box::leak(Box::new(Native::new(sessions)?));

    // For the tasks of streams.
    let tasks = LocalSet::new();
    let invocations =
        lambda_runtime::run(service_fn(move |call: LambdaEvent<Box<RawValue>>| async move {
            let event = call.payload.get().as_bytes();
            Ok::<_, Error>(if streams && is_from_function_url(event) {
                FunctionResponse::StreamingResponse(streaming_response(event, isolate, host).await?)
            } else {
                let event = IncomingRequest::from_lambda(event);
                let (envelope, record) = lambda_handler(event, isolate, host).await;
                log(&record, isolate);
                FunctionResponse::BufferedResponse(envelope)
            })
        }));
    tasks.run_until(invocations).await
}

/// Responds to a Function URL that streams. Lambda then expects a prelude and the chunks of the body in
/// the place of JSON, even for a body of one chunk.
async fn streaming_response(
    event: &[u8],
    isolate: &'static Isolate,
    host: &'static Native,
) -> Result<StreamResponse<Chunks>, Error> {
    let (envelope, chunks) = match handle(IncomingRequest::from_lambda(event), isolate, host).await
    {
        Handled::Whole(mut envelope, record) => {
            log(&record, isolate);
            let body = std::mem::take(&mut envelope.body).into_bytes();
            (envelope, stream::once(async { Ok(body) }).boxed())
        }
        Handled::Stream(envelope, streaming) => {
            let (sender, receiver) = mpsc::channel(1);
            // A task of this thread, because the runtime of Lambda takes a stream only if that may move to another.
            spawn_local(send_events(streaming, sender, isolate, host));
            let chunks = stream::unfold(receiver, async |mut receiver| {
                let chunk = receiver.recv().await?;
                Some((Ok(chunk), receiver))
            });
            (envelope, chunks.boxed())
        }
        // Only HTTP requests have these routes, and this is an event.
        Handled::WebSocket(..) | Handled::Accepted(..) | Handled::Passed(..) => {
            return Err("an event has one reply".into());
        }
    };
    Ok(StreamResponse { metadata_prelude: prelude(&envelope)?, stream: chunks })
}

/// Sends the events of a reply until the last, or until nobody reads them.
async fn send_events(
    mut streaming: Streaming<'static, NativeBody>,
    sender: mpsc::Sender<Vec<u8>>,
    isolate: &'static Isolate,
    host: &'static Native,
) {
    while let Some(event) = streaming.next(host).await {
        let mut chunk = Vec::new();
        streaming.generation.encode(&event, &mut chunk);
        if sender.send(chunk).await.is_err() {
            break;
        }
    }
    let (record, remainder) = streaming.generation.finish(host::now());
    if let Some(remainder) = remainder
        && let Err(problem) = remainder.send(host).await
    {
        eprintln!("{problem}");
    }
    log(&record, isolate);
}

fn prelude(envelope: &Envelope) -> Result<MetadataPrelude, Error> {
    let headers: HashMap<String, String> =
        envelope.headers.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
    Ok(MetadataPrelude {
        status_code: envelope.status_code.try_into()?,
        headers: (&headers).try_into()?,
        cookies: Vec::new(),
    })
}

/// Whether an event has the format 2.0, which in template.yaml only the Function URL sends.
fn is_from_function_url(event: &[u8]) -> bool {
    #[derive(Deserialize)]
    struct ProxyEvent {
        #[serde(rename = "requestContext")]
        _context: Context,
    }
    #[derive(Deserialize)]
    struct Context {
        #[serde(rename = "http")]
        _http: serde::de::IgnoredAny,
    }
    serde_json::from_slice::<ProxyEvent>(event).is_ok()
}

/// Writes the record to standard output, which Lambda sends to CloudWatch.
fn log(record: &Record, isolate: &Isolate) {
    if let Some(line) = record.line(isolate.config().ok()) {
        println!("{line}");
    }
}
