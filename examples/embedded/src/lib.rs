//! A Worker with routes, bindings and authentication of its own that uses bedrock-edge in three routes:
//!
//! - `/ai…` is all of bedrock-edge: `POST /ai`, `/ai/ws`, `/ai/usage` and `/ai/healthz`;
//! - `POST /haiku` calls its core with a prompt and a response format of this Worker;
//! - `POST /chat` calls another operation of Bedrock, and uses only the signature.

use bedrock_edge::worker::{Ledger, WorkerHost, handle, isolate, log};
use bedrock_edge::{Authentication, Body, Deadline, Http, Identifier, Record, Runtime, Scope};
use bedrock_edge::{invoke_bedrock, sign};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use worker::{Context, DurableObject, Env, Request, Response, Result, RouteContext, Router, State};
// The code that `durable_object` generates names wasm_bindgen.
use worker::{durable_object, event, wasm_bindgen};

#[event(fetch)]
async fn fetch(request: Request, env: Env, _context: Context) -> Result<Response> {
    if !is_known(&request, &env)? {
        return Response::error("who are you?", 401);
    }
    Router::new()
        // The same path as BASE_PATH in wrangler.toml.
        .on_async("/ai", ai)
        .on_async("/ai/*path", ai)
        .post_async("/haiku", haiku)
        .post_async("/chat", chat)
        .run(request, env)
        .await
}

/// Checks this Worker's own token.
fn is_known(request: &Request, env: &Env) -> Result<bool> {
    let expected = format!("Token {}", env.secret("APP_TOKEN")?);
    let given = request.headers().get("authorization")?.unwrap_or_default();
    // Compares every byte, so that the time does not reveal the first one that differs.
    let differ = given.bytes().zip(expected.bytes()).fold(0, |sum, (a, b)| sum | (a ^ b));
    Ok(differ == 0 && given.len() == expected.len())
}

/// Forwards a request to bedrock-edge.
async fn ai(request: Request, context: RouteContext<()>) -> Result<Response> {
    handle(request, &context.env).await
}

/// The Durable Object in which bedrock-edge counts tokens. This Worker chooses its name.
#[durable_object(fetch)]
pub struct HaikuLedger(Ledger);

impl DurableObject for HaikuLedger {
    fn new(state: State, _env: Env) -> Self {
        Self(Ledger::new(state))
    }

    async fn fetch(&self, request: Request) -> Result<Response> {
        self.0.fetch(&request)
    }
}

#[derive(Deserialize)]
struct Subject {
    subject: String,
}

#[derive(Serialize)]
struct Haiku {
    haiku: String,
    is_new: bool,
}

/// Writes a haiku with the core of bedrock-edge, or returns the stored one.
async fn haiku(mut request: Request, context: RouteContext<()>) -> Result<Response> {
    let host = WorkerHost::new(&request);
    let Ok(bedrock) = isolate(&context.env).bedrock(&host) else {
        return Response::error("misconfigured", 500);
    };
    let Ok(Subject { subject }) = request.json().await else {
        return Response::error("the body must be {\"subject\": \"…\"}", 400);
    };
    let known = context.kv("HAIKU")?;
    if let Some(haiku) = known.get(&subject).text().await? {
        return Response::from_json(&Haiku { haiku, is_new: false });
    }

    let config = bedrock.config();
    let prompt = format!("A haiku about {subject}.");
    let mut prompt = bedrock_edge::Request::new(prompt, config.max_tokens);
    prompt.system = Some("You are Bashō.".into());
    let mut record = Record::new(Identifier::random(host.random()));
    let reply = invoke_bedrock(&prompt, &bedrock, &mut record).await;
    log(&record, Some(config));
    match reply {
        Ok(reply) => {
            known.put(&subject, &reply.text)?.execute().await?;
            Response::from_json(&Haiku { haiku: reply.text, is_new: true })
        }
        Err(error) => Response::error(error.to_string(), error.code.status().as_u16()),
    }
}

#[derive(Deserialize)]
struct Turn {
    role: String,
    text: String,
}

/// Calls Bedrock's Converse, which bedrock-edge does not implement, with its signature and
/// configuration.
async fn chat(mut request: Request, context: RouteContext<()>) -> Result<Response> {
    let Ok(config) = isolate(&context.env).config() else {
        return Response::error("misconfigured", 500);
    };
    let Authentication::SigV4(credentials) = &config.authentication else {
        return Response::error("this route needs an access key", 500);
    };
    let Ok(turns) = request.json::<Vec<Turn>>().await else {
        return Response::error("the body must be [{\"role\": \"user\", \"text\": \"…\"}, …]", 400);
    };
    let messages: Vec<Value> = turns
        .iter()
        .map(|turn| json!({ "role": turn.role, "content": [{ "text": turn.text }] }))
        .collect();

    let uri = config.endpoint.invoke_uri.to_string().replace("/invoke", "/converse");
    let mut call = http::Request::post(uri)
        .header("content-type", "application/json")
        .body(json!({ "messages": messages }).to_string().into())
        .map_err(|error| error.to_string())?;
    let host = WorkerHost::new(&request);
    let deadline = Deadline::new(host.now(), config.timeout);
    let scope = Scope { region: &config.endpoint.region, service: "bedrock" };
    sign(&mut call, credentials, scope, host.now()).map_err(|error| error.to_string())?;
    let response = host.send(call, deadline.left(host.now())).await;
    let (head, body) = response.map_err(|error| error.to_string())?.into_parts();
    let body = body.read(1 << 20, deadline.left(host.now())).await;
    let body = body.map_err(|error| error.to_string())?;
    let body: Value = serde_json::from_slice(&body)?;
    match body.pointer("/output/message/content/0/text") {
        Some(text) => Response::from_json(&json!({ "role": "assistant", "text": text })),
        None => Response::error(
            format!("expected a text from Bedrock, got status {}", head.status),
            502,
        ),
    }
}
